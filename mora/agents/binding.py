"""Binds the agents' roles to models by settings, as `mora/conf/agents` holds them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import ValidationError

from mora.agents.image_to_video import ImageToVideo, PipelineImageToVideo, VideoPipelineSettings
from mora.agents.pipelines import PipelineSettings
from mora.agents.prompt import GrammarPrompt, PromptAgent, VerbatimPrompt
from mora.agents.text_to_image import PipelineTextToImage, TextToImage
from mora.errors import SettingError
from mora.records import Record

PROMPT_AGENTS: Final[Mapping[str, PromptAgent]] = {
    "grammar": GrammarPrompt(),
    "verbatim": VerbatimPrompt(),
}


class PromptSettings(Record):
    """Which prompt agent."""

    agent: Literal["grammar", "verbatim"]


class AgentsSettings(Record):
    """A model for each role."""

    name: str
    prompt: PromptSettings
    text_to_image: PipelineSettings
    image_to_video: VideoPipelineSettings


@dataclass(frozen=True)
class Agents:
    """The roles of Mora and who plays them."""

    prompt: PromptAgent
    text_to_image: TextToImage
    image_to_video: ImageToVideo


def bind(settings: Mapping[str, Any]) -> Agents:
    """Binds the agents.

    Args:
        settings: As in `mora/conf/agents`, nested and resolved.

    Raises:
        SettingError: A setting is missing, unknown or wrong; the message names it.
    """
    chosen = validate_agents(settings)
    return Agents(
        PROMPT_AGENTS[chosen.prompt.agent],
        PipelineTextToImage(chosen.text_to_image),
        PipelineImageToVideo(chosen.image_to_video),
    )


def validate_agents(settings: Mapping[str, Any]) -> AgentsSettings:
    """Reads the settings of agents. Raises what `bind` raises."""
    try:
        return AgentsSettings.model_validate(settings)
    except ValidationError as error:
        raise SettingError(describe(error, "agents")) from None


def describe(error: ValidationError, prefix: str) -> str:
    """Returns the first problem of a validation in one line, with the setting's full name."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in (prefix, *first["loc"]))
    plain = isinstance(first["input"], str | int | float | bool | None)
    found = f", found {first['input']!r}" if plain and first["type"] != "missing" else ""
    if first["type"] == "extra_forbidden":
        return f"{name}: no such setting{found}."
    return f"{name}: {first['msg'].removeprefix('Value error, ')}{found}."
