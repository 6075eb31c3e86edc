"""Reads prompt sets: one JSON object a line, each a `Prompt`."""

import json
from collections.abc import Hashable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from mora.records import Prompt, TaskName

Key = TypeVar("Key", bound=Hashable)

SETS = Path(__file__).resolve().parent / "sets"
"""The prompt sets that come with the project."""


class PromptSetError(ValueError):
    """A prompt set, or a list of videos and prompts, that cannot be read."""


def names() -> tuple[str, ...]:
    """Returns the names of the sets that come with the project."""
    return tuple(sorted(path.stem for path in SETS.glob("*.jsonl")))


def locate(name_or_path: str) -> Path:
    """Returns the file of a set: one that comes with the project, or any path.

    Raises:
        PromptSetError: There is neither such a set nor such a file.
    """
    if name_or_path in names():
        return SETS / f"{name_or_path}.jsonl"
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise PromptSetError(
        f"{name_or_path}: no such prompt set or file. The sets are: {', '.join(names())}."
    )


def load(path: Path, task: TaskName | None = None) -> tuple[Prompt, ...]:
    """Reads a prompt set in the order of its lines. Blank lines are skipped.

    Args:
        path: JSON Lines in UTF-8. The fields are those of `mora.records.Prompt`.
        task: If given, a prompt of another task is an error.

    Raises:
        PromptSetError: The file is missing or empty, a line is not a JSON object or has a field
            that is missing, unknown or wrong, or two prompts share an id or ask for the same.
            The message names the file, the line and the field.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise PromptSetError(f"{path}: no such prompt set.") from None
    except UnicodeDecodeError as error:
        raise PromptSetError(f"{path}: a prompt set is UTF-8 text; {error}.") from None
    prompts: list[Prompt] = []
    lines_of_ids: dict[str, int] = {}
    lines_of_texts: dict[tuple[TaskName, str, tuple[str, ...]], int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        prompt = _parse(line, where)
        if task is not None and prompt.task != task:
            raise PromptSetError(
                f"{where}, field task: expected {task.value}, found {prompt.task.value}."
            )
        _refuse_second(lines_of_ids, prompt.id, number, where, "id", prompt.id)
        asked = (prompt.task, prompt.text, prompt.inputs)
        _refuse_second(lines_of_texts, asked, number, where, "text", prompt.text)
        prompts.append(prompt)
    if not prompts:
        raise PromptSetError(f"{path}: expected at least one prompt, found none.")
    return tuple(prompts)


def _parse(line: str, where: str) -> Prompt:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise PromptSetError(
            f"{where}: expected one JSON object a line; {error.msg} at column {error.colno}."
        ) from None
    if not isinstance(value, dict):
        raise PromptSetError(
            f"{where}: expected a JSON object such as "
            f'{{"id": "a", "text": "a red circle"}}, found {line.strip()[:60]}'
        )
    try:
        return Prompt.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "(all)"
        problem = _problem(first["type"], first["msg"])
        raise PromptSetError(f"{where}, field {field}: {problem}") from None


def _problem(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return f"no such field. The fields are: {', '.join(Prompt.model_fields)}."
    if kind == "missing":
        return "missing."
    return f"{message}."


def _refuse_second(
    lines: dict[Key, int], key: Key, number: int, where: str, field: str, shown: str
) -> None:
    if key in lines:
        raise PromptSetError(
            f"{where}, field {field}: {shown!r} is already on line {lines[key]}; "
            "each prompt of a set is asked for once."
        )
    lines[key] = number
