"""Writes a run's report: contact sheets, posters, and the page that plays the videos."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from eval.ledger import LedgerReader
from eval.rendering import MARK, footnotes, row_texts
from eval.report.looks import Look, Looks
from eval.report.page import (
    FailureLine,
    Group,
    Number,
    Page,
    Player,
    Sheet,
    TableLine,
    mark_best,
    render_page,
)
from eval.report.sheets import Strip, contact_sheet
from eval.selection import Scored, Selection, select
from eval.tables import DASH, Table
from metrics.registry import METRICS
from mora.media import MediaError, write_image
from mora.records import Failure, TaskName, Video

PLAYABLE: Final = frozenset({".mp4", ".m4v", ".webm", ".mov"})
"""Suffixes that browsers play, as far as a suffix can tell."""
DECIMALS: Final = 3
"""Of the scores below a video."""


@dataclass(frozen=True)
class Report:
    """The files of a report."""

    page: Path
    sheets: tuple[Path, ...]


@dataclass(frozen=True)
class _Looked:
    """A video as the report shows it: its look, or why it has none."""

    video: Video
    look: Look | None = None
    failure: Failure | None = None


def write_report(
    ledger: LedgerReader,
    table: Table,
    folder: Path,
    *,
    protocol: str | None = None,
    weights: str | None = None,
    prompts: int = 48,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Writes the report of a run.

    Args:
        ledger: The run's.
        table: Its table, which the page shows.
        folder: Where the files go: `index.html`, `sheets/`, and what `Looks` keeps.
        protocol: As given to `make_table`.
        weights: As given to `make_table`.
        prompts: Prompts to show, the first ones.
        report: Called with the videos that are read and their number.
    """
    videos = [video for video in ledger.videos() if video.task == table.spec.task]
    groups = list(_grouped(videos).values())
    shown = groups[:prompts]
    looked = _look(ledger.run, [video for group in shown for video in group], folder, report)
    sheets = _write_sheets(ledger.run, looked, folder / "sheets")
    selections = select(
        [ledger], table.spec.metrics, table.spec.task, protocol=protocol, weights=weights
    )
    page = Page(
        title=ledger.run.resolve().name,
        caption=table.caption,
        columns=("Videos", *(column.title for column in table.spec.columns)),
        heading=table.heading,
        measured=_measured(table),
        published_heading=f"published ({table.spec.citation})" if table.published else "",
        published=tuple(
            TableLine(label, (Number("", ""), *(Number("", text) for text in texts)))
            for label, *texts in table.published
        ),
        notes=_notes(table),
        groups=tuple(
            _group(ledger, [looked[video.id] for video in group], table, selections, folder)
            for group in shown
        ),
        omitted=len(groups) - len(shown),
        sheets=tuple(Sheet(model, _address(path, folder)) for model, path in sheets.items()),
        failures=tuple(_failures(videos, selections, table)),
    )
    path = folder / "index.html"
    temporary = folder / ".index.html.tmp"
    temporary.write_text(render_page(page), encoding="utf-8")
    return Report(temporary.replace(path), tuple(sheets.values()))


def _grouped(videos: Iterable[Video]) -> dict[tuple[str | None, ...], list[Video]]:
    """Videos of the same prompt and seed together, in the order of the first of them."""
    groups: dict[tuple[str | None, ...], list[Video]] = {}
    for video in videos:
        seed = None if video.seed is None else str(video.seed)
        groups.setdefault((video.prompt_id, video.text, seed), []).append(video)
    return groups


def shown_videos(ledger: LedgerReader, task: TaskName, prompts: int) -> list[Video]:
    """The videos that a report of the first `prompts` prompts shows."""
    groups = _grouped(video for video in ledger.videos() if video.task == task)
    return [video for group in list(groups.values())[:prompts] for video in group]


def _look(
    run: Path, videos: Sequence[Video], folder: Path, report: Callable[[int, int], None]
) -> dict[str, _Looked]:
    """Looks at each video, or finds out why there is nothing to see."""
    looks = Looks(folder)
    looked: dict[str, _Looked] = {}
    for done, video in enumerate(videos):
        report(done, len(videos))
        looked[video.id] = _look_at(video, run, looks)
    report(len(videos), len(videos))
    return looked


def _look_at(video: Video, run: Path, looks: Looks) -> _Looked:
    if video.media is None:
        return _Looked(video, failure=video.failure)
    try:
        return _Looked(video, look=looks.look(video.media, run))
    except MediaError as error:
        return _Looked(video, failure=error.failure())


def _write_sheets(run: Path, looked: Mapping[str, _Looked], folder: Path) -> dict[str, Path]:
    """Draws a contact sheet for each model."""
    models: dict[str, list[_Looked]] = {}
    for each in looked.values():
        models.setdefault(each.video.model, []).append(each)
    sheets: dict[str, Path] = {}
    for model, rows in models.items():
        strips = [
            Strip(
                each.video.text or each.video.prompt_id or each.video.id,
                each.look.strip if each.look is not None else None,
                each.failure.message if each.failure is not None else "",
            )
            for each in rows
        ]
        path = folder / f"{_file_name(model, {path.stem for path in sheets.values()})}.png"
        write_image(path, contact_sheet(f"{model} ({run.resolve().name})", strips))
        sheets[model] = path
    return sheets


