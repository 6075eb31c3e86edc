"""The protocols' choices: complete, in the fingerprint, and as the page on metrics shows them."""

from pathlib import Path

import pytest

from metrics.backbones import amt, clip, dino, raft, viclip
from metrics.protocol import load_protocol
from metrics.registry import METRICS, make_metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
PROTOCOLS = ("vbench", "paper", "sound")
EIGHT = tuple(METRICS)[:8]
BEGIN, END = "<!-- choices -->", "<!-- end of choices -->"


def choices(protocol: str) -> dict[str, dict[str, object]]:
    return {each.name: each.choices for each in make_metrics(EIGHT, load_protocol(protocol))}


def table() -> str:
    by_protocol = {protocol: choices(protocol) for protocol in PROTOCOLS}
    lines = [
        "| metric | choice | `vbench` | `paper` | `sound` |",
        "|---|---|---|---|---|",
    ]
    for metric in EIGHT:
        shown = metric.replace("_", " ")
        for choice in by_protocol["vbench"][metric]:
            values = [f"{by_protocol[protocol][metric][choice]}" for protocol in PROTOCOLS]
            if len(set(values)) > 1:
                values = [f"**{value}**" for value in values]
            lines.append(f"| {shown} | `{choice}` | {' | '.join(values)} |")
            shown = ""
    return "\n".join(lines)


def test_the_page_shows_the_choices_as_they_are() -> None:
    page = PAGE.read_text()
    shown = page.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == table(), f"put this between {BEGIN} and {END} in {PAGE}:\n{table()}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_choice_that_moves_a_number_is_named(protocol: str) -> None:
    """What facts about the reference say its programs differ in, or could."""
    given = choices(protocol)
    resizes = {
        "object_consistency": ("dino_resize", "unrounded"),
        "background_consistency": ("clip_resize", "unrounded"),
        "aesthetic_quality": ("clip_resize", "unrounded"),
        "temporal_style": ("viclip_resize", "rounded"),
        "appearance_style": ("clip_resize", "antialiased"),
    }
    for metric, (name, value) in resizes.items():
        assert given[metric][name] == value
    assert all(chosen["weighting"] in ("videos", "frames") for chosen in given.values())
    of_clip = ("background_consistency", "aesthetic_quality", "appearance_style")
    assert all(given[metric]["clip_precision"] == "float32" for metric in of_clip)
    assert {"motion_scale", "motion_padding"} <= set(given["motion_smoothness"])
    assert {"flow_rate", "flow_padding", "dynamic_least_pairs"} <= set(given["dynamic_degree"])
    assert given["imaging_quality"]["imaging_resize"] in ("longer", "none")
    assert given["appearance_style"]["appearance_text"] in ("style", "prompt")


def test_what_choices_say_of_networks_is_what_the_cards_do() -> None:
    given = choices("vbench")
    for cards, said in (
        ((amt.OFFICIAL, amt.MINI), given["motion_smoothness"]["motion_padding"]),
        ((raft.OFFICIAL, raft.MINI), given["dynamic_degree"]["flow_padding"]),
    ):
        assert all(f"replicate to {card.preprocessing.multiple}" in str(said) for card in cards)
    frames = {card.settings.frames for card in (viclip.OFFICIAL, viclip.MINI)}
    assert [f"middles of {count} intervals" for count in frames] == [
        given["temporal_style"]["viclip_frames"]
    ]
    for card in (dino.OFFICIAL, dino.MINI):
        assert not card.preprocessing.crop
    for card in (clip.B32, clip.L14, clip.MINI, viclip.OFFICIAL, viclip.MINI):
        assert card.preprocessing.crop
        assert card.preprocessing.interpolation == "bicubic"


if __name__ == "__main__":
    print(table())
