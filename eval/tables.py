"""Tables in the layout of the paper's: one row a model, and the published rows below.

A table is made from ledgers alone, so that the same ledgers give the same bytes; `eval.rendering`
writes it as text. What has no value is a dash and the number of failures, never a zero; where some
videos of a row failed, its number is marked and a note says how many.
"""

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final, Literal

import yaml
from pydantic import ConfigDict, Field, model_validator

from eval.ledger import LedgerReader
from eval.selection import Selection, differences, select
from mora.records import Record, TaskName, Video

DASH: Final = "–"
"""Stands where there is no number."""


class Column(Record):
    """One column: a metric, a fact about the videos, or the mean of other columns."""

    name: str
    """Name in settings and CSV; the published file's column of this name goes below it."""
    title: str
    metric: str | None = None
    fact: Literal["seconds"] | None = None
    """`seconds`: length of the videos, frames/fps."""
    mean_of: tuple[str, ...] = ()
    """Columns of metrics or facts that it is the plain mean of."""
    decimals: int | None = Field(default=None, ge=0)
    """Decimals of our numbers; `None` takes the table's."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Column":
        if sum(map(bool, (self.metric, self.fact, self.mean_of))) != 1:
            raise ValueError(f"column {self.name}: give one of metric, fact, mean_of")
        return self


class TableSpec(Record):
    """The layout of a table."""

    model_config = ConfigDict(title="table")  # as errors call it: the name of the setting

    name: str
    task: TaskName
    """Videos of other tasks do not count."""
    caption: str
    published: str | None = None
    """File of the published table in `results/paper`; its first column names the model."""
    citation: str | None = None
    """Where it was published."""
    decimals: int = Field(ge=0)
    columns: tuple[Column, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _means_of_its_columns(self) -> "TableSpec":
        simple = {column.name for column in self.columns if not column.mean_of}
        for column in self.columns:
            for name in column.mean_of:
                if name not in simple:
                    raise ValueError(
                        f"table {self.name}, column {column.name}: there is no column {name} to "
                        "take the mean of"
                    )
        return self

    def decimals_of(self, column: Column) -> int:
        """Decimals that our numbers have in a column."""
        return self.decimals if column.decimals is None else column.decimals

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that the table shows."""
        return tuple(column.metric for column in self.columns if column.metric)


@dataclass(frozen=True)
class Cell:
    """A number in a table.

    Attributes:
        value: The number, `None` where there is none.
        failures: Why videos have no score: kind of failure by video.
        waiting: Videos that were not scored yet, where the run was scored on the metric.
    """

    value: float | None
    failures: Mapping[str, str]
    waiting: frozenset[str]


@dataclass(frozen=True)
class Row:
    """A model in one run.

    Attributes:
        label: The model, and its run where that is needed to tell rows apart.
        weights: Sets of weights that its scores were computed with.
        videos: Videos that were asked for, failed ones included.
        cells: Its numbers, by column.
    """

    label: str
    weights: tuple[str, ...]
    videos: int
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Table:
    """A table before it is written.

    Attributes:
        spec: Its layout.
        caption: What it shows, under which protocol, with which weights.
        heading: Heading of the measured rows.
        rows: Measured rows.
        published: Rows as they were published, label first, then the columns' texts.
        notes: What has to be known of the numbers.
    """

    spec: TableSpec
    caption: str
    heading: str
    rows: tuple[Row, ...]
    published: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def load_table_spec(name: str) -> TableSpec:
    """Reads a layout that comes with the project.

    Raises:
        ValueError: There is none of this name, or its file does not say all that it has to.
    """
    folder = resources.files("mora") / "conf" / "table"
    names = sorted(path.name.removesuffix(".yaml") for path in folder.iterdir())
    if name not in names:
        raise ValueError(f"table={name} is not known; there are: {', '.join(names)}.")
    return TableSpec.model_validate(yaml.safe_load((folder / f"{name}.yaml").read_text()))


def make_table(
    ledgers: Sequence[LedgerReader],
    spec: TableSpec,
    *,
    protocol: str | None = None,
    weights: str | None = None,
    mix: bool = False,
) -> Table:
    """Makes a table of the models of one or several runs.

    Args:
        ledgers: The runs, in the order of their rows.
        spec: The layout.
        protocol: Only scores under this protocol; `None` takes the only one there is.
        weights: Only scores with this set of weights; `None` takes the only one there is.
        mix: Whether a column may hold numbers that do not compare; the table then says so.

    Raises:
        MixedFingerprintsError: Numbers that do not compare would share a column.
    """
    selections = select(
        ledgers, spec.metrics, spec.task, protocol=protocol, weights=weights, mix=mix
    )
    used = [each for selection in selections.values() for each in selection.fingerprints]
    rows = _rows(ledgers, spec, selections)
    sets = set_label(each.weights for each in used)
    protocols = sorted({each.protocol for each in used})
    caption = f"{spec.caption}, protocol {' and '.join(protocols) or 'none'}{sets}."
    notes = [
        f"{selection.metric}: mixed fingerprints, the numbers do not compare; they differ in "
        f"{', '.join(differences(selection.fingerprints))}."
        for selection in selections.values()
        if len(selection.fingerprints) > 1
    ]
    notes += [note for row in rows for note in _notes(row, spec)]
    return Table(
        spec=spec,
        caption=caption,
        heading=f"measured{sets}",
        rows=rows,
        published=tuple(_published(spec)),
        notes=tuple(notes),
    )


