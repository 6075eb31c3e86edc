"""Writes prompt sets: the counterpart of `prompts.load`."""

import json
from collections.abc import Iterable
from pathlib import Path

from mora.media.atomic import writing
from mora.records import Prompt


def line(prompt: Prompt) -> str:
    """Returns a prompt as its line of a set, without the end of the line.

    Fields that have their default value are left out, except the task and how it was written.
    """
    fields = prompt.model_dump(mode="json", exclude_defaults=True)
    source = {"mode": prompt.source.mode} | fields.get("source", {})
    told = {"id": prompt.id, "task": prompt.task.value} | fields | {"source": source}
    return json.dumps(told, ensure_ascii=False)


def save(prompts: Iterable[Prompt], path: Path) -> None:
    """Writes a prompt set; `load` reads the same prompts from it.

    Args:
        prompts: The prompts, in the order of their lines.
        path: The file. It appears whole or not at all; one that is there is replaced.
    """
    with writing(path) as temporary:
        temporary.write_text(
            "".join(f"{line(prompt)}\n" for prompt in prompts), encoding="utf-8", newline="\n"
        )
