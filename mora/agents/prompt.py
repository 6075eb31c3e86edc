"""The prompt agent: completes or rewrites a prompt before it is drawn."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Literal, Protocol, Self

from pydantic import Field, model_validator

from mora.language.settings import LanguageSettings
from mora.records import Failure, Record, content_hash

HARMLESS: Final = (
    *("model.concurrency", "model.budget", "model.archive", "model.endpoint.key_variable"),
    *("model.endpoint.timeout", "model.endpoint.tries", "model.endpoint.first_pause"),
    *("model.endpoint.longest_pause", "model.endpoint.prices", "model.endpoint.length_field"),
    *("model.local.weights", "model.local.licence"),
)
"""Settings that change no answer, or that the recipe says more exactly."""


class Enhance(Protocol):
    """A prompt agent that is ready to work."""

    def __call__(self, texts: Sequence[str], seeds: Sequence[int]) -> Iterator[str | Failure]:
        """Yields the completed text of each prompt, or why there is none, in order."""
        ...


class PromptAgent(Protocol):
    """What can play the prompt agent."""

    @property
    def name(self) -> str:
        """Name in artifacts and reports."""
        ...

    @property
    def batch_size(self) -> int:
        """Prompts to give at once."""
        ...

    def recipe(self) -> str:
        """Hash of all that decides the result."""
        ...

    def open(self, device: str) -> AbstractContextManager[Enhance]:
        """Makes the agent ready on a torch device, and releases it at the end."""
        ...


class PromptSettings(Record):
    """Which prompt agent; of a language model, also which, and what it is told."""

    agent: Literal["grammar", "verbatim", "language"]
    """`grammar` completes prompts of the miniature world, `verbatim` hands them on as they are,
    `language` has a language model rewrite them."""
    model: LanguageSettings | None = None
    """The language model."""
    template: str = "picture"
    """What the language model is told, by name: see `mora.agents.rewriting.TEMPLATES`."""
    longest_prompt: int = Field(default=4000, ge=1)
    """Characters that a prompt may have; a longer one fails, since a cut would change it."""
    longest_answer: int = Field(default=2000, ge=1)
    """Characters that a rewritten prompt may have; a longer one fails."""

    @model_validator(mode="after")
    def _model_where_needed(self) -> Self:
        if (self.agent == "language") != (self.model is not None):
            need = "needs" if self.agent == "language" else "takes no"
            raise ValueError(f"agent={self.agent} {need} model=, the language model's settings")
        return self


@dataclass(frozen=True)
class VerbatimPrompt:
    """Hands prompts on as they are."""

    name: str = "verbatim"
    batch_size: int = 256

    def recipe(self) -> str:
        """The same for all: there is nothing to set."""
        return content_hash(["verbatim"])

    def open(self, device: str) -> AbstractContextManager[Enhance]:  # noqa: ARG002  no model
        """Loads nothing."""
        return nullcontext(lambda texts, seeds: iter(texts))  # noqa: ARG005


def bind_prompt(settings: PromptSettings) -> PromptAgent:
    """Returns the agent that the settings describe; nothing is loaded.

    Raises:
        SettingError: There is no such template.
    """
    if settings.agent == "verbatim":
        return VerbatimPrompt()
    if settings.agent == "grammar":
        from mora.agents.grammar import GrammarPrompt

        return GrammarPrompt()
    from mora.agents.rewriting import LanguagePrompt

    return LanguagePrompt.of(settings)
