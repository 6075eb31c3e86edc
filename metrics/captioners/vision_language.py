"""A captioner that runs here: any of transformers' models that read pictures and answer in text.

The model answers with its likeliest words, so that the same frames get the same caption.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from metrics.captioners.captioner import CaptionerError, CaptionError
from mora.records import Record


class VisionLanguageSettings(Record):
    """Which model, and how it answers."""

    name: str = Field(min_length=1)
    """Name in fingerprints."""
    version: str = Field(min_length=1)
    """What its weights are: the hub's commit, or the hash of a folder."""
    source: str = Field(min_length=1)
    """Folder of the model, or its id on the hub."""
    revision: str | None
    """Commit on the hub; `None` for a folder."""
    dtype: Literal["float32", "float16", "bfloat16"]
    """Precision of the network."""
    max_new_tokens: int = Field(ge=1)
    """Length at which an answer is cut off."""


@dataclass(frozen=True)
class VisionLanguageCaptioner:
    """Asks a model of transformers' task `image-text-to-text`; a video is shown as its frames.

    Only safetensors are read, and no code from the model's repository is run.

    Attributes:
        asked: Which model, and how.
        device: Torch device of the model.
    """

    asked: VisionLanguageSettings
    device: str

    @property
    def settings(self) -> Mapping[str, str | int | float | bool | None]:
        """What captions depend on."""
        asked = self.asked
        return {
            "name": asked.name,
            "version": asked.version,
            "dtype": asked.dtype,
            "max_new_tokens": asked.max_new_tokens,
        }

    def load(self) -> None:
        """Loads the model.

        Raises:
            CaptionerError: It is not there, or is no such model.
        """
        try:
            _ = self._model
        except (OSError, ValueError) as error:
            told = " ".join(str(error).split())
            raise CaptionerError(
                f"captioner {self.asked.name}: {self.asked.source} cannot be loaded as a model "
                f"that reads pictures and answers in text: {told}"
            ) from error

    def caption(self, frames: NDArray[np.uint8], fps: float, question: str) -> str:  # noqa: ARG002
        """Shows the frames and asks; see `Captioner.caption`.

        Raises:
            CaptionError: The model said nothing.
        """
        import torch

        pictures = [{"type": "image", "image": Image.fromarray(frame)} for frame in frames]
        content = [*pictures, {"type": "text", "text": question}]
        with torch.inference_mode():
            [answer] = self._model(
                text=[{"role": "user", "content": content}],
                return_full_text=False,
                generate_kwargs={
                    "max_new_tokens": self.asked.max_new_tokens,
                    "do_sample": False,
                    "num_beams": 1,
                },
            )
        text = answer["generated_text"]
        if not text.strip():
            raise CaptionError(f"{self.asked.name} gave an empty answer")
        return str(text)

    @cached_property
    def _model(self) -> Any:
        from transformers import pipeline

        return pipeline(
            "image-text-to-text",
            model=self.asked.source,
            revision=self.asked.revision,
            dtype=self.asked.dtype,
            device=self.device,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
