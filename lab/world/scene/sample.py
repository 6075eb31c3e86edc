"""Draws scenes at random from a seed, all or none of it named by the caller."""

import colorsys
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from lab.world.palette import GROUND_COLOURS, OBJECT_COLOURS, Colour
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
from lab.world.shapes import SHAPES

_STYLE_SHARES: Final = (0.55, 0.15, 0.15, 0.15)
_MOTION_SHARES: Final = (0.125, 0.125, 0.125, 0.125, 0.08, 0.08, 0.06, 0.06, 0.08, 0.07, 0.07)
_KIND_SHARES: Final = (0.4, 0.22, 0.1, 0.1, 0.09, 0.09)
_TWO_OBJECTS: Final = 0.35
_SECOND_STILL: Final = 0.65
_Ranges = dict[SpeedName, tuple[float, float]]
_RADIUS: Final = {"small": (0.17, 0.2), "medium": (0.26, 0.29), "large": (0.36, 0.4)}
_TRAVEL: Final[_Ranges] = {"slow": (0.16, 0.2), "normal": (0.3, 0.35), "fast": (0.46, 0.52)}
_GROWTH: Final[_Ranges] = {"slow": (0.11, 0.14), "normal": (0.22, 0.25), "fast": (0.33, 0.37)}
_RATES: Final[dict[MotionName, _Ranges]] = {
    "spin": {"slow": (0.6, 0.8), "normal": (1.5, 1.9), "fast": (3.0, 3.5)},
    "grow": _GROWTH,
    "shrink": _GROWTH,
    "bounce": {"slow": (1.8, 2.2), "normal": (3.3, 3.9), "fast": (5.2, 6.0)},
    "orbit": {"slow": (0.8, 1.1), "normal": (1.8, 2.2), "fast": (3.2, 3.7)},
}
_REACHES: Final[dict[MotionName, tuple[float, float]]] = {
    "stop": (0.8, 1.2),
    "orbit": (0.26, 0.4),
    "bounce": (0.35, 0.5),
}
_HUE_JITTER: Final = 0.012
_TIMES: Final = np.linspace(0.0, CLIP_SECONDS, 9)
_PLACES: Final = 24  # tries at placing two objects clear of each other

Names = str | Sequence[str] | None
"""A constraint: one name, several to choose from, or any."""


def sample_scenes(
    count: int,
    seed: int,
    *,
    first: int = 0,
    style: Names = None,
    ground: Names = None,
    ground_colour: Names = None,
    shape: Names = None,
    colour: Names = None,
    size: Names = None,
    motion: Names = None,
    speed: Names = None,
    objects: Literal[1, 2] | None = None,
) -> list[Scene]:
    """Draws scenes. Scene i of a seed is the same whatever the count and the first index.

    Args:
        count: Number of scenes.
        seed: Seed, not negative.
        first: Index of the first scene, for drawing a long list in parts.
        style: Style names to choose from.
        ground: Kinds of background to choose from.
        ground_colour: Background colours to choose from.
        shape: Shapes of the main object to choose from; likewise the next four. The second
            object is always free.
        colour: Its colours.
        size: Its sizes.
        motion: Its motions.
        speed: Its speeds.
        objects: Number of objects; by default two in about a third of the scenes.

    Raises:
        ValueError: A name is unknown, or only shapes that look the same at every angle are left
            to spin.
    """
    allowed = _Allowed(
        style=_narrow("style", style, _ANY.style),
        kind=_narrow("ground", ground, _ANY.kind),
        ground_colour=_narrow("ground_colour", ground_colour, _ANY.ground_colour),
        shape=_narrow("shape", shape, _ANY.shape),
        colour=_narrow("colour", colour, _ANY.colour),
        size=_narrow("size", size, _ANY.size),
        motion=_narrow("motion", motion, _ANY.motion),
        speed=_narrow("speed", speed, _ANY.speed),
        objects=objects,
    )
    if set(allowed.motion) == {"spin"} and not any(SHAPES[name].turns for name in allowed.shape):
        raise ValueError(
            f"shape={shape!r} with motion='spin': such a shape looks the same at every angle, "
            "so the motion could not be seen; name another shape or another motion"
        )
    return [
        _sample(np.random.default_rng([seed, index]), allowed)
        for index in range(first, first + count)
    ]


_Name = TypeVar("_Name", bound=str)


