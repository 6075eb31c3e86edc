"""Reads prompt sets: one JSON object a line, each a `Prompt`."""

import json
import re
from collections.abc import Hashable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from mora.records import Prompt, TaskName

Key = TypeVar("Key", bound=Hashable)

SETS = Path(__file__).resolve().parent / "sets"
"""The prompt sets that come with the project."""

LONGEST_ID: Final = 200
"""Characters of an id."""

_LANGUAGE: Final = re.compile("[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


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
    prompts, problems = inspect(path, task)
    if problems:
        others = len(problems) - 1
        more = f" {others} more lines are wrong: see mora prompts check." if others else ""
        raise PromptSetError(problems[0] + more)
    return prompts


def inspect(path: Path, task: TaskName | None = None) -> tuple[tuple[Prompt, ...], tuple[str, ...]]:
    """Reads what can be read of a prompt set, and tells of every line that cannot.

    Args:
        path: As for `load`.
        task: As for `load`.

    Returns:
        The prompts, and the problems; each names the file, the line and the field.

    Raises:
        PromptSetError: The file is missing, or is no text.
    """
    prompts: list[Prompt] = []
    problems: list[str] = []
    lines_of_ids: dict[str, int] = {}
    lines_of_texts: dict[tuple[TaskName, str, tuple[str, ...]], int] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            prompt = _parse(line, where)
            _refuse_other_task(prompt, task, where)
            _refuse_second(lines_of_ids, prompt.id, number, where, "id", prompt.id)
            asked = (prompt.task, prompt.text, prompt.inputs)
            _refuse_second(lines_of_texts, asked, number, where, "text", prompt.text)
        except PromptSetError as error:
            problems.append(str(error))
        else:
            prompts.append(prompt)
    if not prompts and not problems:
        problems.append(f"{path}: expected at least one prompt, found none.")
    return tuple(prompts), tuple(problems)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise PromptSetError(f"{path}: no such prompt set.") from None
    except IsADirectoryError:
        raise PromptSetError(f"{path}: expected a file, found a folder.") from None
    except UnicodeDecodeError as error:
        raise PromptSetError(f"{path}: a prompt set is UTF-8 text; {error}.") from None


def _parse(line: str, where: str) -> Prompt:
    try:
        value = json.loads(line, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise PromptSetError(
            f"{where}: expected one JSON object a line; {error.msg} at column {error.colno}."
        ) from None
    except _TwiceError as error:
        raise PromptSetError(f"{where}, field {error}: given twice.") from None
    except RecursionError:
        raise PromptSetError(f"{where}: expected one JSON object a line; it is too deep.") from None
    if not isinstance(value, dict):
        raise PromptSetError(
            f"{where}: expected a JSON object such as "
            f'{{"id": "a", "text": "a red circle"}}, found {line.strip()[:60]}'
        )
    try:
        # From JSON, since there lists are tuples and texts are names of tasks, but `true` is no 1.
        prompt = Prompt.model_validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = _field(first["loc"])
        raise PromptSetError(f"{where}, field {field}: {_problem(field, first)}") from None
    for field, problem in _faults(prompt):
        raise PromptSetError(f"{where}, field {field}: {problem}")
    return prompt


class _TwiceError(Exception):
    """A field that an object has twice; JSON does not say which of them counts."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _TwiceError(name)
        found[name] = value
    return found


def _field(place: Sequence[str | int]) -> str:
    """The name of a field; of a tag, without the kinds that its value might have had."""
    parts = place[:2] if place and place[0] == "tags" else place
    return ".".join(str(part) for part in parts) or "(all)"


def _problem(field: str, error: Any) -> str:
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden":
        return f"no such field. The fields are: {', '.join(Prompt.model_fields)}."
    if kind == "missing":
        return "missing."
    if field.startswith("tags."):
        return "expected a text, a whole number or a list of texts."
    return f"{message}."


def _faults(prompt: Prompt) -> Iterator[tuple[str, str]]:
    """What is wrong with fields of the right kind, as pairs of a field and its problem."""
    name, language, day = prompt.id, prompt.language, prompt.source.date
    if not name.isprintable() or name != name.strip() or len(name) > LONGEST_ID:
        expected = f"one line of at most {LONGEST_ID} printable characters, no space at its ends"
        yield "id", f"expected {expected}; found {name[:60]!r}."
    if not prompt.text.strip():
        yield "text", "expected words, found only spaces."
    if not _LANGUAGE.fullmatch(language):
        yield "language", f"expected a code such as en or pt-BR, found {language!r}."
    if day is not None and not _is_date(day):
        yield "source.date", f"expected a date such as 2026-01-31, found {day!r}."


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _refuse_other_task(prompt: Prompt, task: TaskName | None, where: str) -> None:
    if task is not None and prompt.task != task:
        raise PromptSetError(
            f"{where}, field task: expected {task.value}, found {prompt.task.value}."
        )


def _refuse_second(
    lines: dict[Key, int], key: Key, number: int, where: str, field: str, shown: str
) -> None:
    if key in lines:
        raise PromptSetError(
            f"{where}, field {field}: {shown!r} is already on line {lines[key]}; "
            "each prompt of a set is asked for once."
        )
    lines[key] = number
