"""The page on parity: written from its figures, which are within the aims and cover all cases."""

import json

from goldens import official
from goldens import parity as cases_of

from benchmarks import parity

FIGURES = json.loads(parity.FIGURES.read_text())


def test_the_page_is_written_from_the_figures() -> None:
    assert parity.PAGE.read_text() == parity.render(FIGURES), "run python -m benchmarks.parity"


def test_all_figures_are_within_the_aims() -> None:
    assert parity.failures(FIGURES) == []


def test_a_figure_beyond_its_aim_is_named() -> None:
    worse = json.loads(json.dumps(FIGURES))
    worse["cpu"]["backbones"][0]["relative"] = 2e-4
    worse["cpu"]["metrics"]["dynamic_degree"]["score"] = 0.2
    first = worse["cpu"]["backbones"][0]
    assert parity.failures(worse) == [
        f"cpu: {first['network']} {first['case']} {first['output']}",
        "cpu: dynamic_degree",
    ]


def test_every_case_of_every_network_was_measured() -> None:
    cases = {
        (folder, case)
        for folder in (*official.FOLDERS.values(), "laion_aesthetic_head")
        for case in cases_of.read(folder).cases
    }
    assert {(row["network"], row["case"]) for row in FIGURES["cpu"]["backbones"]} == cases
    clips = len(list(parity.SCORES.glob("*.mp4")))
    assert {row["clips"] for row in FIGURES["cpu"]["metrics"].values()} == {clips}
    assert tuple(FIGURES["cpu"]["metrics"]) == parity.EIGHT
