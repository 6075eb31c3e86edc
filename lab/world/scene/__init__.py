"""Scenes: what the world holds, drawn at random from a seed, and their form as tensors.

Units: the picture's shorter side is 2 units long and the origin is its centre; x grows to the
right and y downwards. All of a scene stays within the central square of 2 × 2 units during its
first `CLIP_SECONDS`, so it can be drawn at any size and aspect. Time is in seconds from the start
of the clip, and motion is defined for every time.
"""

from lab.world.scene.batch import SceneBatch, encode
from lab.world.scene.records import (
    CLIP_SECONDS,
    COLOUR_NAMES,
    GROUND_COLOUR_NAMES,
    GROUND_KINDS,
    HEADINGS,
    MOTION_NAMES,
    SHAPE_NAMES,
    SIZE_NAMES,
    SPEED_NAMES,
    STYLE_NAMES,
    Body,
    ColourName,
    Ground,
    GroundColour,
    GroundKind,
    Heading,
    MotionName,
    Scene,
    ShapeName,
    SizeName,
    SpeedName,
    StyleName,
)
from lab.world.scene.sample import Names, sample_scenes

__all__ = [
    "CLIP_SECONDS",
    "COLOUR_NAMES",
    "GROUND_COLOUR_NAMES",
    "GROUND_KINDS",
    "HEADINGS",
    "MOTION_NAMES",
    "SHAPE_NAMES",
    "SIZE_NAMES",
    "SPEED_NAMES",
    "STYLE_NAMES",
    "Body",
    "ColourName",
    "Ground",
    "GroundColour",
    "GroundKind",
    "Heading",
    "MotionName",
    "Names",
    "Scene",
    "SceneBatch",
    "ShapeName",
    "SizeName",
    "SpeedName",
    "StyleName",
    "encode",
    "sample_scenes",
]
