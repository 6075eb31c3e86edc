"""What the pages say of cost and memory is what was measured."""

import json
from pathlib import Path

import pytest

from benchmarks import cost

DOCS = Path(__file__).parents[2] / "docs"
FIGURES = json.loads(cost.FIGURES.read_text())
BEGIN, END = "<!-- memory -->", "<!-- end of memory -->"


@pytest.mark.parametrize("name", cost.EIGHT)
def test_each_page_tells_its_cost(name: str) -> None:
    told = cost.sentence(name, FIGURES[cost.DEFAULT_SIZE][name])
    page = (DOCS / "metrics" / f"{name}.md").read_text()
    assert f"## Cost\n{told}\n" in page, f"write this under Cost:\n{told}"


def test_the_page_on_metrics_tells_the_memory() -> None:
    page = (DOCS / "metrics.md").read_text()
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == cost.table(FIGURES)


def test_official_networks_fit_the_host() -> None:
    for name, row in FIGURES[cost.DEFAULT_SIZE].items():
        assert row["failure"] is None, name
        assert row["peak_gb"] <= 4, name
