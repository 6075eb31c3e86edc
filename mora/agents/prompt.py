"""The prompt agent: completes or rewrites a prompt before it is drawn."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol

from mora.records import Failure, Record, content_hash


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
    """Which prompt agent."""

    agent: Literal["grammar", "verbatim"]
    """`grammar` completes prompts of the miniature world, `verbatim` hands them on as they are."""


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
    """Returns the agent that the settings describe; nothing is loaded."""
    from mora.agents.grammar import GrammarPrompt

    return VerbatimPrompt() if settings.agent == "verbatim" else GrammarPrompt()
