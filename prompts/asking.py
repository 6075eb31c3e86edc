"""How a language model is asked to write prompts: the messages, and the schema of its answer.

Nothing that a model answered is sent to one again: briefs, examples and rules are this project's
own, or from a set that the person named. So what an answer says cannot steer the next request.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import JsonValue

from mora.language.model import Message
from mora.records import Prompt, TaskName
from prompts.briefs import Brief
from prompts.tags import MOTIONS, MOVING_OBJECTS, STYLES, SUBJECTS, values

VERSION: Final = 1
"""Number of the words below; a change of them needs a new one."""

FIELD: Final = "prompts"
"""Name of the list in an answer."""

DIGITAL_WORLD: Final = "digital world"
"""The style of the task simulate_digital_world, which is no other's."""

WHAT: Final[Mapping[TaskName, str]] = {
    TaskName.TEXT_TO_VIDEO: (
        "Each prompt describes one shot of a few seconds as a caption of a finished film would: "
        "who or what is seen, what it does, where, in what light, how the camera moves, in what "
        "style it was shot."
    ),
    TaskName.IMAGE_TO_VIDEO: (
        "A still picture is to be set in motion; the brief says what it shows. Each prompt says "
        "what begins to move, how, and what the camera does. It does not describe the picture "
        "again."
    ),
    TaskName.EXTEND_VIDEO: (
        "A video is to be carried on; the brief says what it shows. Each prompt says what happens "
        "next, with the same subjects at the same place."
    ),
    TaskName.EDIT_VIDEO: (
        "A video is to be changed; the brief says what it shows. Each prompt is an instruction "
        "that changes one thing: the season, the light, the place, a subject, the style or the "
        "era."
    ),
    TaskName.CONNECT_VIDEOS: (
        "Two videos are to be joined; the brief says what the first and the second show. Each "
        "prompt says by what passage of a few seconds the first scene turns into the second."
    ),
    TaskName.SIMULATE_DIGITAL_WORLD: (
        "Each prompt describes one shot of a few seconds from inside a video game or another "
        "digital world: what is built there and of what, who acts, what the player's camera does."
    ),
}
"""What a prompt of a task says."""

RULES: Final = (
    "Write {length}. Be concrete and visual. Every prompt is a scene of its own, told in its own "
    "words and sentences. No real person, no brand, no title of a work; nothing violent, sexual or "
    "hateful; no text that has to be read in the picture. Write plain sentences in {language}: no "
    "heading, no list, no quotation marks around the prompt."
)

LENGTHS: Final[Mapping[TaskName, str]] = {
    TaskName.TEXT_TO_VIDEO: "40 to 70 words a prompt",
    TaskName.SIMULATE_DIGITAL_WORLD: "25 to 50 words a prompt",
    TaskName.EDIT_VIDEO: "8 to 20 words a prompt",
}
_LENGTH: Final = "15 to 35 words a prompt"


AGAIN: Final = (
    "Match the detail and the range of these prompts, and take none of their scenes, words or "
    "camera moves."
)
"""What is said after examples."""


def messages(
    task: TaskName,
    briefs: Sequence[Brief],
    examples: Sequence[Prompt],
    language: str,
    *,
    tags: bool,
) -> list[Message]:
    """Returns the messages that ask for a prompt for each brief.

    Args:
        task: The set's task.
        briefs: What the prompts are to be about.
        examples: Prompts of the same task that are shown, none for zero-shot.
        language: Code of the language to write in, such as `en`.
        tags: Whether the model is to say how its prompts are tagged.
    """
    rules = RULES.format(
        length=LENGTHS.get(task, _LENGTH),
        language="English" if language == "en" else f"the language with the code {language}",
    )
    told = f"You write prompts for models that make videos. {WHAT[task]}\n{rules}"
    conversation = [Message(role="system", content=told)]
    if examples:
        shown = [_as_brief(number, each) for number, each in enumerate(examples, start=1)]
        items = [_item(number, each, tags=tags) for number, each in enumerate(examples, start=1)]
        conversation += [
            Message(role="user", content=_request(shown, tags=tags)),
            Message(role="assistant", content=json.dumps({FIELD: items}, ensure_ascii=False)),
        ]
    request = _request(briefs, tags=tags)
    again = f"{AGAIN}\n\n{request}" if examples else request
    return [*conversation, Message(role="user", content=again)]