def _rows(
    ledgers: Sequence[LedgerReader], spec: TableSpec, selections: Mapping[str, Selection]
) -> tuple[Row, ...]:
    groups: dict[tuple[int, str], list[Video]] = {}
    for place, ledger in enumerate(ledgers):
        for video in ledger.videos():
            if video.task == spec.task:
                groups.setdefault((place, video.model), []).append(video)
    runs = _run_names([ledger.run for ledger in ledgers])
    count = Counter(model for _, model in groups)
    rows = []
    for (place, model), videos in groups.items():
        cells: dict[str, Cell] = {}
        for column in spec.columns:
            if column.metric:
                cells[column.name] = _metric_cell(selections[column.metric], place, videos)
            elif column.fact:
                cells[column.name] = _length_cell(videos)
        for column in spec.columns:
            if column.mean_of:
                cells[column.name] = _mean_cell([cells[name] for name in column.mean_of])
        rows.append(
            Row(
                label=model if count[model] == 1 else f"{model} [{runs[place]}]",
                weights=_row_weights(place, videos, selections),
                videos=len(videos),
                cells=cells,
            )
        )
    return tuple(rows)


def _metric_cell(selection: Selection, place: int, videos: Sequence[Video]) -> Cell:
    scores = {video.id: selection.scores.get((place, video.id)) for video in videos}
    asked = any(run == place for run, _ in selection.scores)
    return _cell(
        [
            (score.value, score.frames if selection.weighting == "frames" else 1)
            for score in scores.values()
            if score is not None and score.value is not None
        ],
        {
            id_: score.failure.kind
            for id_, score in scores.items()
            if score is not None and score.failure is not None and score.failure.counts
        },
        [id_ for id_, score in scores.items() if score is None and asked],
    )


def _length_cell(videos: Sequence[Video]) -> Cell:
    lengths = {video.id: video.media.seconds if video.media else None for video in videos}
    return _cell(
        [(length, 1) for length in lengths.values() if length is not None],
        {video.id: video.failure.kind for video in videos if video.failure is not None},
        [],
    )


def _cell(
    values: Sequence[tuple[float, int]], failures: Mapping[str, str], waiting: Iterable[str]
) -> Cell:
    """Averages (value, weight) pairs; the sum is exact, so that their order does not matter."""
    total = sum(weight for _, weight in values)
    mean = math.fsum(value * weight for value, weight in values) / total if total else None
    return Cell(mean, failures, frozenset(waiting))


def _mean_cell(cells: Sequence[Cell]) -> Cell:
    values = [cell.value for cell in cells if cell.value is not None]
    return Cell(
        value=math.fsum(values) / len(values) if len(values) == len(cells) else None,
        failures={id_: kind for cell in cells for id_, kind in cell.failures.items()},
        waiting=frozenset().union(*(cell.waiting for cell in cells)),
    )


def _row_weights(
    place: int, videos: Sequence[Video], selections: Mapping[str, Selection]
) -> tuple[str, ...]:
    scores = (
        selection.scores.get((place, video.id))
        for selection in selections.values()
        for video in videos
    )
    return tuple(sorted({score.weights for score in scores if score is not None}))


def _run_names(runs: Sequence[Path]) -> list[str]:
    """The runs' folders by name, or by their path below what they share where names are equal."""
    names = [run.resolve().name for run in runs]
    if len(set(names)) == len(names):
        return names
    shared = os.path.commonpath([run.resolve() for run in runs])
    return [run.resolve().relative_to(shared).as_posix() for run in runs]


def _notes(row: Row, spec: TableSpec) -> list[str]:
    """Says how many videos of a row have no score and why, columns of equal reasons together."""
    reasons: dict[str, list[str]] = {}
    measured = [column for column in spec.columns if not column.mean_of]
    for column in measured:
        cell = row.cells[column.name]
        parts = []
        if cell.failures:
            kinds = sorted(Counter(cell.failures.values()).items())
            told = ", ".join(f"{kind} {count}" for kind, count in kinds)
            parts.append(f"{len(cell.failures)} of {row.videos} videos failed ({told})")
        if cell.waiting:
            parts.append(f"{len(cell.waiting)} of {row.videos} videos are not scored")
        if parts:
            reasons.setdefault(" and ".join(parts), []).append(column.title.lower())
    return [
        f"{row.label}: {reason}"
        + (" in all columns." if len(titles) == len(measured) else f" in {', '.join(titles)}.")
        for reason, titles in reasons.items()
    ]


def _published(spec: TableSpec) -> list[tuple[str, ...]]:
    if spec.published is None:
        return []
    path = resources.files("results") / "paper" / spec.published
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    label = next(iter(rows[0]))
    return [
        (row[label], *(row.get(column.name) or DASH for column in spec.columns)) for row in rows
    ]


def set_label(weights: Iterable[str]) -> str:
    """What captions and rows say of sets of weights: nothing of the official ones."""
    sets = sorted(set(weights))
    if sets in ([], ["official"], ["none"]):
        return ""
    return f" ({' and '.join(sets)} weights)"
