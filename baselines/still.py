"""The baseline `still`: Mora's picture, held for the length of the clip.

It has perfect consistency and smoothness and no motion at all, so a table shows what a metric
gives for a picture alone, and what the image-to-video model adds to it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from mora.agents.prompt import PromptAgent
from mora.agents.text_to_image import Picture, TextToImage
from mora.generator import not_a_task
from mora.media import Clip
from mora.records import Record, TaskName, content_hash
from mora.tasks.stage import Inputs, Stage, Worker, prompt_stage, text_to_image_stage


class StillSettings(Record):
    """How long the picture is held."""

    frames: int = Field(ge=1)
    fps: float = Field(gt=0)
    """Frames a second."""


def hold(picture: Picture, settings: StillSettings) -> Clip:
    """Returns the picture, uint8 (H, W, 3), as a clip whose frames are all alike."""
    return Clip(np.repeat(picture[None], settings.frames, axis=0), settings.fps)


@dataclass(frozen=True)
class Still:
    """Draws a picture with Mora's agents and holds it.

    Attributes:
        prompt: The prompt agent.
        text_to_image: The text-to-image agent.
        settings: How long.
        name: Name in tables.
    """

    prompt: PromptAgent
    text_to_image: TextToImage
    settings: StillSettings
    name: str = "still"

    @property
    def tasks(self) -> frozenset[TaskName]:
        """Text-to-video only."""
        return frozenset({TaskName.TEXT_TO_VIDEO})

    def stages(self, task: TaskName) -> tuple[Stage, ...]:
        """Mora's stages up to the picture, then `still`. Raises `SettingError` for other tasks."""
        if task not in self.tasks:
            raise not_a_task(self, task)
        held = Stage(
            name="still",
            model="still",
            recipe=content_hash(["still", self.settings]),
            takes=("image",),
            makes="video",
            batch_size=1,
            open=self._open,
        )
        return prompt_stage(self.prompt), text_to_image_stage(self.text_to_image), held

    @contextmanager
    def _open(self, device: str) -> Iterator[Worker]:  # noqa: ARG002  no model, no device
        def work(items: Sequence[Inputs]) -> Iterator[Clip]:
            return (hold(item.picture(), self.settings) for item in items)

        yield work
