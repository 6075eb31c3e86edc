"""Answers that follow a schema: asking for them in words, and reading what came."""

import json
import re
from collections.abc import Sequence
from typing import Any

from mora.language.model import Message, Schema

_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*(?:```|$)", re.DOTALL | re.IGNORECASE)


def asked_in_words(messages: Sequence[Message], schema: Schema) -> list[Message]:
    """Returns messages that end with the wish for JSON of a schema, in words.

    The schema is shown by its form, since small models take a schema itself for what to write.
    """
    form = json.dumps(_form(schema), ensure_ascii=False)
    wish = f"Answer with JSON and nothing else, in this form: {form}"
    *before, last = messages
    return [*before, last.model_copy(update={"content": f"{last.content}\n\n{wish}"})]


def _form(schema: Any) -> Any:
    """What follows a schema looks like: its fields, with what may stand there in words."""
    kind = schema.get("type")
    if kind == "object":
        return {name: _form(each) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [_form(schema.get("items", {}))]
    if "enum" in schema:
        return " or ".join(str(each) for each in schema["enum"])
    return f"<{kind or 'any value'}>"


def read_json(text: str) -> dict[str, Any] | None:
    """Reads the JSON object of an answer, also from a code fence or from among other words.

    Returns:
        The object; `None` if there is none, or if it is cut in half.
    """
    for part in (text, *_FENCE.findall(text), text[text.find("{") :]):
        found = _object(part.strip())
        if found is not None:
            return found
    return None


def whole_objects(text: str, field: str) -> list[dict[str, Any]]:
    """Returns the objects of a list that an answer holds, as far as they are whole.

    Args:
        text: The answer, such as `{"prompts": [{"number": 1, "text": "a"}, {"num`.
        field: Name of the list in the answer's object.
    """
    start = re.search(rf'"{re.escape(field)}"\s*:\s*\[', text)
    if start is None:
        return []
    found: list[dict[str, Any]] = []
    place = start.end()
    while True:
        place = _after(text, place, ",")
        item, place = _decode(text, place)
        if not isinstance(item, dict):
            return found
        found.append(item)


def _object(text: str) -> dict[str, Any] | None:
    value, _ = _decode(text, 0)
    return value if isinstance(value, dict) else None


def _after(text: str, place: int, sign: str) -> int:
    """The place after blanks and one sign, if it stands there."""
    while place < len(text) and (text[place].isspace() or text[place] == sign):
        place += 1
    return place


def _decode(text: str, place: int) -> tuple[Any, int]:
    try:
        return json.JSONDecoder().raw_decode(text, place)
    except (ValueError, RecursionError):  # nested deeper than Python can follow
        return None, place
