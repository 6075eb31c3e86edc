"""A language model behind an address that speaks OpenAI's protocol: OpenAI, Ollama, vLLM.

What may pass is tried again: a busy or broken server (408, 409, 425, 429, 5xx), no connection, a
connection that is cut, no answer in time. The SDK's own retries are off, since they do not tell
what each try met, and wait no longer than a minute.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self

import httpx2
import openai
from pydantic import JsonValue

from mora import __version__
from mora.language.model import (
    Answer,
    LanguageError,
    Message,
    Reason,
    Schema,
    Structure,
    Usage,
)
from mora.language.purse import Purse, most_input_tokens
from mora.language.retry import asked_to_wait, backoff
from mora.language.settings import EndpointSettings, LanguageSettings
from mora.language.structured import asked_in_words

REFUSALS: Final = frozenset({"content_filter", "content_policy_violation"})
"""What servers call a request that their rules of content stop."""
MAY_PASS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses of a server that may answer the same request later."""
NO_CREDIT: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""What servers call a 429 that no waiting helps against."""
SCHEMA_REFUSED: Final = frozenset({400, 422, 501})
"""Statuses of a server that may not know `response_format`."""
TOO_LONG: Final = frozenset({"context_length_exceeded", "string_above_max_length"})
"""What servers call messages that do not fit."""
OPENAI: Final = "api.openai.com"
"""The only host that is sent the organisation and the project of the environment."""
NEEDED: Final = "x-stainless-raw-response"
"""The SDK's own mark of a request whose answer it is to hand on unread; it says nothing else."""
LARGEST: Final = 8 << 20
"""Bytes of an answer; what is larger is no chat completion of a few thousand tokens."""
SHOWN: Final = 200
"""Characters of a server's message that an error repeats."""


