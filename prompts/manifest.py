"""Reads what each video of a folder was made from: its prompt, and pictures and videos."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mora.records import Given, Origin, Role
from prompts.load import PromptSetError

COLUMNS = ("file", "prompt")
GIVEN = ("given_start", "given_end")

Row = Mapping[str, object]

_NOTHING = (None, "")
"""What stands where a row has no value in a column."""


def load_manifest(path: Path) -> dict[str, Origin]:
    """Reads a list of videos and what they were made from.

    Args:
        path: `.csv` with a header, or `.jsonl` with an object a line, in UTF-8. The columns are
            `file` (path relative to the folder of videos) and `prompt`; where there were inputs,
            `input_image`, `input_video`, `video_before` and `video_after` (paths relative to the
            list); where it is known how many of the video's frames were taken over from them,
            `given_start` and `given_end` (0 for none). Others are ignored.

    Returns:
        What each video was made from, by file, in the list's order.

    Raises:
        PromptSetError: The file is missing or of another kind, a column or a value is missing, or
            a video is listed twice. The message names the file, the line and the column.
    """
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows}
    if path.suffix.lower() not in readers:
        raise PromptSetError(
            f"{path}: expected a .csv or a .jsonl file with the columns file and prompt."
        )
    if not path.is_file():
        raise PromptSetError(f"{path}: no such file.")
    origins: dict[str, Origin] = {}
    try:
        rows = list(readers[path.suffix.lower()](path))
    except UnicodeDecodeError as error:
        raise PromptSetError(f"{path}: a list of videos is UTF-8 text; {error}.") from None
    for number, row in rows:
        where = f"{path}, line {number}"
        texts = {column: _text(row.get(column), f"{where}, column {column}") for column in COLUMNS}
        file = Path(texts["file"]).as_posix()
        if file in origins:
            raise PromptSetError(f"{where}, column file: {file!r} is listed twice.")
        origins[file] = Origin(
            prompt=texts["prompt"], inputs=_inputs(row, path, where), given=_given(row, where)
        )
    if not origins:
        raise PromptSetError(f"{path}: expected at least one video and its prompt, found none.")
    return origins


def _inputs(row: Row, path: Path, where: str) -> dict[Role, str]:
    told = {role: row.get(role.value) for role in Role}
    return {
        role: str((path.parent / _text(value, f"{where}, column {role.value}")).resolve())
        for role, value in told.items()
        if value not in _NOTHING
    }


def _given(row: Row, where: str) -> Given | None:
    """The frames that were given; none of an end that nobody speaks of, if one speaks of the other.

    A table of CSV has numbers as text.
    """
    told = {column: row.get(column) for column in GIVEN if row.get(column) not in _NOTHING}
    for column, value in told.items():
        if isinstance(value, bool) or not re.fullmatch("[0-9]+", str(value).strip()):
            raise PromptSetError(
                f"{where}, column {column}: expected a number of frames, found {value!r}."
            )
    counts = {column: int(str(value)) for column, value in told.items()}
    if not counts:
        return None
    return Given(start=counts.get("given_start", 0), end=counts.get("given_end", 0))


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise PromptSetError(f"{where}: expected text, found {value!r}.")
    return value


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            raise PromptSetError(
                f"{path}, line 1: expected a header with the columns {' and '.join(COLUMNS)}, "
                f"found {', '.join(rows.fieldnames or ()) or 'nothing'}."
            )
        for row in rows:
            yield rows.line_num, row


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise PromptSetError(
                f"{path}, line {number}: expected one JSON object a line; {error.msg}."
            ) from None
        if not isinstance(row, dict):
            raise PromptSetError(f"{path}, line {number}: expected a JSON object.")
        yield number, row