def _request(briefs: Sequence[Brief], *, tags: bool) -> str:
    """Asks for a prompt for each brief."""
    count = "one prompt" if len(briefs) == 1 else f"{len(briefs)} prompts, one for each brief"
    wanted = "\n".join(_line(brief) for brief in briefs)
    return f"Write {count}:\n{wanted}\n\n{_form(briefs, tags=tags)}"


def _as_brief(number: int, example: Prompt) -> Brief:
    """The brief that an example might have been written for."""
    wishes = [
        (name, values(example, tag)[0])
        for name, tag in (
            ("main subject", "subjects"),
            ("style", "style"),
            ("main movement", "motion"),
            ("moving objects", MOVING_OBJECTS),
        )
        if values(example, tag)
    ]
    return Brief(number, tuple(wishes))


def schema(task: TaskName, *, tags: bool) -> dict[str, JsonValue]:
    """Returns the JSON schema of an answer: a list of prompts, each with the number of its brief.

    It stays within what servers' strict modes take: every field is needed, none may be added.
    """
    fields: dict[str, JsonValue] = {"number": {"type": "integer"}, "text": {"type": "string"}}
    if tags:
        fields |= {
            "subjects": _names(SUBJECTS),
            "style": {"type": "string", "enum": list(styles(task))},
            "motion": _names(MOTIONS),
            MOVING_OBJECTS: {"type": "integer", "enum": [0, 1, 2, 3, 4]},
        }
    item: dict[str, JsonValue] = {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {FIELD: {"type": "array", "items": item}},
        "required": [FIELD],
        "additionalProperties": False,
    }


def styles(task: TaskName) -> tuple[str, ...]:
    """The styles that a prompt of a task may have."""
    return (DIGITAL_WORLD,) if task is TaskName.SIMULATE_DIGITAL_WORLD else STYLES


def _names(allowed: Sequence[str]) -> dict[str, JsonValue]:
    return {"type": "array", "items": {"type": "string", "enum": list(allowed)}}


def _item(number: int, prompt: Prompt, *, tags: bool) -> dict[str, Any]:
    """An example as an answer would hold it."""
    item: dict[str, Any] = {"number": number, "text": prompt.text}
    if tags:
        item |= {
            "subjects": list(values(prompt, "subjects")),
            "style": prompt.tags["style"],
            "motion": list(values(prompt, "motion")),
            MOVING_OBJECTS: prompt.tags[MOVING_OBJECTS],
        }
    return item


def _line(brief: Brief) -> str:
    """A brief in one line."""
    about = [f"input shows {json.dumps(each.text, ensure_ascii=False)}" for each in brief.inputs]
    about += [f"{name}: {value}" for name, value in brief.wishes]
    if brief.cue is not None:
        about.append(f"for example at {brief.cue}")
    return f"{brief.number}. {'; '.join(about)}"


def _form(briefs: Sequence[Brief], *, tags: bool) -> str:
    """How to answer."""
    numbers = ", ".join(str(brief.number) for brief in briefs)
    told = (
        f'Answer with a JSON object whose list "{FIELD}" has one entry for each of the numbers '
        f'{numbers}: its "number" and the "text" of its prompt'
    )
    if not tags:
        return f"{told}."
    return (
        f'{told}, and what is true of this text: "subjects" (kinds of what is seen, the main one '
        f'first), "style", "motion" (kinds of movement, the main one first) and "{MOVING_OBJECTS}" '
        "(how many things move: 0 to 3, or 4 for more)."
    )
