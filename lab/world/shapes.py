"""The six shapes, each as one fold and two linear forms.

A shape with n-fold symmetry is folded into one wedge: the point at distance r from the centre and
angle a from the upward axis becomes (x, y) = (r cos a', r sin a') with |a'| ≤ π/n. In the wedge the
signed distance to the edge is the larger of two forms  X·x + Y·y + R·r + C, negative inside. One
formula thus draws every shape, whatever the mixture in a batch.
"""

import math
from dataclasses import dataclass
from typing import Final

Form = tuple[float, float, float, float]
"""Coefficients of x, y, r and 1."""


@dataclass(frozen=True)
class Shape:
    """A shape of unit size: the circle's radius is 1, the others look about as large.

    Attributes:
        fold: Number of equal wedges around the centre; also the order of rotational symmetry.
        forms: The two forms, whose larger value is the signed distance.
        extent: Distance of the farthest point from the centre.
        turns: Whether a rotation can be seen.
    """

    fold: int
    forms: tuple[Form, Form]
    extent: float
    turns: bool = True


def _polygon(fold: int, tip: float, dent: float) -> Shape:
    """A polygon with corners at distance `tip` on the wedges' axes and at `dent` between them."""
    x, y = dent * math.cos(math.pi / fold), dent * math.sin(math.pi / fold)
    length = math.hypot(x - tip, y)
    form = (y / length, (tip - x) / length, 0.0, -tip * y / length)
    return Shape(fold, (form, form), tip)


def _regular(fold: int, tip: float) -> Shape:
    return _polygon(fold, tip, tip * math.cos(math.pi / fold))


def _square(half: float) -> Shape:
    """A square that stands on a side: four folds whose axes are normal to the sides."""
    form = (1.0, 0.0, 0.0, -half)
    return Shape(4, (form, form), half * math.sqrt(2))


def _cross(arm: float, half: float) -> Shape:
    return Shape(4, ((1.0, 0.0, 0.0, -arm), (0.0, 1.0, 0.0, -half)), math.hypot(arm, half))


def _disc(radius: float, hole: float | None = None) -> Shape:
    outer = (0.0, 0.0, 1.0, -radius)
    inner = outer if hole is None else (0.0, 0.0, -1.0, hole)
    return Shape(1, (outer, inner), radius, turns=False)


SHAPES: Final[dict[str, Shape]] = {
    "circle": _disc(1.0),
    "square": _square(0.84),
    "triangle": _regular(3, 1.2),
    "star": _polygon(5, 1.2, 0.5),
    "cross": _cross(1.05, 0.36),
    "ring": _disc(1.06, 0.54),
}
"""By name; the order is that of the labels."""