class _Choice(dict[_Name, float]):
    """Names to choose from and their shares."""

    def draw(self, rng: np.random.Generator, without: Collection[str] = ()) -> _Name:
        """Draws a name; those in `without` only where nothing else is left."""
        left = {name: share for name, share in self.items() if name not in without} or self
        at = rng.random() * sum(left.values())
        for name, share in left.items():
            at -= share
            if at < 0:
                return name
        return name


@dataclass(frozen=True)
class _Allowed:
    """What a scene may be drawn from."""

    style: _Choice[StyleName]
    kind: _Choice[GroundKind]
    ground_colour: _Choice[GroundColour]
    shape: _Choice[ShapeName]
    colour: _Choice[ColourName]
    size: _Choice[SizeName]
    motion: _Choice[MotionName]
    speed: _Choice[SpeedName]
    objects: Literal[1, 2] | None


def _narrow(argument: str, wanted: Names, every: _Choice[_Name]) -> _Choice[_Name]:
    if wanted is None:
        return every
    chosen = [wanted] if isinstance(wanted, str) else wanted
    if not chosen or not set(chosen) <= set(every):
        raise ValueError(f"{argument}={wanted!r}: expected one or several of {', '.join(every)}")
    return _Choice({name: share for name, share in every.items() if name in chosen})


_ANY: Final = _Allowed(
    style=_Choice(zip(STYLE_NAMES, _STYLE_SHARES, strict=True)),
    kind=_Choice(zip(GROUND_KINDS, _KIND_SHARES, strict=True)),
    ground_colour=_Choice(dict.fromkeys(GROUND_COLOUR_NAMES, 1.0)),
    shape=_Choice(dict.fromkeys(SHAPE_NAMES, 1.0)),
    colour=_Choice(dict.fromkeys(COLOUR_NAMES, 1.0)),
    size=_Choice(dict.fromkeys(SIZE_NAMES, 1.0)),
    motion=_Choice(zip(MOTION_NAMES, _MOTION_SHARES, strict=True)),
    speed=_Choice(dict.fromkeys(SPEED_NAMES, 1.0)),
    objects=None,
)
_HEADINGS: Final = _Choice(dict.fromkeys(HEADINGS, 1.0))


def _sample(rng: np.random.Generator, allowed: _Allowed) -> Scene:
    style = allowed.style.draw(rng)
    ground = _ground(rng, allowed)
    two = rng.random() < _TWO_OBJECTS if allowed.objects is None else allowed.objects == 2
    main = _body(rng, allowed)
    bodies = [main]
    if two:
        still = rng.random() < _SECOND_STILL
        others = replace(
            _ANY,
            # Another shape and another colour: either alone tells which of the two is meant.
            shape=_Choice({name: 1.0 for name in SHAPE_NAMES if name != main.shape}),
            colour=_Choice({name: 1.0 for name in COLOUR_NAMES if name != main.colour}),
            motion=_Choice({"still": 1.0}) if still else _ANY.motion,
        )
        bodies.append(_body(rng, others))
    if style == "digital":  # blocks stand upright, unless they spin
        bodies = [b if b.motion == "spin" else replace(b, rotation=0.0) for b in bodies]
    return Scene(style, ground, _place(rng, bodies), int(rng.integers(2**31)))


def _ground(rng: np.random.Generator, allowed: _Allowed) -> Ground:
    kind = allowed.kind.draw(rng)
    colour = allowed.ground_colour.draw(rng)
    first = _vary(rng, GROUND_COLOURS[colour])
    second = None
    if kind == "gradient":
        second = _ANY.ground_colour.draw(rng, without=(colour,))
        other = _vary(rng, GROUND_COLOURS[second])
    else:  # a texture's second shade; a plain ground has none to show
        shift = (0.09 if sum(first) / 3 < 0.3 else -0.11) * (0.85 + 0.3 * rng.random())
        red, green, blue = (min(1.0, max(0.0, channel + shift)) for channel in first)
        other = (red, green, blue)
    return Ground(
        kind=kind,
        colour=colour,
        second=second,
        rgb=(first, other),
        angle=float(rng.random() * (2 * math.pi)),
        period=float(0.26 + 0.22 * rng.random()),
        phase=(float(rng.random()), float(rng.random())),
    )


