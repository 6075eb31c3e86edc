"""Reads an object's colour, shape and motion from pixels alone, without any network.

It knows how the world is drawn (palette, styles, shapes) and nothing of the scene. The background
is a smooth surface fitted through all frames, robust against what lies on it; a pixel belongs to an
object where some colour of the palette explains it better than the background does. The colour is
the vote of the object's pixels, the shape the best of all templates at all angles, the direction
the path of the centre.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lab.world.palette import INK, OBJECT_COLOURS, SEAM, STYLES
from lab.world.parse import AskedBody
from lab.world.scene import COLOUR_NAMES, SHAPE_NAMES, ColourName, Heading, ShapeName, StyleName
from lab.world.shapes import SHAPES

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

_SMALLEST: Final = 0.0015  # share of the picture below which nothing counts as an object
_GRID: Final = 40  # side of a shape template
_REACH: Final = 2.2  # half a template's side, in units of √(area / π)
_ANGLE: Final = math.radians(4)
_RIMS: Final = (0.0, 0.1)  # an inked or a blurred edge makes a shape wider
_STILL: Final = 0.08  # units within which a centre counts as still
_SIDEWAYS: Final = 0.45  # largest motion across a straight path, as a share of its length
_BACK: Final = 0.25  # largest motion back, as a share of a straight path's length


@dataclass(frozen=True)
class Reading:
    """What was read of the main object.

    Attributes:
        colour: Nearest colour of the palette, `None` if no object was found.
        shape: Nearest shape, `None` if no object was found.
        direction: Where the centre went; `still` where it stayed in place (at rest, spinning,
            growing), `other` for a path that is not straight. `None` for a single frame, or if the
            object was not found in at least two.
        speed: Mean speed of the centre from the first to the last frame, in units a second.
        area: Mean share of the picture that the object covers, in [0, 1].
        colour_confidence: Share of the object's pixels that voted for the colour, in [0, 1].
        shape_confidence: Overlap with the best template less that with the best template of
            another shape (intersection over union), in [0, 1].
    """

    colour: ColourName | None
    shape: ShapeName | None
    direction: Heading | Literal["still", "other"] | None
    speed: float
    area: float
    colour_confidence: float
    shape_confidence: float


def measure(
    frames: NDArray[np.uint8],
    style: StyleName | None = "plain",
    *,
    objects: Literal[1, 2] = 1,
    asked: AskedBody | None = None,
    fps: float = 7.0,
) -> Reading:
    """Reads the main object of a clip or of a picture.

    With one object in the scene, it is the largest thing that is not background. With two, each
    colour found is one object, and the two largest are candidates for the main one. What was asked
    then decides which it is, but never an attribute by itself: shape and direction are read from
    the object whose *colour* is the asked one, the colour from the object whose *shape* is nearest
    to the asked one. A model that swaps the colours of two objects is thus wrong in colour and in
    shape. Where neither has what is asked, the larger one is read.

    Args:
        frames: RGB (T, H, W, 3).
        style: The style in which the clip was asked for; `None` is plain.
        objects: How many objects were asked for.
        asked: What was asked of the main object; only used with two objects. Without it the larger
            one is read.
        fps: Frames a second, for the speed.

    Raises:
        ValueError: `frames` is not uint8 (T, H, W, 3).
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(
            f"frames is {frames.dtype} {frames.shape}: expected uint8 (T, H, W, 3), RGB"
        )
    name = style or "plain"
    votes = _labels(frames, name)
    things = _things(votes, objects)
    if not things:
        return Reading(None, None, None, 0.0, 0.0, 0.0, 0.0)
    by_colour = by_shape = 0
    scores = [_shape_scores(thing.masks) for thing in things]
    if asked is not None and len(things) == 2:
        by_colour = int(asked.colour == things[1].colour)
        if asked.shape is not None:
            column = SHAPE_NAMES.index(asked.shape)
            by_shape = int(scores[1][column] > scores[0][column])
    score = scores[by_colour]
    best, next_best = np.sort(score)[::-1][:2]
    direction, speed = _direction(things[by_colour].masks, fps)
    return Reading(
        colour=things[by_shape].colour,
        shape=SHAPE_NAMES[int(np.argmax(score))],
        direction=direction,
        speed=speed,
        area=float(things[by_colour].masks.mean()),
        colour_confidence=things[by_shape].agreement,
        shape_confidence=float(best - next_best),
    )


@dataclass(frozen=True)
class _Thing:
    """An object found: its mask in each frame (T, H, W), its colour and the share of votes."""

    masks: Mask
    colour: ColourName
    agreement: float


