"""A captioner behind an address that speaks OpenAI's protocol: OpenAI, vLLM, Ollama, llama.cpp.

What may pass is tried again by the SDK, with growing pauses or after the time that the server
names: no connection, no answer in time, 408, 409, 429 and 5xx. What is left then, and all that
would not pass, is an error that says what came back. An answer that is refused, empty or cut is no
caption.
"""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from metrics.captioners.captioner import CaptionError
from mora.records import FailureKind, Record

REFUSALS: Final = frozenset({"content_filter", "content_policy_violation"})
"""What servers call a request that their rules of content stop."""

SHOWN: Final = 200
"""Characters of a server's message that an error repeats."""


class EndpointSettings(Record):
    """How a server is asked."""

    model: str = Field(min_length=1)
    """Name of the model there. A dated one does not change under its name."""
    base_url: str = Field(pattern=r"^https?://")
    """Address up to the version, such as `https://api.openai.com/v1`."""
    temperature: float | None = Field(ge=0)
    """Randomness; `None` says nothing of it, as some models want."""
    seed: int | None
    """For servers that heed one."""
    max_tokens: int = Field(ge=1)
    """Length that an answer may have."""
    side: int = Field(ge=1)
    """Longer side in pixels that larger frames are scaled to before they are sent."""
    timeout: float = Field(gt=0)
    """Seconds that an answer may take."""
    retries: int = Field(ge=0)
    """How often a request that may pass is sent again."""


@dataclass(frozen=True)
class EndpointCaptioner:
    """Asks a model behind an address; frames go along as PNG, in their order.

    Attributes:
        asked: How it is asked.
        key: The key; `None` for a server that wants none. No text that this class makes holds it.
    """

    asked: EndpointSettings
    key: str | None = field(repr=False)

    @property
    def settings(self) -> Mapping[str, str | int | float | bool | None]:
        """What captions depend on."""
        asked = self.asked
        return {
            "name": asked.model,
            "address": asked.base_url,
            "temperature": asked.temperature,
            "seed": asked.seed,
            "max_tokens": asked.max_tokens,
            "side": asked.side,
        }

    def load(self) -> None:
        """There is nothing to make ready."""

    def caption(self, frames: NDArray[np.uint8], fps: float, question: str) -> str:  # noqa: ARG002
        """Sends the frames and the question; see `Captioner.caption`.

        Raises:
            CaptionError: The server cannot be reached or does not answer in time, answers with an
                error or with something else than a caption, or refuses.
        """
        import openai

        asked = self.asked
        messages: list[Any] = [{"role": "user", "content": self._content(frames, question)}]
        with openai.OpenAI(
            api_key=self.key or "none",
            base_url=asked.base_url,
            timeout=asked.timeout,
            max_retries=asked.retries,
        ) as client:
            try:
                answer = client.chat.completions.create(
                    model=asked.model,
                    messages=messages,
                    max_completion_tokens=asked.max_tokens,
                    temperature=openai.omit if asked.temperature is None else asked.temperature,
                    seed=openai.omit if asked.seed is None else asked.seed,
                )
            except openai.APITimeoutError:
                raise self._error(
                    f"gave no answer within {asked.timeout:g} seconds (tries: {asked.retries + 1})"
                ) from None
            except openai.APIConnectionError as error:
                raise self._error(f"cannot be reached: {error.__cause__ or error}") from None
            except openai.APIStatusError as error:
                refused = error.code in REFUSALS
                raise self._error(
                    f"{'refused' if refused else 'answered'} with status {error.status_code}: "
                    f"{error.message}",
                    FailureKind.REFUSED if refused else FailureKind.ERROR,
                ) from None
            except (openai.OpenAIError, ValueError) as error:
                raise self._error(f"gave an answer that cannot be read: {error}") from None
        return self._text(answer)

    def _content(self, frames: NDArray[np.uint8], question: str) -> list[Any]:
        pictures = [
            {"type": "image_url", "image_url": {"url": _data_url(frame, self.asked.side)}}
            for frame in frames
        ]
        return [*pictures, {"type": "text", "text": question}]

    def _text(self, answer: Any) -> str:
        """The text of an answer, whose parts may all be missing: servers keep to no schema."""
        choices = getattr(answer, "choices", None)
        first = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(first, "message", None)
        if message is None:
            raise self._error(f"gave an answer without a message: {answer}")
        refusal, reason = getattr(message, "refusal", None), getattr(first, "finish_reason", None)
        text = getattr(message, "content", None)
        if refusal or reason in REFUSALS:
            raise self._error(f"refused: {refusal or reason}", FailureKind.REFUSED)
        if reason == "length":
            raise self._error(
                f"was cut off after {self.asked.max_tokens} tokens; raise captioner.max_tokens"
            )
        if not isinstance(text, str) or not text.strip():
            raise self._error("gave an empty answer")
        return text

    def _error(self, what: str, kind: FailureKind = FailureKind.ERROR) -> CaptionError:
        told = " ".join(what.split())
        if self.key:
            told = told.replace(self.key, "(the key)")  # some servers repeat it
        if len(told) > SHOWN:
            told = f"{told[:SHOWN]}…"
        return CaptionError(f"{self.asked.model} at {self.asked.base_url} {told}", kind)


def _data_url(frame: NDArray[np.uint8], side: int) -> str:
    picture = Image.fromarray(frame)
    longer = max(picture.size)
    if longer > side:
        width, height = (max(1, round(each * side / longer)) for each in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