def _file_name(model: str, taken: set[str]) -> str:
    """A name for a model's file that any disk can hold, and no other model has."""
    name = re.sub(r"[^\w.-]+", "_", model).strip(".") or "model"
    return name if name not in taken else _file_name(f"{name}_", taken)


def _measured(table: Table) -> tuple[TableLine, ...]:
    """The table's rows. Lengths are facts, of which none is the best."""
    spec = table.spec
    values = [
        [
            None
            if column.fact
            else _rounded(row.cells[column.name].value, spec.decimals_of(column))
            for column in spec.columns
        ]
        for row in table.rows
    ]
    found = []
    for (label, videos, *texts), best in zip(row_texts(table), mark_best(values), strict=True):
        numbers = [
            Number(column.title, text.removesuffix(MARK), best=is_best, partial=text.endswith(MARK))
            for column, text, is_best in zip(spec.columns, texts, best, strict=True)
        ]
        found.append(TableLine(label, (Number("", videos), *numbers)))
    return tuple(found)


def _notes(table: Table) -> tuple[str, ...]:
    notes = footnotes(table)
    if any("mini" in row.weights for row in table.rows):
        notes.append(
            "Measured with miniature weights: these numbers compare with each other, not with the "
            "published ones."
        )
    return tuple(notes)


def _group(
    ledger: LedgerReader,
    looked: Sequence[_Looked],
    table: Table,
    selections: Mapping[str, Selection],
    folder: Path,
) -> Group:
    columns = [column for column in table.spec.columns if column.metric]
    scores = [
        [selections[column.metric or ""].scores.get((0, each.video.id)) for column in columns]
        for each in looked
    ]
    values = [
        [_rounded(score.value, DECIMALS) if score is not None else None for score in row]
        for row in scores
    ]
    players = []
    for each, row, best in zip(looked, scores, mark_best(values), strict=True):
        numbers = tuple(
            _number(column.title, column.metric or "", score, is_best)
            for column, score, is_best in zip(columns, row, best, strict=True)
        )
        failure = each.failure.message if each.failure is not None else ""
        players.append(
            Player(
                model=each.video.model,
                video=_playable(ledger.run, each.video, folder),
                poster=_address(each.look.poster, folder) if each.look is not None else None,
                numbers=() if failure else numbers,
                failure=failure,
            )
        )
    first = looked[0].video
    return Group(
        heading=first.prompt_id or first.id,
        text=first.text,
        completed=_completed(ledger, [each.video for each in looked]),
        players=tuple(players),
    )


def _number(title: str, metric: str, score: Scored | None, best: bool) -> Number:
    if score is None or score.value is None:
        kind = score.failure.kind if score is not None and score.failure is not None else ""
        return Number(title, DASH, reason=kind.replace("_", " "))
    low, high = METRICS[metric].bounds
    share = min(1.0, max(0.0, (score.value - low) / (high - low)))
    return Number(title, f"{score.value:z.{DECIMALS}f}", share, best)


def _rounded(value: float | None, decimals: int) -> float | None:
    """A value as it is shown, so that what looks alike is not told apart."""
    return None if value is None else round(value, decimals)


def _completed(ledger: LedgerReader, videos: Sequence[Video]) -> str | None:
    """What the prompt agent made of the prompt, if it changed it."""
    for video in videos:
        for artifact in ledger.artifacts(video.id).values():
            if artifact.text is not None and artifact.text != video.text:
                return artifact.text
    return None


def _playable(run: Path, video: Video, folder: Path) -> str | None:
    """Address of a video relative to the page, if a browser plays it."""
    if video.media is None or Path(video.media.path).suffix.lower() not in PLAYABLE:
        return None
    return _address(run / video.media.path, folder)


def _address(path: Path, folder: Path) -> str:
    """Address of a file relative to the page."""
    relative = os.path.relpath(path.resolve(), folder.resolve())
    return quote(Path(relative).as_posix())


def _failures(
    videos: Sequence[Video], selections: Mapping[str, Selection], table: Table
) -> Iterable[FailureLine]:
    """Videos that were not made or read, and else the metrics that have no score."""
    titles = {column.metric: column.title for column in table.spec.columns if column.metric}
    for video in videos:
        prompt = video.prompt_id or video.id
        if video.failure is not None:
            failure = video.failure
            yield FailureLine(video.model, prompt, "video", failure.kind.value, failure.message)
            continue
        reasons: dict[tuple[str, str], list[str]] = {}
        for metric, selection in selections.items():
            score = selection.scores.get((0, video.id))
            if score is not None and score.failure is not None and score.failure.counts:
                reason = (score.failure.kind.value, score.failure.message)
                reasons.setdefault(reason, []).append(titles[metric])
        for (kind, message), metrics in reasons.items():
            yield FailureLine(video.model, prompt, ", ".join(metrics), kind, message)
