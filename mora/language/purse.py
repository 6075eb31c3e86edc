"""Keeps to a budget: a request is sent only if the most that it can take still fits."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from mora.language.model import LanguageError, Message, Reason, Schema, Usage
from mora.language.settings import Budget, Prices

_AROUND_A_MESSAGE = 16
"""Tokens that a chat template puts around a message, at most."""


def most_input_tokens(messages: Sequence[Message], schema: Schema | None) -> int:
    """Returns an upper bound of the tokens of a request: none is shorter than a byte of UTF-8."""
    texts = [message.content for message in messages]
    if schema is not None:
        texts.append(json.dumps(schema))
    return sum(len(text.encode()) + _AROUND_A_MESSAGE for text in texts)


@dataclass
class Purse:
    """What has been spent of a budget. Threads may share it.

    Attributes:
        budget: What may be spent.
        prices: What tokens cost; `None` where nobody says.
        spent: What was spent so far.
    """

    budget: Budget
    prices: Prices | None = None
    spent: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._promised = Usage()

    def promise(self, input_tokens: int, output_tokens: int) -> Usage:
        """Sets aside the most that a request can take, until `settle`.

        Raises:
            LanguageError: That is more than is left.
        """
        most = self._usage(input_tokens, output_tokens, estimated=True)
        with self._lock:
            taken = self.spent + self._promised
            limits = (
                ("tokens", self.budget.tokens, taken.tokens, most.tokens),
                ("cost", self.budget.cost, taken.cost or 0.0, most.cost or 0.0),
            )
            for name, limit, before, more in limits:
                if limit is not None and before + more > limit:
                    raise LanguageError(
                        Reason.BUDGET,
                        f"the next request can take {more:,.6g}{self._unit(name)}, and of "
                        f"budget.{name}={limit:,.6g} {before:,.6g} are spent or on their way. "
                        "Raise the budget, then the same command goes on.",
                    )
            self._promised += most
        return most

    def settle(self, promised: Usage, input_tokens: int, output_tokens: int) -> Usage:
        """Replaces what was set aside by what it took. Returns the latter."""
        return self._replace(promised, self._usage(input_tokens, output_tokens, estimated=False))

    def lose(self, promised: Usage) -> Usage:
        """Counts what was set aside as spent: nobody knows what it took. Returns it."""
        return self._replace(promised, promised)

    def _replace(self, promised: Usage, taken: Usage) -> Usage:
        with self._lock:
            self._promised = Usage(
                input_tokens=self._promised.input_tokens - promised.input_tokens,
                output_tokens=self._promised.output_tokens - promised.output_tokens,
                cost=None
                if self._promised.cost is None
                else self._promised.cost - (promised.cost or 0.0),
            )
            self.spent += taken
        return taken

    def _usage(self, input_tokens: int, output_tokens: int, *, estimated: bool) -> Usage:
        cost = None if self.prices is None else self.prices.cost(input_tokens, output_tokens)
        return Usage(
            input_tokens=input_tokens, output_tokens=output_tokens, cost=cost, estimated=estimated
        )

    def _unit(self, name: str) -> str:
        if name == "tokens":
            return " tokens"
        return "" if self.prices is None else f" {self.prices.currency}"
