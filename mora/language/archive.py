"""Keeps every request to a language model and what came of it, so that nothing is paid twice.

An archive is a file of JSON Lines. A line is on the disk before its answer is used; one that a
killed process left half written is passed over.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock
from pydantic import Field, JsonValue, ValidationError

from mora.language.model import (
    ANSWERED,
    Answer,
    LanguageError,
    LanguageModel,
    Message,
    Reason,
    Schema,
    Usage,
)
from mora.records import Record, content_hash

logger = logging.getLogger(__name__)


class Unanswered(Record):
    """Why a request has no answer that can be used."""

    reason: Reason
    message: str
    answer: Answer | None = None
    """What came nevertheless."""


class Exchange(Record):
    """A request to a language model and what came of it."""

    key: str
    """Hash of the model, of what it was asked, and of the seed where it draws."""
    at: datetime
    """When the outcome came."""
    seconds: float
    """How long it took, all tries and pauses together."""
    model: Mapping[str, JsonValue]
    """All that decides the model's answers."""
    messages: tuple[Message, ...]
    """What it was asked; a wish for JSON in words is added where the answer says so."""
    answer_schema: Mapping[str, JsonValue] | None = None
    """The schema that the answer was to follow."""
    seed: int
    max_tokens: int
    """Length that the answer might have."""
    answer: Answer | None = None
    failure: Unanswered | None = None
    usage: Usage
    """What it took."""
    tries: tuple[str, ...] = Field(default=())
    """What the tries before the outcome came to."""

    def outcome(self) -> Answer:
        """Returns the answer, or raises the `LanguageError` that came in its place."""
        if self.answer is not None:
            return self.answer
        if self.failure is None:
            raise ValueError(f"exchange {self.key}: neither an answer nor a failure")
        raise LanguageError(self.failure.reason, self.failure.message, self.failure.answer)


class Archive:
    """Exchanges in a file, and in memory by their keys.

    Args:
        path: The file; it is made when there is something to keep.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._by_key: dict[str, Exchange] = {}
        self.spent = Usage()
        """What all exchanges of the file took."""
        for exchange in self._read():
            self._enter(exchange)

    def find(self, key: str) -> Exchange | None:
        """Returns the latest exchange of a key."""
        return self._by_key.get(key)

    def keep(self, exchange: Exchange) -> None:
        """Stores an exchange; it is on the disk when this returns."""
        line = f"{exchange.model_dump_json(exclude_none=True)}\n".encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (
            self._lock,
            FileLock(self.path.with_name(f".{self.path.name}.lock")),
            self.path.open("ab+") as file,
        ):
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = b"\n" + line  # after half a line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            self._enter(exchange)

    def _enter(self, exchange: Exchange) -> None:
        self._by_key[exchange.key] = exchange
        self.spent += exchange.usage

    def _read(self) -> list[Exchange]:
        if not self.path.is_file():
            return []
        exchanges = []
        for number, line in enumerate(self.path.read_bytes().split(b"\n"), start=1):
            if not line.strip():
                continue
            try:
                exchanges.append(Exchange.model_validate_json(line))
            except ValidationError:
                logger.warning("%s, line %d: passed over, it is no exchange.", self.path, number)
        return exchanges


class Archived:
    """A language model that is asked nothing twice.

    Args:
        model: Whom to ask.
        archive: Where exchanges are kept.
        repeat_failures: Whether a question that got a refusal, or an empty or cut answer, gets it
            again from the archive, so that a session that goes on repeats what it did; or else is
            asked anew. Where no answer came at all, the question is always asked anew.
    """

    def __init__(self, model: LanguageModel, archive: Archive, *, repeat_failures: bool) -> None:
        self.model = model
        self.archive = archive
        self.asked = 0
        """Questions that the model was asked."""
        self.found = 0
        """Questions whose answers were in the archive."""
        self._repeat_failures = repeat_failures
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.name

    @property
    def identity(self) -> Mapping[str, JsonValue]:
        """What the model's answers depend on."""
        return self.model.identity

    @property
    def samples(self) -> bool:
        """Whether the model draws its words."""
        return self.model.samples

    def complete(
        self, messages: Sequence[Message], *, schema: Schema | None, seed: int, max_tokens: int
    ) -> Answer:
        """Answers from the archive, or asks and keeps; see `LanguageModel.complete`."""
        seed = seed if self.samples else 0
        asked = [[each.model_dump() for each in messages], schema, seed, max_tokens]
        key = content_hash(["language", dict(self.identity), *asked])
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # who asks the same at the same time waits for the answer
            kept = self.archive.find(key)
            if kept is not None and self._stands(kept):
                with self._lock:
                    self.found += 1
                return kept.outcome()
            with self._lock:
                self.asked += 1
            return self._ask(key, messages, schema, seed, max_tokens)

    def _stands(self, exchange: Exchange) -> bool:
        if exchange.failure is None:
            return True
        return self._repeat_failures and exchange.failure.reason in ANSWERED

    def _ask(
        self,
        key: str,
        messages: Sequence[Message],
        schema: Schema | None,
        seed: int,
        max_tokens: int,
    ) -> Answer:
        started = time.monotonic()

        def keep(
            answer: Answer | None, failure: Unanswered | None, usage: Usage, tries: tuple[str, ...]
        ) -> None:
            self.archive.keep(
                Exchange(
                    key=key,
                    at=datetime.now(UTC),
                    seconds=time.monotonic() - started,
                    model=self.identity,
                    messages=tuple(messages),
                    answer_schema=schema,
                    seed=seed,
                    max_tokens=max_tokens,
                    answer=answer,
                    failure=failure,
                    usage=usage,
                    tries=tries,
                )
            )

        try:
            answer = self.model.complete(messages, schema=schema, seed=seed, max_tokens=max_tokens)
        except LanguageError as error:
            failure = Unanswered(reason=error.reason, message=str(error), answer=error.answer)
            if error.reason is not Reason.BUDGET:  # nothing was sent
                keep(None, failure, error.usage, error.tries)
            raise
        keep(answer, None, answer.usage, answer.tries)
        return answer
