"""The text-to-image agent: draws the first frame."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mora.agents.pipelines import Pipeline
from mora.agents.refiner import RefinedPipelineSettings, refiner_of, refiner_seed
from mora.records import content_hash

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
    """A text-to-image pipeline of diffusers, such as SDXL, with its refiner or without."""

    settings: RefinedPipelineSettings

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.settings.name

    @property
    def batch_size(self) -> int:
        """Texts to give at once."""
        return self.settings.batch_size

    def recipe(self) -> str:
        """Hash of settings and weights. Raises what `Pipeline.recipe` raises."""
        refiner, refined = self.settings.refiner, refiner_of(self.settings)
        if refiner is None or refined is None:
            return self._base().recipe()
        return content_hash([self._base().recipe(), refined.recipe(), refiner.shares])

    @contextmanager
    def open(self, device: str) -> Iterator[Draw]:
        """Loads the pipeline, and its refiner. Raises what `Pipeline.open` raises."""
        refiner, refined = self.settings.refiner, refiner_of(self.settings)
        with self._base().open(device) as base:
            if refiner is None or refined is None:
                yield lambda texts, seeds: base.run([{"text": text} for text in texts], seeds)
                return
            shared = {part: base.part(part) for part in refiner.shares}
            with refined.open(device, shared) as last:

                def draw(texts: Sequence[str], seeds: Sequence[int]) -> Iterator[Picture]:
                    handed_over = base.latents([{"text": text} for text in texts], seeds)
                    items = [
                        {"text": text, "latents": latents}
                        for text, latents in zip(texts, handed_over, strict=True)
                    ]
                    return last.run(items, [refiner_seed(seed) for seed in seeds])

                yield draw

    def _base(self) -> Pipeline:
        return Pipeline(self.settings.base(), {"text": "prompt"})
