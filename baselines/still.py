"""The baseline `still`: Mora's picture, held for the length of the clip.

It has perfect consistency and smoothness and no motion at all, so a table shows what a metric
gives for a picture alone.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from baselines.picture import PictureBaseline
from mora.agents.binding import Agents, require
from mora.agents.text_to_image import Picture
from mora.media import Clip
from mora.records import Record


class StillSettings(Record):
    """How long the picture is held."""

    frames: int = Field(ge=1)
    fps: float = Field(gt=0)
    """Frames a second."""


def hold(picture: Picture, settings: StillSettings) -> Clip:
    """Returns the picture, uint8 (H, W, 3), as a clip whose frames are all alike."""
    return Clip(np.repeat(picture[None], settings.frames, axis=0), settings.fps)


def make_still(name: str, agents: Agents, settings: Mapping[str, Any]) -> PictureBaseline:
    """Makes the baseline under a name, from Mora's agents and the fields of `StillSettings`.

    Raises:
        SettingError: No agent draws pictures.
        ValidationError: A setting is missing, unknown or wrong.
    """
    chosen = StillSettings.model_validate(settings)
    return PictureBaseline(
        name,
        "still",
        chosen,
        agents.prompt,
        require(agents.text_to_image, "text_to_image"),
        animate=lambda picture, _: hold(picture, chosen),
    )
