"""The exam's table in Markdown, and its place in the lab's README."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from lab.exam.exam import PARTS
from lab.exam.figures import Figure, Result, Unit

BEGIN: Final = "<!-- exam: begin; written by `python -m lab.exam --write-readme` -->"
END: Final = "<!-- exam: end -->"
README: Final = Path(__file__).parents[1] / "README.md"

_DIGITS: Final[dict[Unit, int]] = {"px": 2, "dB": 1, "levels": 2, "correlation": 2, "AUC": 3}


def markdown(results: Sequence[Result]) -> str:
    """Lays results out as one table, a row a figure.

    Args:
        results: One of each part, in any order.
    """
    lines = [
        "| model | measured | on | n | miniature | of which | beside |",
        "|---|---|---|---:|---|---|---|",
    ]
    by_part = {result.part: result for result in results}
    for part, described in PARTS.items():
        if part not in by_part:
            continue
        for index, figure in enumerate(by_part[part].figures):
            title = described.title if index == 0 else ""
            lines.append(
                f"| {title} | {figure.measured} | {figure.on} | {figure.count} "
                f"| {_value(figure)} | {_named(figure.parts, figure.unit)} | {_beside(figure)} |"
            )
    return "\n".join(lines) + "\n"


def write_readme(table: str, readme: Path = README) -> None:
    """Puts the table between the README's two markers.

    Raises:
        ValueError: The markers are not there once each, in their order.
    """
    text = readme.read_text("utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(
            f"{readme}: expected one line `{BEGIN}` and after it one line `{END}`, between which "
            "the exam's table is written; put them back"
        )
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{BEGIN}\n{table}{END}{after}", "utf-8")


def show(value: float, unit: Unit) -> str:
    """A value with its unit: `97 %`, `0.42 px`."""
    if unit == "share":
        return f"{100 * value:.0f} %"
    suffix = f" {unit}" if unit in ("px", "dB", "levels") else ""
    return f"{value:.{_DIGITS[unit]}f}{suffix}"


def _value(figure: Figure) -> str:
    interval = figure.interval()
    shown = show(figure.value, figure.unit)
    if interval is None:
        return shown
    low, high = (100 * bound for bound in interval)
    return f"{shown} ({low:.0f}–{high:.0f})"


def _named(values: Mapping[str, float], unit: Unit) -> str:
    return ", ".join(f"{name} {show(value, unit)}" for name, value in values.items())


def _beside(figure: Figure) -> str:
    aim = {} if figure.aim is None else {"aim": figure.aim}
    return _named({**figure.beside, **aim}, figure.unit)
