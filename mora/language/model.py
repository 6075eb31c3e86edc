"""What a language model is here: it is given messages and answers with a text, or says why not."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, Protocol

from pydantic import JsonValue

from mora.records import Failure, FailureKind, Record

Schema = Mapping[str, JsonValue]
"""A JSON schema that an answer is asked to follow."""


class Message(Record):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    """Who says it."""
    content: str
    """What is said."""


class Structure(StrEnum):
    """How a model was asked to follow a schema."""

    NONE = "none"
    """There was no schema."""
    SCHEMA = "schema"
    """By the server's own means, which hold the model to it."""
    WORDS = "words"
    """In words, which hold the model to nothing."""


class Usage(Record):
    """What asking took, all tries together."""

    input_tokens: int = 0
    """Tokens of the messages."""
    output_tokens: int = 0
    """Tokens of the answers."""
    cost: float | None = None
    """Their price in the settings' currency; `None` where the settings give no prices."""
    estimated: bool = False
    """Whether some of the tokens are the most that there can have been: the server did not say,
    or hung up before it answered."""

    def __add__(self, other: "Usage") -> "Usage":
        costs = [each.cost for each in (self, other) if each.cost is not None]
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost=sum(costs) if costs else None,
            estimated=self.estimated or other.estimated,
        )

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.input_tokens + self.output_tokens


class Answer(Record):
    """What a language model said."""

    text: str
    """The text as it came. It is data: nothing here ever carries it out or evaluates it."""
    finish: str
    """Why it ended there: `stop`, `length` where it was cut off, or a server's own word."""
    model: str
    """The model that really answered, in the server's words: `gpt-4o` may be `gpt-4o-2024-08-06`.
    """
    structure: Structure = Structure.NONE
    """How the model was asked to follow a schema."""
    usage: Usage = Usage()
    """What it took."""
    tries: tuple[str, ...] = ()
    """What the tries before it came to."""
    at: datetime
    """When it came."""


class Reason(StrEnum):
    """Why there is no answer that can be used."""

    REFUSED = "refused"
    """The model, or its server's rules of content, would not answer."""
    EMPTY = "empty"
    """The answer has no text."""
    CUT_OFF = "cut_off"
    """The answer reached the length that it may have."""
    MALFORMED = "malformed"
    """The answer is not what it should be: no chat completion, or no JSON of the schema."""
    TOO_LONG = "too_long"
    """The messages do not fit the model's context."""
    REJECTED = "rejected"
    """The server will not take such a request: a wrong key, no such model, no credit left."""
    BUSY = "busy"
    """The server was busy or broken at every try (429, 5xx)."""
    UNREACHABLE = "unreachable"
    """The server could not be reached, or hung up, at every try."""
    TIMEOUT = "timeout"
    """No answer came in time at any try."""
    BUDGET = "budget"
    """The answer might cost more than is left of the budget."""


ANSWERED: Final = frozenset({Reason.REFUSED, Reason.EMPTY, Reason.CUT_OFF, Reason.MALFORMED})
"""Reasons of answers that came, and were paid for: the same question gets them from the archive."""


class LanguageError(Exception):
    """There is no answer that can be used.

    Attributes:
        reason: Why.
        answer: What came nevertheless, such as the text before the cut.
        usage: What it took.
        tries: What each try came to.
    """

    def __init__(self, reason: Reason, message: str, answer: Answer | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.answer = answer
        self.usage = Usage() if answer is None else answer.usage
        self.tries: tuple[str, ...] = () if answer is None else answer.tries

    def failure(self) -> Failure:
        """Returns the error as it is stored in a ledger."""
        kind = FailureKind.REFUSED if self.reason is Reason.REFUSED else FailureKind.ERROR
        return Failure(kind=kind, message=str(self))


class LanguageModel(Protocol):
    """A language model that is ready to answer. It may be asked by several threads at once."""

    @property
    def name(self) -> str:
        """Name in artifacts and reports."""
        ...

    @property
    def identity(self) -> Mapping[str, JsonValue]:
        """All that its answers depend on besides what it is asked. No keys are in it."""
        ...

    @property
    def samples(self) -> bool:
        """Whether it draws its words, so that another seed may give another answer."""
        ...

    def complete(
        self, messages: Sequence[Message], *, schema: Schema | None, seed: int, max_tokens: int
    ) -> Answer:
        """Asks the model once, trying again what may pass.

        Args:
            messages: The conversation so far.
            schema: What the answer should follow, as JSON; `None` asks for plain text.
            seed: Of the draws; a model that draws none leaves it unread.
            max_tokens: Length that the answer may have.

        Returns:
            An answer with some text that the model ended by itself. Whether it follows the schema
            is for the reader to check.

        Raises:
            LanguageError: There is none, and why.
        """
        ...
