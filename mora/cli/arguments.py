"""Prepares a verb's arguments for Hydra's grammar.

In that grammar a comma asks for several runs, and spaces, brackets and equals signs in a value
need quotes. On this command line a list may be written with commas, and a path as it is. A nested
group is chosen like any other setting: `agents.image_to_video=ltx`, which in Hydra's grammar is
`agents/image_to_video=ltx`; and a setting of an agent that its file leaves at the model's default
is set like one that is written there: `agents.text_to_image.call.guidance_scale=7`.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

CONF: Final = Path(__file__).resolve().parents[1] / "conf"

LISTS: Final = frozenset({"model", "metrics", "damages"})
"""Settings that take several names."""
TEXTS: Final = frozenset(
    {"cache", "out", "weights_folder", "prompts.path", "captioner.weights", "captioner.base_url"}
)
"""Settings whose value is taken as it is, such as paths."""
LISTS_OF_TEXTS: Final = frozenset({"videos"})
"""Settings that take several paths."""


def prepare(arguments: Sequence[str], *, lists_of_texts: Collection[str] = ()) -> list[str]:
    """Returns a verb's arguments as Hydra reads them.

    Args:
        arguments: What was typed: flags and `name=value`.
        lists_of_texts: The verb's own settings that take several paths, such as `run`; elsewhere
            `run` takes one.
    """
    several = "--multirun" in arguments or "-m" in arguments
    prepared: list[str] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if _is_of_an_agent(name):
            prepared.append(_of_an_agent(name, value))
        elif argument.startswith("-") or not equals or _is_written_out(value):
            prepared.append(argument)
        elif name == "prompts" and not _is_choice("prompts", value):
            prepared += ["prompts=file", f"prompts.path={_quoted(value)}"]
        elif name in LISTS or name in LISTS_OF_TEXTS or name in lists_of_texts:
            quote = str if name in LISTS else _quoted
            parts = [quote(part) for part in value.split(",")]
            each = [f"[{part}]" for part in parts] if several else [f"[{','.join(parts)}]"]
            prepared.append(f"{name}={','.join(each)}")
        elif name in TEXTS or name == "run":
            parts = [_quoted(part) for part in (value.split(",") if several else [value])]
            prepared.append(f"{name}={','.join(parts)}")
        else:
            prepared.append(argument)
    return prepared


def _is_written_out(value: str) -> bool:
    """Whether a value already is in the grammar's own form: quoted, a list, null or empty."""
    return value in ("", "null") or value[0] in "'\"[{$"


def _is_of_an_agent(name: str) -> bool:
    """Whether a setting is an agent's role or lies below one: `agents.ROLE` or `agents.ROLE.x`."""
    parts = name.split(".")
    return parts[0] == "agents" and len(parts) > 1 and (CONF / "agents" / parts[1]).is_dir()


def _of_an_agent(name: str, value: str) -> str:
    """A choice of the role's group; or a value, which need not be in the choice's file yet.

    What no model knows is told where the settings are read, with the model's own settings.
    """
    is_choice = name.count(".") == 1 and value not in ("", "null") and value[0] not in "{$"
    return f"{name.replace('.', '/')}={value}" if is_choice else f"++{name}={value}"


def _is_choice(group: str, value: str) -> bool:
    choices = {path.stem for path in (CONF / group).glob("*.yaml")}
    return all(part in choices for part in value.split(","))


def _quoted(text: str) -> str:
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"
