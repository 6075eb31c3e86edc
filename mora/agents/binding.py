"""Binds the agents' roles to models by settings, as `mora/conf/agents` holds them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from mora.agents import prompt
from mora.agents.connection import Connection, ConnectionSettings, bind_connection
from mora.agents.image_to_image import ImageToImage, PipelineImageToImage
from mora.agents.image_to_video import ImageToVideo, PipelineImageToVideo, VideoPipelineSettings
from mora.agents.pipeline_settings import PipelineSettings
from mora.agents.pipelines import NOT_IN_RECIPE
from mora.agents.prompt import PromptAgent, PromptSettings, bind_prompt
from mora.agents.refiner import RefinedPipelineSettings
from mora.agents.text_to_image import PipelineTextToImage, TextToImage
from mora.errors import SettingError
from mora.records import Record

A = TypeVar("A")
S = TypeVar("S")

ROLES: Final = ("prompt", "text_to_image", "image_to_image", "image_to_video", "connection")
"""The agents' roles, in the order of the paper; each is a field of `Agents`."""

PIPELINES: Final = ROLES[1:]
"""Roles that pipelines of pictures and videos play."""


KINDS: Final = frozenset({"SEINE", "diffusers"})
"""What `ConnectionSettings` calls its kinds: parts of an error's place that are no settings."""


class AgentsSettings(Record):
    """A model for each role; a stack may leave out all but the prompt agent."""

    name: str
    prompt: PromptSettings
    text_to_image: RefinedPipelineSettings | None = None
    image_to_image: PipelineSettings | None = None
    image_to_video: VideoPipelineSettings | None = None
    connection: ConnectionSettings | None = None


@dataclass(frozen=True)
class Agents:
    """The roles of Mora and who plays them; `None` where a stack leaves a role out."""

    prompt: PromptAgent
    text_to_image: TextToImage | None = None
    image_to_image: ImageToImage | None = None
    image_to_video: ImageToVideo | None = None
    connection: Connection | None = None


def bind(settings: Mapping[str, Any]) -> Agents:
    """Binds the agents.

    Args:
        settings: As in `mora/conf/agents`, nested and resolved.

    Raises:
        SettingError: A setting is missing, unknown or wrong; the message names it.
    """
    chosen = validate_agents(settings)
    return Agents(
        prompt=bind_prompt(chosen.prompt),
        text_to_image=_bound(PipelineTextToImage, chosen.text_to_image),
        image_to_image=_bound(PipelineImageToImage, chosen.image_to_image),
        image_to_video=_bound(PipelineImageToVideo, chosen.image_to_video),
        connection=bind_connection(chosen.connection) if chosen.connection else None,
    )


def require(agent: A | None, role: str) -> A:
    """Returns the agent that plays a role.

    Raises:
        SettingError: The stack leaves the role out.
    """
    if agent is None:
        raise SettingError(
            f"agents.{role}: no model plays this role in these agents, and it is needed here. "
            f"Choose one with agents.{role}=NAME; docs/agents.md lists them."
        )
    return agent


def with_batch_size(settings: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Returns the settings of agents with another batch size, where models take several items.

    Args:
        settings: As in `mora/conf/agents`, nested and resolved.
        size: Items that a model takes at once.
    """
    agents = dict(settings)
    for role in PIPELINES:
        chosen = agents.get(role)
        if chosen is not None and not chosen.get("one_at_a_time", False):
            agents[role] = {**chosen, "batch_size": size}
    return agents


def harmless() -> tuple[str, ...]:
    """Names of agents' settings that may differ between the sessions of one run.

    They change no result, or the recipe says more exactly whether they do.
    """
    of_roles = [f"agents.{role}.{name}" for role in PIPELINES for name in NOT_IN_RECIPE]
    of_prompt = [f"agents.prompt.{name}" for name in prompt.HARMLESS]
    return (*of_roles, *of_prompt, "agents.text_to_image.refiner.weights")


def _bound(make: Callable[[S], A], settings: S | None) -> A | None:
    return None if settings is None else make(settings)


def validate_agents(settings: Mapping[str, Any]) -> AgentsSettings:
    """Reads the settings of agents. Raises what `bind` raises."""
    try:
        return AgentsSettings.model_validate(settings)
    except ValidationError as error:
        raise SettingError(describe(error, "agents")) from None


def describe(error: ValidationError, prefix: str) -> str:
    """Returns the first problem of a validation in one line, with the setting's full name."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in (prefix, *first["loc"]) if part not in KINDS)
    plain = isinstance(first["input"], str | int | float | bool | None)
    found = f", found {first['input']!r}" if plain and first["type"] != "missing" else ""
    if first["type"] == "extra_forbidden":
        return f"{name}: no such setting{found}."
    return f"{name}: {first['msg'].removeprefix('Value error, ')}{found}."
