"""Reads which prompt each video of a folder was made from."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from prompts.load import PromptSetError

COLUMNS = ("file", "prompt")


def load_manifest(path: Path) -> dict[str, str]:
    """Reads a list of videos and their prompts.

    Args:
        path: `.csv` with a header, or `.jsonl` with an object a line, in UTF-8. The columns are
            `file` (path relative to the folder of videos) and `prompt`; others are ignored.

    Returns:
        Prompt by file, in the list's order.

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
    prompts: dict[str, str] = {}
    try:
        rows = list(readers[path.suffix.lower()](path))
    except UnicodeDecodeError as error:
        raise PromptSetError(f"{path}: a list of videos is UTF-8 text; {error}.") from None
    for number, row in rows:
        for column in COLUMNS:
            value = row.get(column)
            if not isinstance(value, str) or not value.strip():
                raise PromptSetError(
                    f"{path}, line {number}, column {column}: expected text, found {value!r}."
                )
        file = Path(row["file"]).as_posix()
        if file in prompts:
            raise PromptSetError(f"{path}, line {number}, column file: {file!r} is listed twice.")
        prompts[file] = row["prompt"]
    if not prompts:
        raise PromptSetError(f"{path}: expected at least one video and its prompt, found none.")
    return prompts


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
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


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
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
