"""The published weights' facts agree with the networks and metrics that use them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from metrics.backbones.card import Address, HubFile, Published
from metrics.backbones.loading import file_sha256
from metrics.backbones.published import AESTHETIC, PUBLISHED
from metrics.networks import BACKBONES, weights_path
from metrics.protocol import Protocol
from metrics.registry import METRICS

PROTOCOL = Path(__file__).parents[2] / "mora" / "conf" / "protocol" / "vbench.yaml"
BY_NAME = {each.name: each for each in PUBLISHED}


def protocol() -> Protocol:
    import yaml

    return Protocol.model_validate(yaml.safe_load(PROTOCOL.read_text()))


def test_names_are_unique_and_each_official_network_is_among_them() -> None:
    assert len(BY_NAME) == len(PUBLISHED)
    assert {backbone.official.name for backbone in BACKBONES.values()} <= set(BY_NAME)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_card_says_what_is_published(name: str) -> None:
    backbone = BACKBONES[name]
    card, facts = backbone.official, BY_NAME[backbone.official.name]
    assert (card.origin, card.sha256, card.licence) == (facts.origin, facts.sha256, facts.licence)
    assert card.weights == "official"
    if facts.packaged is None:
        assert facts.path(Path("w")) == weights_path(card, Path("w"))
    else:
        assert facts.path(Path("w")) == backbone.packaged


def test_metrics_are_named_with_the_networks_that_they_need() -> None:
    users: dict[str, set[str]] = {}
    for name, metric in METRICS.items():
        for feature in metric(protocol()).features:
            for backbone in feature.backbones:
                users.setdefault(BACKBONES[backbone].official.name, set()).add(name)
    stated = {name: set(BY_NAME[name].used_by) for name in users}
    assert stated == users, "say it in metrics/backbones/published.py"
    assert {name for each in PUBLISHED for name in each.used_by} <= set(METRICS)


@pytest.mark.parametrize("facts", PUBLISHED, ids=lambda facts: facts.name)
def test_facts_are_pinned(facts: Published) -> None:
    assert facts.sha256 is None or re.fullmatch("[0-9a-f]{64}", facts.sha256)
    assert facts.size is None or facts.size > 0
    match facts.origin:
        case HubFile(revision=revision):
            assert re.fullmatch("[0-9a-f]{40}", revision)
        case Address(url=url):
            assert url.startswith("https://")


def test_what_ships_is_the_published_file() -> None:
    path = AESTHETIC.path(Path())
    assert path.stat().st_size == AESTHETIC.size
    assert file_sha256(path) == AESTHETIC.sha256


def test_the_facts_load_no_network_library() -> None:
    probe = (
        "import sys, metrics.backbones.published; "
        "print([name for name in ('torch', 'numpy', 'timm', 'open_clip') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
