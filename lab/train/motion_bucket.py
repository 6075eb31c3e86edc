"""SVD's motion bucket in the miniature world: how fast things are asked to move."""

import math
from typing import Final

from torch import Tensor

from lab.world.scene import CLIP_SECONDS, SceneBatch

FASTEST: Final = 0.64
"""Speed in picture widths a second that motion bucket 255 stands for."""


def motion_speed(scenes: SceneBatch) -> Tensor:
    """Mean speed of the surface of each scene's fastest object during a clip.

    The mean over a clip's two seconds, and over the object's surface, taken as a disc whose points
    are on average ⅔ of its radius from the centre: travel and orbit count the centre's path, a
    spin and a growth what they do to the surface.

    Args:
        scenes: B scenes.

    Returns:
        Picture widths (the shorter side) a second, float32 (B,).
    """
    travel = scenes.velocity.norm(dim=-1) * scenes.until.clamp(max=CLIP_SECONDS) / CLIP_SECONDS
    orbit = (scenes.orbit[..., 0] * scenes.orbit[..., 1]).abs()
    bounce = scenes.bounce.prod(-1) * (2 / math.pi)  # the mean of |d/dt |sin t||
    grown = scenes.radius * (scenes.growth * CLIP_SECONDS).expm1().abs() / CLIP_SECONDS
    surface = (scenes.radius * scenes.spin.abs() + grown) * (2 / 3)
    speed: Tensor = (travel + orbit + bounce + surface) * scenes.present
    return speed.amax(1) / 2  # a width is two units


def bucket_speed(bucket: float) -> float:
    """Speed in widths a second that a motion bucket asks for, the inverse of `motion_bucket`."""
    return FASTEST * (bucket / 255) ** 2


def motion_bucket(speed: Tensor) -> Tensor:
    """SVD's motion bucket of a speed: 255 √(speed / 0.64), at most 255.

    The root spreads the slow motions, which lie close together. In the world's words:

    | | slow | normal | fast |
    |---|---|---|---|
    | nothing moves | 0 | | |
    | grows or shrinks | 32 | 45 | 55 |
    | travels, then stops | 68 | 92 | 113 |
    | travels | 96 | 129 | 158 |
    | spins | 63–99 | 99–154 | 139–210 |
    | orbits | 110–144 | 163–205 | 216–255 |
    | bounces | 150–183 | 203–245 | 255 |

    SVD's default bucket, 127, is thus travel at normal speed.

    Args:
        speed: Widths a second, as `motion_speed` gives, any shape.

    Returns:
        Bucket in [0, 255], a whole number as float32, of the same shape.
    """
    return (255 * (speed / FASTEST).sqrt()).round().clamp(max=255)
