"""Motion for the training of flow and interpolation: textured scenes mixed with the world's clips.

The world has few textures, so that a network trained on it alone would know no real video; without
it, a network would be unsure of the plain surfaces that the world is made of.
"""

from dataclasses import fields
from typing import Final

import torch
from torch import Tensor

from lab.data.motion import MotionBatch, TexturedMotion
from lab.world.pool import Pool
from lab.world.render import flow, render
from lab.world.scene import CLIP_SECONDS, SceneBatch

SPAN: Final = (1 / 14, 2 / 7)
"""Least and most seconds between the outer frames: two frames at 7 a second is the most that
interpolation sees."""

SCENES: Final = 4_000
"""Scenes of the world in the pool."""


class MotionMixture:
    """Draws textured motion and clips of the world together.

    Args:
        textured: Textured motion, on the device that is drawn on.
        seed: Seed of the world's scenes.
    """

    def __init__(self, textured: TexturedMotion, seed: int) -> None:
        self.textured = textured
        self.pool = Pool.build(SCENES, seed, captions=1, processes=1).to(textured.volume.device)

    def draw(self, batch: int, height: int, width: int) -> MotionBatch:
        """Draws `batch` samples, a quarter of them of the world, which come last."""
        scenes, _ = self.pool.draw(batch // 4)
        parts = (
            self.textured.draw(batch - batch // 4, height, width),
            world_motion(scenes, height, width),
        )
        return MotionBatch(
            *(
                torch.cat([getattr(part, field.name) for part in parts])
                for field in fields(MotionBatch)
            )
        )


@torch.no_grad()
def world_motion(scenes: SceneBatch, height: int, width: int) -> MotionBatch:
    """Films each scene for a moment that is drawn at random."""
    device = scenes.device
    shortest, longest = SPAN
    span = shortest + (longest - shortest) * torch.rand(len(scenes), device=device)
    first = (CLIP_SECONDS - span) * torch.rand(len(scenes), device=device)
    middle, last = first + span / 2, first + span

    def motion(start: Tensor, end: Tensor) -> Tensor:
        return flow(scenes, start, end, height, width)

    return MotionBatch(
        frames=render(scenes, torch.stack([first, middle, last], dim=1), height, width),
        flow=motion(first, last),
        # All of a scene stays within the picture's central square.
        valid=torch.ones(len(scenes), 1, height, width, device=device),
        halfway=torch.cat([motion(middle, first), motion(middle, last)], dim=1),
    )
