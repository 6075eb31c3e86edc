"""Prompts that are longer than a network reads, in a run's ledger."""

import csv
from pathlib import Path

import pytest
import torch

from eval.cut_texts import find_cut_texts, warnings, write_cut_texts
from eval.ledger import Ledger
from metrics.networks import Networks
from metrics.protocol import load_protocol
from mora.checkpoints import mini_weights
from mora.records import Failure, FailureKind, Fingerprint, Prompt, Request, Video

SHORT = "a small red circle moves left"
LONG = "a small red circle moves left, " * 12  # more than ViCLIP reads, and than CLIP
MIDDLE = "a small red circle moves left, " * 8  # more than ViCLIP reads


def readers() -> Networks:
    """The miniature tokenizers; no weights are needed."""
    return Networks("mini", mini_weights(), torch.device("cpu"))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    with Ledger.open(tmp_path / "run", {}) as opened:
        requests, videos = [], []
        for number, text in enumerate([SHORT, LONG, MIDDLE, LONG]):
            tags = {"style": LONG if number == 0 else "night"}
            prompt = Prompt(id=f"p{number}", text=text, tags=tags)
            request = Request(model="m", recipe="r", prompt=prompt, seed=number)
            requests.append(request)
            why = Failure(kind=FailureKind.ERROR, message="not made")
            videos.append(
                Video(id=request.id, model="m", prompt_id=prompt.id, text=text, failure=why)
            )
        opened.add_requests(requests)
        opened.add_videos(videos)
        yield opened


def note_metrics(ledger: Ledger, protocol: str, *names: str) -> None:
    same = {"protocol": protocol, "decoder": "d", "precision": "float32", "weights": "mini"}
    ledger.add_fingerprints([Fingerprint(metric=name, **same) for name in names])


def test_each_cut_text_is_found_once_with_what_was_read(ledger: Ledger) -> None:
    note_metrics(ledger, "sound", "temporal_style", "appearance_style", "imaging_quality")
    cut = find_cut_texts(ledger, load_protocol("sound"), readers())
    assert [(each.metric, each.prompt_id) for each in cut] == [
        ("temporal_style", "p1"),
        ("temporal_style", "p2"),
        ("appearance_style", "p1"),
    ]
    limits = {each.metric: each.limit for each in cut}
    assert limits == {"temporal_style": 48, "appearance_style": 77}
    for each in cut:
        spaced = each.text.replace(",", " ,").split()
        assert spaced[: len(each.read.split())] == each.read.split()
        assert len(each.read.split()) < len(spaced)


def test_only_what_was_scored_under_the_protocol_counts(ledger: Ledger) -> None:
    note_metrics(ledger, "vbench", "appearance_style")
    [style] = find_cut_texts(ledger, load_protocol("vbench"), readers())
    assert (style.prompt_id, style.text) == ("p0", LONG), "VBench reads the style label"
    assert find_cut_texts(ledger, load_protocol("sound"), readers()) == []


def test_the_warning_counts_and_names_the_first(ledger: Ledger) -> None:
    note_metrics(ledger, "sound", "temporal_style", "appearance_style")
    first, second = warnings(find_cut_texts(ledger, load_protocol("sound"), readers()))
    assert first.startswith("temporal_style: viclip_mini reads 48 ids")
    assert "of 2 texts" in first
    assert "The first: p1" in first
    assert "of 1 text it" in second
    assert warnings([]) == []


def test_the_file_says_what_was_cut_and_goes_where_nothing_is(
    ledger: Ledger, tmp_path: Path
) -> None:
    note_metrics(ledger, "sound", "temporal_style")
    cut = find_cut_texts(ledger, load_protocol("sound"), readers())
    [path] = write_cut_texts(cut, tmp_path, "sound")
    assert path.name == "cut_texts.sound.csv"
    rows = list(csv.DictReader(path.open()))
    assert [row["text"] for row in rows] == [LONG, MIDDLE]
    assert [row["read"] for row in rows] == [each.read for each in cut]
    assert write_cut_texts([], tmp_path, "sound") == []
    assert not path.exists()
