"""The text-to-image agent: draws the first frame."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mora.agents.pipelines import Pipeline, PipelineSettings

Picture = NDArray[np.uint8]
"""(H, W, 3), RGB."""


class Draw(Protocol):
    """A text-to-image model in memory."""

    def __call__(self, texts: Sequence[str], seeds: Sequence[int]) -> Iterator[Picture]:
        """Yields a picture for each text, in order, as soon as it is done."""
        ...


class TextToImage(Protocol):
    """What can play the text-to-image agent."""

    @property
    def name(self) -> str:
        """Name in artifacts and reports."""
        ...

    @property
    def batch_size(self) -> int:
        """Texts to give at once."""
        ...

    def recipe(self) -> str:
        """Hash of all settings and weights."""
        ...

    def open(self, device: str) -> AbstractContextManager[Draw]:
        """Loads the model onto a torch device, and releases it at the end."""
        ...


@dataclass(frozen=True)
class PipelineTextToImage:
    """A text-to-image pipeline of diffusers, such as SDXL."""

    settings: PipelineSettings

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.settings.name

    @property
    def batch_size(self) -> int:
        """Texts to give at once."""
        return self.settings.batch_size

    def recipe(self) -> str:
        """Hash of settings and weights. Raises `CheckpointError` if local weights are missing."""
        return self._pipeline().recipe()

    @contextmanager
    def open(self, device: str) -> Iterator[Draw]:
        """Loads the pipeline. Raises what `Pipeline.open` raises."""
        with self._pipeline().open(device) as loaded:

            def draw(texts: Sequence[str], seeds: Sequence[int]) -> Iterator[Picture]:
                return loaded.run([{"text": text} for text in texts], seeds)

            yield draw

    def _pipeline(self) -> Pipeline:
        return Pipeline(self.settings, {"text": "prompt"})
