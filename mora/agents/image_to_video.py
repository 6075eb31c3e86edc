"""The image-to-video agent: sets a picture in motion."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, Self

from PIL import Image
from pydantic import Field, model_validator

from mora.agents.pipeline_settings import PipelineSettings
from mora.agents.pipelines import Pipeline
from mora.agents.text_to_image import Picture
from mora.media import Clip


class Animate(Protocol):
    """An image-to-video model in memory."""

    def __call__(
        self, pictures: Sequence[Picture], texts: Sequence[str], seeds: Sequence[int]
    ) -> Iterator[Clip]:
        """Yields a clip for each picture, in order, as soon as it is done.

        Args:
            pictures: First frames, uint8 (H, W, 3).
            texts: What should happen; a model that takes no text leaves them unread.
            seeds: Seed of each clip.
        """
        ...


class ImageToVideo(Protocol):
    """What can play the image-to-video agent."""

    @property
    def name(self) -> str:
        """Name in artifacts and reports."""
        ...

    @property
    def batch_size(self) -> int:
        """Pictures to give at once."""
        ...

    @property
    def reads_text(self) -> bool:
        """Whether the text matters to the clip; if not, clips are shared across texts."""
        ...

    def recipe(self) -> str:
        """Hash of all settings and weights."""
        ...

    def open(self, device: str) -> AbstractContextManager[Animate]:
        """Loads the model onto a torch device, and releases it at the end."""
        ...


class VideoPipelineSettings(PipelineSettings):
    """An image-to-video pipeline."""

    fps: float = Field(gt=0)
    """Rate at which the clip plays, in frames a second. A model that is told its rate gets it in
    `call`, too."""
    frame_step: int = Field(default=1, ge=1)
    """A clip has a multiple of so many frames, and one: the autoencoder's step in time."""

    @model_validator(mode="after")
    def _frames_fit(self) -> Self:
        frames = self.call.get("num_frames")
        if isinstance(frames, int) and (frames - 1) % self.frame_step:
            below = (frames - 1) // self.frame_step * self.frame_step + 1
            raise ValueError(
                f"call.num_frames={frames}: expected a multiple of {self.frame_step} and one, "
                f"such as {below} or {below + self.frame_step}"
            )
        return self

    @model_validator(mode="after")
    def _chunks_within_clips(self) -> Self:
        """Stable Video Diffusion decodes a batch as one row of frames, cut into chunks.

        A chunk that is not a whole clip would straddle two videos and mix their frames.
        """
        chunk, frames = self.call.get("decode_chunk_size"), self.call.get("num_frames")
        if self.batch_size > 1 and chunk is not None and chunk != frames:
            raise ValueError(
                f"batch_size={self.batch_size} with decode_chunk_size={chunk} and "
                f"num_frames={frames} would decode frames of two videos together: "
                "set batch_size to 1 or decode_chunk_size to num_frames"
            )
        return self


@dataclass(frozen=True)
class PipelineImageToVideo:
    """An image-to-video pipeline of diffusers, such as Stable Video Diffusion."""

    settings: VideoPipelineSettings

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.settings.name

    @property
    def batch_size(self) -> int:
        """Pictures to give at once."""
        return self.settings.batch_size

    @property
    def reads_text(self) -> bool:
        """Whether the settings hand the text to the pipeline."""
        return "text" in self._pipeline().inputs

    def recipe(self) -> str:
        """Hash of settings and weights. Raises what `Pipeline.recipe` raises."""
        return self._pipeline().recipe()

    @contextmanager
    def open(self, device: str) -> Iterator[Animate]:
        """Loads the pipeline. Raises what `Pipeline.open` raises."""
        with self._pipeline().open(device) as loaded:

            def animate(
                pictures: Sequence[Picture], texts: Sequence[str], seeds: Sequence[int]
            ) -> Iterator[Clip]:
                items = [
                    {"image": Image.fromarray(picture), "text": text}
                    for picture, text in zip(pictures, texts, strict=True)
                ]
                for frames in loaded.run(items, seeds):
                    yield Clip(frames, self.settings.fps)

            yield animate

    def _pipeline(self) -> Pipeline:
        offered = frozenset({"text", "height", "width"})
        return Pipeline(self.settings, {"image": "image"}, offered)
