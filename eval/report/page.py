"""The page of a report: what is on it, and how it becomes HTML.

The page needs no network and no server. All text is escaped by the template engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATE: Final = "page.html.j2"


@dataclass(frozen=True)
class Number:
    """A number under a video or in the table.

    Attributes:
        title: What it is.
        text: The number as it is shown, or a dash.
        share: Where it lies within its metric's bounds, from 0 to 1; `None` without bounds.
        best: Whether it is the greatest of those beside it.
        partial: Whether it is not of all videos.
        reason: Kind of the failure, where there is no number because of one.
    """

    title: str
    text: str
    share: float | None = None
    best: bool = False
    partial: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Player:
    """A model's video for one prompt.

    Attributes:
        model: The model.
        video: Address of the file relative to the page; `None` if no browser plays it.
        poster: Address of its first frame; `None` if there is no video.
        numbers: Its scores.
        failure: Why there is no video, or `""`.
    """

    model: str
    video: str | None
    poster: str | None
    numbers: tuple[Number, ...]
    failure: str = ""


@dataclass(frozen=True)
class Group:
    """A prompt and the videos that were made from it.

    Attributes:
        heading: Id of the prompt, or place of the file.
        text: The prompt, `None` where none is known.
        completed: The prompt as the prompt agent completed it, where it did.
        players: The videos.
    """

    heading: str
    text: str | None
    completed: str | None
    players: tuple[Player, ...]


@dataclass(frozen=True)
class TableLine:
    """A row of the table."""

    label: str
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class FailureLine:
    """Something that has no result."""

    model: str
    prompt: str
    what: str
    kind: str
    message: str


@dataclass(frozen=True)
class Sheet:
    """A contact sheet and its address relative to the page."""

    model: str
    address: str


@dataclass(frozen=True)
class Page:
    """All that a page shows.

    Attributes:
        title: Name of the run.
        caption: Caption of the table.
        columns: Titles of the table's columns after the model.
        heading: Heading of the measured rows.
        measured: Measured rows.
        published_heading: Heading of the published rows.
        published: Published rows.
        notes: What has to be known of the numbers.
        groups: The prompts and their videos.
        omitted: Prompts that are not shown.
        sheets: The contact sheets.
        failures: What has no result.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    heading: str
    measured: tuple[TableLine, ...]
    published_heading: str
    published: tuple[TableLine, ...]
    notes: tuple[str, ...]
    groups: tuple[Group, ...]
    omitted: int
    sheets: tuple[Sheet, ...]
    failures: tuple[FailureLine, ...]


def render_page(page: Page) -> str:
    """Returns the page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(page=page)


def mark_best(rows: Sequence[Sequence[float | None]]) -> list[list[bool]]:
    """Says which values are the greatest of their column, where a column differs at all.

    Args:
        rows: Values by row and column, `None` where there is none.
    """
    best = [[False] * len(row) for row in rows]
    for column, values in enumerate(zip(*rows, strict=True)):
        known = [value for value in values if value is not None]
        if len(known) < 2 or min(known) == max(known):
            continue
        for row, value in enumerate(values):
            best[row][column] = value == max(known)
    return best