def _lab(rgb: Floats) -> Floats:
    """CIELAB from sRGB in [0, 1] (..., 3), D65 white."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    ratio = linear @ (matrix / matrix.sum(1, keepdims=True)).T
    cube = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = np.moveaxis(cube, -1, 0)
    lab = np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), -1)
    return lab.astype(np.float32)


@cache
def _prototypes(style: StyleName) -> Floats:
    """The palette as it looks under a style: Lab (colours, variants, 3).

    The variants are a colour in light, in shade, under a pencil's stroke or in a seam, and at a
    rim that is not all ink.
    """
    look = STYLES[style]
    palette = np.array([OBJECT_COLOURS[name] for name in COLOUR_NAMES])
    drawn = palette * look.body_scale + look.body_shift
    spread = look.light + look.hatch + (SEAM if look.blocks else 0.0)
    variants = [drawn * factor for factor in (1.0, 1.0 + look.light, 1.0 - spread)]
    if 0 < look.rim < 1:
        variants.append(drawn * (1 - look.rim) + INK * look.rim)
    return _lab(np.stack(variants, 1).clip(0.0, 1.0))


def _labels(frames: NDArray[np.uint8], style: StyleName) -> NDArray[np.int64]:
    """Index of the colour that each pixel shows, -1 for the background: (T, H, W)."""
    pixels = _lab(frames / np.float32(255))
    ground, spread = _background(pixels)
    from_ground = np.linalg.norm(pixels - ground, axis=-1) - spread
    palette = _prototypes(style)
    flat = palette.reshape(-1, 3)
    apart = (flat**2).sum(1) - 2 * pixels @ flat.T  # squared distance, less the pixel's own square
    which = apart.argmin(-1)
    nearest = np.linalg.norm(pixels - flat[which], axis=-1)
    labels = np.where(nearest > from_ground, -1, which // palette.shape[1])
    if STYLES[style].rim == 1.0:
        _give_ink(labels, pixels, np.minimum(nearest, from_ground))
    return labels


def _give_ink(labels: NDArray[np.int64], pixels: Floats, distance: Floats) -> None:
    """Gives the pixels of an inked outline to the object that they surround, in place."""
    ink = np.linalg.norm(pixels - _lab(np.full(3, INK)), axis=-1) < distance
    reach = 0.05 * min(labels.shape[1:])
    for frame, inked in zip(labels, ink, strict=True):
        frame[inked] = -1
        if (frame >= 0).any():
            away, (rows, columns) = ndimage.distance_transform_edt(frame < 0, return_indices=True)
            near = inked & (away <= reach)
            frame[near] = frame[rows, columns][near]


def _background(pixels: Floats) -> tuple[Floats, float]:
    """Fits the background, the same in all frames: Lab (H, W, 3), and its texture's spread.

    A polynomial in x and y, fitted by reweighted least squares whose scale and degree anneal, so
    that objects fall out as outliers.
    """
    frames, height, width, _ = pixels.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = [x ** (degree - j) * y**j for degree in range(4) for j in range(degree + 1)]
    basis = np.stack(terms, -1)
    step = max(1, round(math.sqrt(frames * height * width / 12_000)))
    seen = pixels[:, ::step, ::step].reshape(-1, 3)
    here = np.broadcast_to(basis[None, ::step, ::step], (frames, *basis[::step, ::step].shape))
    here = here.reshape(-1, len(terms))
    fitted = np.median(seen, 0)[None]
    known = 1
    for scale, count in ((30, 1), (30, 3), (25, 3), (20, 6), (15, 6), (12, 10), (10, 10), (10, 10)):
        residual = np.linalg.norm(seen - here[:, :known] @ fitted, axis=-1)
        weight = np.exp(-0.5 * (residual / scale) ** 2)[:, None]
        known = count
        part = here[:, :known]
        ridge = 1e-3 * len(part) * np.eye(known)
        fitted = np.linalg.solve(part.T @ (weight * part) + ridge, part.T @ (weight * seen))
    residual = np.linalg.norm(seen - here @ fitted, axis=-1)
    return basis @ fitted, float(np.median(residual))


def _things(labels: NDArray[np.int64], objects: int) -> list[_Thing]:
    """The largest objects, larger first; with two objects each colour is one."""
    smallest = _SMALLEST * labels[0].size
    if objects == 1:
        groups = [labels >= 0]
    else:
        counts = [int((labels == index).sum()) for index in range(len(COLOUR_NAMES))]
        groups = [labels == index for index in np.argsort(counts)[::-1][:2]]
    things = []
    for group in groups:
        masks = np.stack([_largest(frame, smallest) for frame in group])
        core = masks & ndimage.binary_erosion(masks, np.ones((1, 3, 3), bool))
        seen = labels[core if core.any() else masks]
        seen = seen[seen >= 0]
        if len(seen):
            votes = np.bincount(seen, minlength=len(COLOUR_NAMES))
            best = int(votes.argmax())
            things.append(_Thing(masks, COLOUR_NAMES[best], float(votes[best] / votes.sum())))
    return sorted(things, key=lambda thing: -int(thing.masks.sum()))


def _largest(mask: Mask, smallest: float) -> Mask:
    """The largest connected part of a mask, empty if it is too small."""
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    if not count:
        return np.zeros_like(mask)
    areas = np.bincount(parts.ravel())[1:]
    best = int(areas.argmax())
    if areas[best] < smallest:
        return np.zeros_like(mask)
    return parts == best + 1


@cache
def _templates() -> tuple[Floats, NDArray[np.int64]]:
    """All shapes at all angles, with area π and the centroid at 0: (K, grid²), and their labels."""
    axis = (np.arange(_GRID) + 0.5) / _GRID * 2 - 1
    y, x = np.meshgrid(axis * _REACH, axis * _REACH, indexing="ij")
    fine = (np.arange(400) + 0.5) / 200 - 1
    fine_y, fine_x = np.meshgrid(fine * 1.4, fine * 1.4, indexing="ij")
    templates, shapes = [], []
    for index, name in enumerate(SHAPE_NAMES):
        turns = round(2 * math.pi / SHAPES[name].fold / _ANGLE) if SHAPES[name].turns else 1
        for turn, rim in itertools.product(range(turns), _RIMS):
            area = (_outside(name, fine_x, fine_y) < rim).sum() * (2.8 / 400) ** 2
            unit = math.sqrt(area / math.pi)
            angle = turn * _ANGLE
            cos, sin = math.cos(angle) * unit, math.sin(angle) * unit
            outside = _outside(name, cos * x + sin * y, cos * y - sin * x) - rim
            cell = 2 * _REACH / _GRID * unit
            templates.append((0.5 - outside / cell).clip(0.0, 1.0).ravel())
            shapes.append(index)
    return np.array(templates), np.array(shapes)


def _outside(name: ShapeName, x: Floats, y: Floats) -> Floats:
    """Signed distance from the edge of a shape of unit size; see `lab.world.shapes`."""
    shape = SHAPES[name]
    wedge = 2 * math.pi / shape.fold
    distance, angle = np.hypot(x, y), np.arctan2(x, -y)
    angle -= wedge * np.round(angle / wedge)
    folded = np.stack((distance * np.cos(angle), distance * np.abs(np.sin(angle)), distance))
    forms = np.array(shape.forms)
    return (np.tensordot(forms[:, :3], folded, 1) + forms[:, 3, None, None]).max(0)


def _shape_scores(masks: Mask) -> Floats:
    """Mean intersection over union with the best template of each shape, over frames: (shapes,)."""
    templates, shapes = _templates()
    found = [mask for mask in masks if mask.any()]
    chosen = [found[i] for i in np.linspace(0, len(found) - 1, min(5, len(found))).astype(int)]
    scores = []
    for mask in chosen:
        seen = _normalised(mask)
        both = np.minimum(templates, seen).sum(1)
        overlap = both / (templates.sum(1) + seen.sum() - both)
        scores.append([overlap[shapes == index].max() for index in range(len(SHAPE_NAMES))])
    return np.mean(scores, 0)


def _normalised(mask: Mask) -> Floats:
    """A mask moved and scaled to centroid 0 and area π: (grid²,)."""
    rows, columns = np.nonzero(mask)
    unit = math.sqrt(len(rows) / math.pi)
    axis = ((np.arange(_GRID) + 0.5) / _GRID * 2 - 1) * _REACH * unit
    places = np.meshgrid(rows.mean() + axis, columns.mean() + axis, indexing="ij")
    return ndimage.map_coordinates(mask.astype(float), places, order=1).ravel()


def _direction(masks: Mask, fps: float) -> tuple[Heading | Literal["still", "other"] | None, float]:
    """Direction of the centre's path and its mean speed in units a second."""
    times = [index for index, mask in enumerate(masks) if mask.any()]
    if len(times) < 2:
        return None, 0.0
    unit = min(masks.shape[1:]) / 2
    path = np.array([ndimage.center_of_mass(masks[index]) for index in times])[:, ::-1] / unit
    total = path[-1] - path[0]
    speed = float(np.linalg.norm(total) / (times[-1] - times[0]) * fps)
    if np.linalg.norm(path - path.mean(0), axis=1).max() < _STILL / 2:
        return "still", speed
    along = int(np.argmax(np.abs(total)))
    sign, length = np.sign(total[along]), abs(float(total[along]))
    sideways, progress = float(np.ptp(path[:, 1 - along])), sign * path[:, along]
    back = float((np.maximum.accumulate(progress) - progress).max())
    if sideways > _SIDEWAYS * length or back > _BACK * length:
        return "other", speed
    names: Sequence[Heading] = ("left", "right") if along == 0 else ("up", "down")
    return names[int(sign > 0)], speed