def _body(rng: np.random.Generator, allowed: _Allowed) -> Body:
    """Draws an object and leaves its place open."""
    round_only = not any(SHAPES[name].turns for name in allowed.shape)
    motion = allowed.motion.draw(rng, without=("spin",) if round_only else ())
    unseen = [name for name in SHAPE_NAMES if not SHAPES[name].turns] if motion == "spin" else []
    shape = allowed.shape.draw(rng, without=unseen)
    colour = allowed.colour.draw(rng)
    size = allowed.size.draw(
        rng, without={"grow": ("large",), "shrink": ("small",)}.get(motion, ())
    )
    speed = None if motion == "still" else allowed.speed.draw(rng)
    heading: Heading | None = None
    if motion in HEADINGS:
        heading = motion
    elif motion == "stop":
        heading = _HEADINGS.draw(rng)
    rate = reach = 0.0
    if speed is not None:
        rate = _within(rng, _RATES.get(motion, _TRAVEL)[speed])
        reach = _within(rng, _REACHES.get(motion, (0.0, 0.0)))
        if motion == "shrink" or (motion in ("spin", "orbit") and rng.random() < 0.5):
            rate = -rate
    tilt = math.pi / SHAPES[shape].fold if motion == "spin" else 0.2
    return Body(
        shape=shape,
        colour=colour,
        size=size,
        motion=motion,
        speed=speed,
        heading=heading,
        rgb=_vary(rng, OBJECT_COLOURS[colour]),
        radius=_within(rng, _RADIUS[size]),
        rotation=_within(rng, (-tilt, tilt)),
        place=(0.0, 0.0),
        rate=rate,
        reach=reach,
        phase=float(rng.random() * (2 * math.pi)),
    )


def _within(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    return float(bounds[0] + (bounds[1] - bounds[0]) * rng.random())


def _vary(rng: np.random.Generator, colour: Colour) -> Colour:
    """Moves hue and brightness by an amount that leaves the colour's name true."""
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    hue += _HUE_JITTER * (2 * rng.random() - 1)
    value = min(1.0, value * (0.95 + 0.1 * rng.random()))
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)


def _path(body: Body) -> NDArray[np.float64]:
    """Offset from `place` and extent (x, y, extent) at `_TIMES`: (9, 3), in units."""
    x, y = body.velocity
    moving = np.minimum(_TIMES, body.reach) if body.motion == "stop" else _TIMES
    path = np.stack((x * moving, y * moving, np.full_like(_TIMES, body.radius)), 1)
    if body.motion == "orbit":
        angle = body.phase + body.rate * _TIMES
        path[:, 0] += body.reach * np.cos(angle)
        path[:, 1] += body.reach * np.sin(angle)
    elif body.motion == "bounce":
        path[:, 1] -= body.reach * np.abs(np.sin(body.rate * _TIMES))
    elif body.motion in ("grow", "shrink"):
        path[:, 2] *= np.exp(body.rate * _TIMES)
    path[:, 2] *= SHAPES[body.shape].extent
    return path


def _place(rng: np.random.Generator, bodies: Sequence[Body]) -> tuple[Body, ...]:
    """Puts objects where they stay in the frame, and two where they hide each other least."""
    paths = [_path(body) for body in bodies]
    tries = _PLACES if len(bodies) == 2 else 1
    places = np.empty((tries, len(bodies), 2))
    for index, path in enumerate(paths):
        low = (path[:, 2:] - 1.0 - path[:, :2]).max(0)
        high = (1.0 - path[:, 2:] - path[:, :2]).min(0)
        middle, half = (low + high) / 2, np.maximum(high - low, 0.0) / 2
        places[:, index] = middle + half * (2 * rng.random((tries, 2)) - 1)
    chosen = places[0]
    if len(bodies) == 2:
        centres = places[:, :, None] + np.stack([path[:, :2] for path in paths])
        distance = np.linalg.norm(centres[:, 0] - centres[:, 1], axis=-1)
        overlap = np.maximum(paths[0][:, 2] + paths[1][:, 2] - distance, 0.0)
        hidden = overlap.mean(1) + overlap[:, 0]  # at the start they should not touch at all
        chosen = places[int(np.argmax(hidden <= max(hidden.min(), 0.03)))]
    return tuple(
        replace(body, place=(float(x), float(y)))
        for body, (x, y) in zip(bodies, chosen, strict=True)
    )
