"""Colours and styles of the world, as numbers between 0 and 1.

Objects are saturated, grounds are muted, so that one is never taken for the other. A style maps
both by an affine function of each channel (`scale · colour + shift`), which keeps the names of the
colours true in every style, and sets how the edge, the light and the grid of blocks are drawn.
"""

from dataclasses import dataclass
from typing import Final

Colour = tuple[float, float, float]
"""Red, green and blue (sRGB values, each in [0, 1])."""

OBJECT_COLOURS: Final[dict[str, Colour]] = {
    "red": (0.87, 0.10, 0.12),
    "orange": (0.98, 0.50, 0.04),
    "yellow": (0.99, 0.87, 0.10),
    "green": (0.13, 0.70, 0.22),
    "blue": (0.10, 0.36, 0.95),
    "purple": (0.53, 0.16, 0.80),
    "pink": (0.99, 0.52, 0.76),
    "white": (0.97, 0.97, 0.97),
}

GROUND_COLOURS: Final[dict[str, Colour]] = {
    "grey": (0.50, 0.50, 0.51),
    "brown": (0.41, 0.29, 0.20),
    "beige": (0.79, 0.72, 0.59),
    "teal": (0.16, 0.41, 0.42),
    "navy": (0.10, 0.14, 0.30),
    "olive": (0.41, 0.42, 0.20),
    "plum": (0.33, 0.21, 0.31),
    "black": (0.06, 0.06, 0.07),
}


@dataclass(frozen=True)
class Style:
    """How a style draws.

    Attributes:
        body_scale: Factor on an object's colour, channel by channel.
        body_shift: Added to an object's colour.
        ground_scale: Factor on the ground's colour.
        ground_shift: Added to the ground's colour.
        light: Brightness that an object gains towards the upper left, as a share.
        rim: Share of ink in an object's edge.
        rim_width: Width of that edge in units (the picture's shorter side is 2 units); half of it
            lies outside the shape.
        hatch: Strength of the pencil's strokes across an object, as a share of brightness.
        grain: Strength of the ground's grain, as a share of brightness.
        stars: Brightness of the stars on the ground.
        blocks: Whether all is drawn in blocks.
    """

    body_scale: Colour = (1.0, 1.0, 1.0)
    body_shift: Colour = (0.0, 0.0, 0.0)
    ground_scale: Colour = (1.0, 1.0, 1.0)
    ground_shift: Colour = (0.0, 0.0, 0.0)
    light: float = 0.0
    rim: float = 0.0
    rim_width: float = 0.0
    hatch: float = 0.0
    grain: float = 0.0
    stars: float = 0.0
    blocks: bool = False


STYLES: Final[dict[str, Style]] = {
    "plain": Style(light=0.10, rim=0.22, rim_width=0.03),
    "night": Style(
        body_scale=(0.68, 0.70, 0.86),
        ground_scale=(0.36, 0.34, 0.42),
        ground_shift=(0.0, 0.01, 0.05),
        light=0.18,
        stars=0.75,
    ),
    "sketch": Style(
        body_scale=(0.66, 0.66, 0.66),
        body_shift=(0.32, 0.32, 0.31),
        ground_scale=(0.42, 0.42, 0.42),
        ground_shift=(0.53, 0.51, 0.45),
        rim=1.0,
        rim_width=0.035,
        hatch=0.07,
        grain=0.06,
    ),
    "digital": Style(light=0.06, grain=0.2, blocks=True),
}
"""By name; the order is that of the labels."""

INK: Final = 0.13
"""Grey of inked edges."""

SEAM: Final = 0.14
"""How much darker the seams between an object's blocks are, as a share of brightness."""
