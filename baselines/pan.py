"""The baseline `pan`: a slow zoom and pan over Mora's picture.

Everything moves and nothing happens. It is the cheapest video that is not a still, so a metric
that prefers it to a real video rewards camera motion.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from mora.agents.prompt import PromptAgent
from mora.agents.text_to_image import Picture, TextToImage
from mora.generator import not_a_task
from mora.media import Clip
from mora.records import Record, TaskName, content_hash
from mora.tasks.stage import Inputs, Stage, Worker, prompt_stage, text_to_image_stage


class PanSettings(Record):
    """How the window moves over the picture."""

    frames: int = Field(ge=2)
    fps: float = Field(gt=0)
    """Frames a second."""
    zoom_from: float = Field(default=1.12, ge=1)
    """Magnification of the first frame."""
    zoom_to: float = Field(default=1.3, ge=1)
    """Magnification of the last frame."""
    travel: float = Field(default=0.1, ge=0)
    """Way of the window's centre, in sides of the picture."""

    @model_validator(mode="after")
    def _stays_inside(self) -> Self:
        room = 1 - 1 / min(self.zoom_from, self.zoom_to)
        if self.travel > room + 1e-9:
            raise ValueError(
                f"travel={self.travel} leaves the picture: a zoom of "
                f"{min(self.zoom_from, self.zoom_to)} has room for {room:.3f}"
            )
        return self


def window(settings: PanSettings, progress: float, angle: float) -> tuple[float, ...]:
    """Returns the window (left, top, right, bottom) in sides of the picture, within 0 to 1.

    Args:
        settings: How it moves.
        progress: Place in time, from 0 (first frame) to 1 (last frame).
        angle: Direction in which the centre goes, in radians, clockwise from the right.
    """
    zoom = settings.zoom_from + (settings.zoom_to - settings.zoom_from) * progress
    half = 0.5 / zoom
    way = settings.travel * (progress - 0.5)
    x, y = 0.5 + way * np.cos(angle), 0.5 + way * np.sin(angle)
    return x - half, y - half, x + half, y + half


def pan(picture: Picture, settings: PanSettings, seed: int) -> Clip:
    """Moves a window over the picture, at one speed, in a direction drawn from the seed.

    Frames are resampled bicubically at sub-pixel places, so the motion has no steps.

    Args:
        picture: uint8 (H, W, 3).
        settings: How the window moves.
        seed: Decides the direction.

    Returns:
        A clip of the picture's size.
    """
    height, width = picture.shape[:2]
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    source = Image.fromarray(picture)
    frames = []
    for index in range(settings.frames):
        left, top, right, bottom = window(settings, index / (settings.frames - 1), angle)
        box = (left * width, top * height, right * width, bottom * height)
        frame = source.resize((width, height), Image.Resampling.BICUBIC, box=box)
        frames.append(np.asarray(frame))
    return Clip(np.stack(frames), settings.fps)


@dataclass(frozen=True)
class Pan:
    """Draws a picture with Mora's agents and moves a window over it.

    Attributes:
        prompt: The prompt agent.
        text_to_image: The text-to-image agent.
        settings: How the window moves.
        name: Name in tables.
    """

    prompt: PromptAgent
    text_to_image: TextToImage
    settings: PanSettings
    name: str = "pan"

    @property
    def tasks(self) -> frozenset[TaskName]:
        """Text-to-video only."""
        return frozenset({TaskName.TEXT_TO_VIDEO})

    def stages(self, task: TaskName) -> tuple[Stage, ...]:
        """Mora's stages up to the picture, then `pan`. Raises `SettingError` for other tasks."""
        if task not in self.tasks:
            raise not_a_task(self, task)
        moved = Stage(
            name="pan",
            model="pan",
            recipe=content_hash(["pan", self.settings]),
            takes=("image",),
            makes="video",
            batch_size=1,
            open=self._open,
        )
        return prompt_stage(self.prompt), text_to_image_stage(self.text_to_image), moved

    @contextmanager
    def _open(self, device: str) -> Iterator[Worker]:  # noqa: ARG002  no model, no device
        def work(items: Sequence[Inputs]) -> Iterator[Clip]:
            return (pan(item.picture(), self.settings, item.seed) for item in items)

        yield work
