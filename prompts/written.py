"""Reads what a language model wrote, and says what is wrong with it.

An answer is data. Its fields are those of the schema and no others, so that a text can be nothing
but the text of a prompt: it sets no id, no input, no licence, no path.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import Field, StrictInt, StrictStr, ValidationError

from mora.language.structured import read_json, whole_objects
from mora.records import Record, TaskName
from prompts.asking import FIELD, styles
from prompts.tags import MOTIONS, MOVING_OBJECTS, SUBJECTS
from prompts.words import words

_MARKUP: Final = re.compile(r"<\|.*?\|>|</?\w+>|https?://|```|[\x00-\x08\x0b-\x1f\x7f]")
"""What no scene has in it: marks of a chat, markup, addresses, control characters."""


class Fault(StrEnum):
    """What can be wrong with an answer, or with a prompt in it."""

    REFUSED = "refused"
    """The model would not answer."""
    EMPTY = "empty"
    """The answer has no text."""
    CUT_OFF = "cut off"
    """The answer ended before its JSON did; the prompts that were whole by then are taken."""
    NO_JSON = "no JSON"
    """The answer is not the JSON object that was asked for."""
    TOO_LONG = "too long for the model"
    """The request does not fit the model's context."""
    WRONG_FIELDS = "wrong fields"
    """A prompt lacks a field, has one too many, or has a value that is not allowed."""
    NOT_ASKED = "not asked for"
    """A prompt's number was not asked for, or came before in the same answer."""
    MISSING = "missing"
    """A number that was asked for is not in the answer."""
    UNFIT_TEXT = "unfit text"
    """The text is too short, too long, or holds marks that no scene has."""
    COPIED = "copy of an example"
    """The text is a near-duplicate of an example that was shown, or of a set to keep away from."""
    NEAR_DUPLICATE = "near-duplicate"
    """The text is a near-duplicate of one that was taken before."""


class Item(Record):
    """One prompt of an answer."""

    number: StrictInt
    text: StrictStr = Field(min_length=1)
    subjects: tuple[StrictStr, ...] | None = None
    style: StrictStr | None = None
    motion: tuple[StrictStr, ...] | None = None
    moving_objects: StrictInt | None = Field(default=None, ge=0, le=4)


@dataclass(frozen=True)
class Limits:
    """What a text may be.

    Attributes:
        fewest_words: Words that it has at least.
        most_characters: Characters that it has at most.
    """

    fewest_words: int
    most_characters: int


@dataclass(frozen=True)
class Reading:
    """What an answer holds.

    Attributes:
        items: Its prompts that are whole and well-formed, by their numbers.
        faults: What is wrong with the others, or with the answer.
    """

    items: dict[int, Item]
    faults: list[Fault]


def read(text: str, asked: Sequence[int], task: TaskName, limits: Limits, *, tags: bool) -> Reading:
    """Reads an answer.

    Args:
        text: The answer.
        asked: Numbers of the prompts that were asked for.
        task: The set's task.
        limits: What a text may be.
        tags: Whether tags were asked for.
    """
    document = read_json(text)
    found: list[Any]
    faults = []
    if document is not None and isinstance(document.get(FIELD), list):
        found = document[FIELD]
    else:
        found = list(whole_objects(text, FIELD))
        faults.append(Fault.NO_JSON)
    items: dict[int, Item] = {}
    for each in found:
        item = _item(each, task, tags=tags)
        if item is None:
            faults.append(Fault.WRONG_FIELDS)
        elif item.number not in asked or item.number in items:
            faults.append(Fault.NOT_ASKED)
        elif not _fits(item.text, limits):
            faults.append(Fault.UNFIT_TEXT)
        else:
            items[item.number] = item
    if found or not faults:
        faults += [Fault.MISSING] * max(0, len(asked) - len(found))
    return Reading(items, faults)


def _item(value: Any, task: TaskName, *, tags: bool) -> Item | None:
    """A prompt of an answer; `None` where it is not of the schema."""
    try:
        item = Item.model_validate(value)
    except ValidationError:
        return None
    said = item.model_fields_set - {"number", "text"}
    if said != ({"subjects", "style", "motion", MOVING_OBJECTS} if tags else set()):
        return None
    if tags and not (
        _all_of(item.subjects, SUBJECTS)
        and _all_of(item.motion, MOTIONS)
        and item.style in styles(task)
        and item.moving_objects is not None
    ):
        return None
    return item.model_copy(update={"text": " ".join(item.text.split())})


def _all_of(said: Sequence[str] | None, allowed: Sequence[str]) -> bool:
    """Whether some names were said, each once and each of those allowed."""
    return bool(said) and len(set(said or ())) == len(said or ()) and set(said or ()) <= {*allowed}


def _fits(text: str, limits: Limits) -> bool:
    return (
        len(text) <= limits.most_characters
        and len(words(text)) >= limits.fewest_words
        and _MARKUP.search(text) is None
    )
