"""The image-to-image agent: edits a picture by an instruction."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from mora.agents.pipeline_settings import PipelineSettings
from mora.agents.pipelines import Pipeline
from mora.agents.text_to_image import Picture


class Edit(Protocol):
    """An image-to-image model in memory."""

    def __call__(
        self, pictures: Sequence[Picture], texts: Sequence[str], seeds: Sequence[int]
    ) -> Iterator[Picture]:
        """Yields an edited picture for each picture, in order, as soon as it is done.

        Args:
            pictures: What is edited, uint8 (H, W, 3).
            texts: Instruction for each picture.
            seeds: Seed of each edit.

        Yields:
            uint8 (H, W, 3). A model that works at sizes of its own may give another size than that
            of the picture.
        """
        ...


class ImageToImage(Protocol):
    """What can play the image-to-image agent."""

    @property
    def name(self) -> str:
        """Name in artifacts and reports."""
        ...

    @property
    def batch_size(self) -> int:
        """Pictures to give at once."""
        ...

    def recipe(self) -> str:
        """Hash of all settings and weights."""
        ...

    def open(self, device: str) -> AbstractContextManager[Edit]:
        """Loads the model onto a torch device, and releases it at the end."""
        ...


@dataclass(frozen=True)
class PipelineImageToImage:
    """An image-to-image pipeline of diffusers, such as InstructPix2Pix (arXiv 2211.09800)."""

    settings: PipelineSettings

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.settings.name

    @property
    def batch_size(self) -> int:
        """Pictures to give at once."""
        return self.settings.batch_size

    def recipe(self) -> str:
        """Hash of settings and weights. Raises `CheckpointError` if local weights are missing."""
        return self._pipeline().recipe()

    @contextmanager
    def open(self, device: str) -> Iterator[Edit]:
        """Loads the pipeline. Raises what `Pipeline.open` raises."""
        with self._pipeline().open(device) as loaded:

            def edit(
                pictures: Sequence[Picture], texts: Sequence[str], seeds: Sequence[int]
            ) -> Iterator[Picture]:
                items = [
                    {"image": Image.fromarray(picture), "text": text}
                    for picture, text in zip(pictures, texts, strict=True)
                ]
                return loaded.run(items, seeds)

            yield edit

    def _pipeline(self) -> Pipeline:
        usual = {"text": "prompt", "image": "image"}
        return Pipeline(self.settings, usual, offered=frozenset({"height", "width"}))
