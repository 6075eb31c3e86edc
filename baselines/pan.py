"""The baseline `pan`: a slow zoom and pan over Mora's picture.

Everything moves and nothing happens. It is the cheapest video that is not a still, so a metric
that prefers it to a real video rewards camera motion.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from baselines.picture import PictureBaseline
from mora.agents.binding import Agents, require
from mora.agents.text_to_image import Picture
from mora.media import Clip
from mora.records import Record


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


def make_pan(name: str, agents: Agents, settings: Mapping[str, Any]) -> PictureBaseline:
    """Makes the baseline under a name, from Mora's agents and the fields of `PanSettings`.

    Raises:
        SettingError: No agent draws pictures.
        ValidationError: A setting is missing, unknown or wrong.
    """
    chosen = PanSettings.model_validate(settings)
    return PictureBaseline(
        name,
        "pan",
        chosen,
        agents.prompt,
        require(agents.text_to_image, "text_to_image"),
        animate=lambda picture, seed: pan(picture, chosen, seed),
    )