class _MayPassError(Exception):
    """A try that may succeed later."""

    def __init__(self, reason: Reason, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.wait = wait

    @property
    def may_cost(self) -> bool:
        """Whether the server may have answered, and charged, without our seeing it."""
        return self.reason in (Reason.TIMEOUT, Reason.UNREACHABLE)


class _SchemaRefusedError(Exception):
    """The server will not hold an answer to a schema."""


@dataclass
class _Bill:
    """What one question has taken so far, all tries together."""

    usage: Usage = field(default_factory=Usage)
    tries: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Asked:
    """One request."""

    messages: Sequence[Message]
    schema: Schema | None
    structure: Structure
    seed: int
    max_tokens: int


class EndpointModel:
    """Asks a model behind an address; see `mora.language.model.LanguageModel`.

    Args:
        settings: The model and how it answers; its `endpoint` is given.
        key: The key; `None` for a server that wants none. No text that this class makes holds it.
        purse: What may be spent.
        sleep: Waits so many seconds between two tries.
        chance: Draws a number from 0 to 1, for the pauses.
    """

    def __init__(
        self,
        settings: LanguageSettings,
        key: str | None,
        purse: Purse,
        *,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if settings.endpoint is None:
            raise ValueError(f"{settings.name}: expected the settings of an endpoint")
        self._settings = settings
        self._at: EndpointSettings = settings.endpoint
        self._key = key
        self._purse = purse
        self._sleep = sleep
        self._chance = chance
        self._takes_schemas = self._at.structured == "json_schema"
        self._client = openai.OpenAI(
            api_key=key or "none",
            base_url=self._at.base_url,
            timeout=self._at.timeout,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(event_hooks={"request": [_discreet]}),
        )

    @classmethod
    @contextmanager
    def opened(cls, settings: LanguageSettings, key: str | None, purse: Purse) -> Iterator[Self]:
        """Makes the connection ready, and closes it at the end."""
        model = cls(settings, key, purse)
        try:
            yield model
        finally:
            model.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    @property
    def name(self) -> str:
        """Name in artifacts and reports."""
        return self._settings.name

    @property
    def identity(self) -> Mapping[str, JsonValue]:
        """What its answers depend on, as far as this side knows."""
        return endpoint_identity(self._settings)

    @property
    def samples(self) -> bool:
        """Whether it draws; a server whose temperature nobody set may."""
        return self._settings.temperature != 0

    def complete(
        self, messages: Sequence[Message], *, schema: Schema | None, seed: int, max_tokens: int
    ) -> Answer:
        """Sends the messages; see `LanguageModel.complete`.

        A server that refuses `response_format` is asked in words, which the answer says. Once it
        has answered so, it is asked in words from then on.
        """
        bill = _Bill()
        try:
            if schema is None:
                return self._answer(_Asked(messages, None, Structure.NONE, seed, max_tokens), bill)
            if self._takes_schemas:
                try:
                    asked = _Asked(messages, schema, Structure.SCHEMA, seed, max_tokens)
                    return self._answer(asked, bill)
                except _SchemaRefusedError as error:
                    bill.tries.append(f"response_format refused: {error}")
            words = asked_in_words(messages, schema)
            asked = _Asked(words, None, Structure.WORDS, seed, max_tokens)
            answer = self._answer(asked, bill)
        except LanguageError as error:
            error.usage, error.tries = bill.usage, tuple(bill.tries)
            raise
        self._takes_schemas = False
        return answer

    def _answer(self, asked: _Asked, bill: _Bill) -> Answer:
        """Sends a request until it is answered or will not be."""
        for number in range(1, self._at.tries + 1):
            promised = self._purse.promise(
                most_input_tokens(asked.messages, asked.schema), asked.max_tokens
            )
            try:
                completion = self._send(asked)
            except _MayPassError as fault:
                lost = self._purse.lose if fault.may_cost else self._free
                bill.usage += lost(promised)
                bill.tries.append(str(fault))
                pause = backoff(
                    number, self._at.first_pause, self._at.longest_pause, self._chance()
                )
                wait = pause if fault.wait is None else max(fault.wait, 0.0)
                if wait > self._at.longest_pause:
                    raise self._error(
                        fault.reason,
                        f"{fault}; it asks to wait {wait:,.0f} seconds, more than "
                        f"longest_pause={self._at.longest_pause:g}",
                    ) from None
                if number == self._at.tries:
                    raise self._error(fault.reason, f"{fault} (tries: {number})") from None
                self._sleep(wait)
            except BaseException:
                self._free(promised)
                raise
            else:
                return self._read(completion, asked, promised, bill)
        raise AssertionError("the last try returns or raises")

    def _free(self, promised: Usage) -> Usage:
        return self._purse.settle(promised, 0, 0)

    def _send(self, asked: _Asked) -> Any:
        """Sends a request once. Returns what came: JSON, or a text that is none."""
        body: dict[str, Any] = {
            "model": self._at.model,
            "messages": [each.model_dump() for each in asked.messages],
            self._at.length_field: asked.max_tokens,
        }
        if self._settings.temperature is not None:
            body["temperature"] = self._settings.temperature
        if self._settings.top_p is not None:
            body["top_p"] = self._settings.top_p
        if self._at.send_seed and self.samples:
            body["seed"] = asked.seed % 2**31  # some servers read 32 bits
        if asked.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": asked.schema},
            }
        try:
            with self._client.chat.completions.with_streaming_response.create(**body) as response:
                return _json(self._body(response.iter_bytes()))
        except openai.APIStatusError as error:
            raise self._status(error, asked) from None
        except (openai.APITimeoutError, httpx2.TimeoutException):
            raise self._late() from None
        except (openai.APIConnectionError, httpx2.RequestError) as error:
            said = self._told(str(error.__cause__ or error))
            raise _MayPassError(
                Reason.UNREACHABLE, f"cannot be reached, or hung up: {said}"
            ) from None

    def _body(self, parts: Iterator[bytes]) -> str:
        """Reads an answer, which must be there in time as a whole: a server may send by drops."""
        deadline = time.monotonic() + self._at.timeout
        body = bytearray()
        for part in parts:
            body += part
            if len(body) > LARGEST:
                break  # and be told of as no completion
            if time.monotonic() > deadline:
                raise self._late()
        text = body.decode(errors="replace")
        return text.replace(self._key, "(the key)") if self._key else text

    def _late(self) -> _MayPassError:
        return _MayPassError(Reason.TIMEOUT, f"gave no answer within {self._at.timeout:g} seconds")

    def _status(self, error: openai.APIStatusError, asked: _Asked) -> Exception:
        """What an answer with an error's status means."""
        message = str(_get(error.body, "message") or error.message)
        status, code, said = error.status_code, error.code, self._told(message)
        if code in REFUSALS:
            return self._error(Reason.REFUSED, f"refused with status {status}: {said}")
        told = f"answered with status {status}: {said}"
        if code in TOO_LONG or "context length" in message.lower():
            return self._error(Reason.TOO_LONG, told)
        if status in MAY_PASS and code not in NO_CREDIT:
            wait = asked_to_wait(error.response.headers, datetime.now(UTC))
            return _MayPassError(Reason.BUSY, told, wait)
        if asked.structure is Structure.SCHEMA and status in SCHEMA_REFUSED:
            return _SchemaRefusedError(told)
        return self._error(Reason.REJECTED, told)

    def _read(self, completion: Any, asked: _Asked, promised: Usage, bill: _Bill) -> Answer:
        """Reads a completion, whose parts may all be missing: servers keep to no schema."""
        tokens = _tokens(completion)
        usage = (
            self._purse.lose(promised) if tokens is None else self._purse.settle(promised, *tokens)
        )
        bill.usage += usage
        choice = _first(_get(completion, "choices"))
        message = _get(choice, "message")
        if not isinstance(message, dict):
            shown = self._told(
                completion if isinstance(completion, str) else json.dumps(completion)
            )
            raise self._error(Reason.MALFORMED, f"gave what is no chat completion: {shown}")
        text, refusal = message.get("content"), message.get("refusal")
        finish = str(_get(choice, "finish_reason") or "stop")
        answer = Answer(
            text=text if isinstance(text, str) else "",
            finish=finish,
            model=str(_get(completion, "model") or self._at.model),
            structure=asked.structure,
            usage=bill.usage,
            tries=tuple(bill.tries),
            at=datetime.now(UTC),
        )
        if refusal or finish in REFUSALS:
            raise self._error(
                Reason.REFUSED, f"refused: {self._told(str(refusal or finish))}", answer
            )
        if finish == "length":
            raise self._error(
                Reason.CUT_OFF, f"was cut off after {asked.max_tokens} tokens", answer
            )
        if not answer.text.strip():
            raise self._error(Reason.EMPTY, "gave an empty answer", answer)
        return answer

    def _error(self, reason: Reason, what: str, answer: Answer | None = None) -> LanguageError:
        return LanguageError(reason, f"{self._at.model} at {self._at.base_url} {what}", answer)

    def _told(self, text: str) -> str:
        """A server's words in one line, without the key, which some servers repeat."""
        told = " ".join(text.split())
        if self._key:
            told = told.replace(self._key, "(the key)")
        return f"{told[:SHOWN]}…" if len(told) > SHOWN else told


def _discreet(request: httpx2.Request) -> None:
    """Takes out of a request what the SDK tells of this machine, and of its user elsewhere."""
    for name in list(request.headers):
        of_the_user = name in ("openai-organization", "openai-project")
        of_this_machine = name.startswith("x-stainless-") and name != NEEDED
        if of_this_machine or (of_the_user and request.url.host != OPENAI):
            del request.headers[name]
    request.headers["user-agent"] = f"mora-bench/{__version__}"


def endpoint_identity(settings: LanguageSettings) -> Mapping[str, JsonValue]:
    """What the answers of a model behind an address depend on."""
    if settings.endpoint is None:
        raise ValueError(f"{settings.name}: expected the settings of an endpoint")
    return {
        "model": settings.endpoint.model,
        "address": settings.endpoint.base_url,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "structured": settings.endpoint.structured,
        "send_seed": settings.endpoint.send_seed,
    }


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, list) and values else None


def _tokens(completion: Any) -> tuple[int, int] | None:
    """Tokens of messages and answer, if the server says both as counts."""
    usage = _get(completion, "usage")
    names: tuple[Literal["prompt_tokens"], Literal["completion_tokens"]]
    names = ("prompt_tokens", "completion_tokens")
    counts = [_get(usage, name) for name in names]
    if any(isinstance(each, bool) or not isinstance(each, int) or each < 0 for each in counts):
        return None
    return counts[0], counts[1]
