"""Draws scenes as pictures and gives their true motion, on any device, from tensors only.

Nothing here looks at a value or depends on the random state, and every shape is fixed by the
arguments, so that a training step that renders its own batch can be captured as a CUDA graph.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.world.palette import INK, SEAM
from lab.world.scene import GROUND_KINDS, SceneBatch

BLOCKS: Final = 32
"""Blocks along the picture's shorter side, in the style of a digital world."""

_LATTICE: Final = 64  # random values along two units
_STARS: Final = 18
_STROKE: Final = 0.085  # units between a pencil's strokes


@torch.no_grad()
def render(scenes: SceneBatch, times: Tensor, height: int, width: int) -> Tensor:
    """Draws scenes at given times.

    Args:
        scenes: B scenes.
        times: Seconds from the start (B, T), on the scenes' device.
        height: Height in pixels.
        width: Width in pixels.

    Returns:
        RGB pictures (B, T, 3, H, W), float32 in [0, 1].
    """
    x, y = _axes(height, width, scenes.device)
    pixel = 2.0 / min(height, width)
    picture = _ground(scenes, x, y, pixel)[:, None]
    for index in (1, 0):  # the main object last: it is on top
        picture = _draw(picture, scenes, index, _pose(scenes, index, times), x, y, pixel)
    return picture.clamp_(0.0, 1.0)


@torch.no_grad()
def flow(
    scenes: SceneBatch, times_from: Tensor, times_to: Tensor, height: int, width: int
) -> Tensor:
    """True motion of the surface that is seen at `times_from`, until `times_to`.

    Args:
        scenes: B scenes.
        times_from: Seconds (B,) of the picture on whose pixels the flow is given.
        times_to: Seconds (B,) of the other picture.
        height: Height in pixels.
        width: Width in pixels.

    Returns:
        Displacement in pixels (B, 2, H, W), x and y; 0 on the ground.
    """
    x, y = _axes(height, width, scenes.device)
    pixel = 2.0 / min(height, width)
    motion = torch.zeros(len(scenes), 2, height, width, device=scenes.device)
    for index in (1, 0):
        before, after = (_pose(scenes, index, time[:, None]) for time in (times_from, times_to))
        dx, dy = x - before.x, y - before.y
        inside = _depth(*_local(scenes, dx, dy, pixel), scenes, index, before) > 0.5
        turn = after.rotation - before.rotation
        zoom = after.radius / before.radius
        cos, sin = zoom * turn.cos(), zoom * turn.sin()
        moved = torch.cat(
            (
                after.x - before.x + (cos - 1) * dx - sin * dy,
                after.y - before.y + sin * dx + (cos - 1) * dy,
            ),
            1,
        )
        motion = torch.where(inside, moved / pixel, motion)
    return motion


@dataclass(frozen=True)
class _Pose:
    """Where an object is, each (B, T, 1, 1): centre, size and clockwise angle."""

    x: Tensor
    y: Tensor
    radius: Tensor
    rotation: Tensor


def _pose(scenes: SceneBatch, index: int, times: Tensor) -> _Pose:
    """Evaluates one object's motion at times (B, T)."""
    place, velocity = scenes.place[:, index], scenes.velocity[:, index]
    orbit, bounce = scenes.orbit[:, index, :, None], scenes.bounce[:, index, :, None]
    moving = torch.minimum(times, scenes.until[:, index, None])
    angle = orbit[:, 2] + orbit[:, 1] * times
    x = place[:, :1] + velocity[:, :1] * moving + orbit[:, 0] * angle.cos()
    y = place[:, 1:] + velocity[:, 1:] * moving + orbit[:, 0] * angle.sin()
    y = y - bounce[:, 0] * (bounce[:, 1] * times).sin().abs()
    radius = scenes.radius[:, index, None] * (scenes.growth[:, index, None] * times).exp()
    rotation = scenes.rotation[:, index, None] + scenes.spin[:, index, None] * times
    return _Pose(*(value[:, :, None, None] for value in (x, y, radius, rotation)))


def _axes(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Coordinates of the pixels' centres in units: x (1, 1, 1, W) and y (1, 1, H, 1)."""
    short = min(height, width)
    x = (2 * torch.arange(width, device=device) + 1 - width) / short
    y = (2 * torch.arange(height, device=device) + 1 - height) / short
    return x[None, None, None], y[None, None, :, None]


def _snap(value: Tensor, blocks: Tensor, pixel: float) -> Tensor:
    """Replaces a coordinate by its block's centre where `blocks` says so.

    Between two blocks the step is one pixel wide, which keeps moving blocks free of jagged edges.
    """
    block = 2.0 / BLOCKS
    seam = (value / block).round() * block
    step = ((value - seam) * (0.5 * block / pixel)).clamp(-0.5 * block, 0.5 * block)
    return torch.where(blocks, seam + step, value)


def _local(
    scenes: SceneBatch, dx: Tensor, dy: Tensor, pixel: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets from an object's centre, in blocks where the style asks, and the edge's width."""
    blocks = scenes.blocks[:, None, None, None]
    edge = torch.where(blocks, 0.45 * max(2.0 / BLOCKS, pixel), pixel)
    return _snap(dx, blocks, pixel), _snap(dy, blocks, pixel), edge


def _depth(
    dx: Tensor, dy: Tensor, edge: Tensor, scenes: SceneBatch, index: int, pose: _Pose
) -> Tensor:
    """How deep each pixel lies in an object, in widths of its edge: (B, T, H, W).

    It is 0 where the soft edge begins and 1 where it ends, so that clamped to [0, 1] it is the
    share of the pixel that the object covers. Half of an inked rim lies outside the shape's own
    outline. See `lab.world.shapes` for the fold and the two forms.
    """
    distance = torch.hypot(dx, dy)
    wedge = (2 * math.pi) / scenes.fold[:, index, None, None, None]
    angle = torch.atan2(dx, -dy) - (pose.rotation - wedge / 2)
    angle = torch.remainder(angle, wedge) - wedge / 2
    x, y = distance * angle.cos(), distance * angle.sin().abs_()
    # All that is the same for a whole picture is worked out before it meets the pixels.
    scale = -scenes.present[:, index, None, None, None] / edge
    forms = scenes.forms[:, index, :, :, None, None, None] * scale[:, None, None]
    rim = 0.5 * scenes.rim[:, 1, None, None, None]

    def form(which: int) -> Tensor:
        a, b, c, d = forms[:, which].unbind(1)
        solid = d * pose.radius - scale * rim
        return solid.addcmul(a, x).addcmul_(b, y).addcmul_(c, distance)

    return torch.minimum(form(0), form(1)).add_(0.5 * scenes.present[:, index, None, None, None])


def _draw(
    picture: Tensor,
    scenes: SceneBatch,
    index: int,
    pose: _Pose,
    x: Tensor,
    y: Tensor,
    pixel: float,
) -> Tensor:
    """Draws one object over a picture (B, T or 1, 3, H, W)."""
    across, down = x - pose.x, y - pose.y
    dx, dy, edge = _local(scenes, across, down, pixel)
    depth = _depth(dx, dy, edge, scenes, index, pose)
    share, rim = scenes.rim.T[:, :, None, None, None]
    ink = (1 + rim / edge - depth).clamp_(0.0, 1.0).mul_(share)
    slope = scenes.light[:, None, None, None] / (math.sqrt(2) * pose.radius)
    light = (1 - slope * dx) - slope * dy
    stroke = 2 * math.pi / _STROKE
    strokes = (0.8 * stroke * dx + 0.6 * stroke * dy).sin_()
    light = light.addcmul_(strokes, scenes.hatch[:, None, None, None])
    seams = (SEAM * scenes.blocks)[:, None, None, None]
    light = light.sub_(torch.maximum(seams * _seams(across, pixel), seams * _seams(down, pixel)))
    light = light.addcmul_(light, ink, value=-1)
    scale, shift = scenes.body_map[:, :, None, :, None, None].unbind(1)
    colour = scenes.rgb[:, index, None, :, None, None] * scale + shift
    colour = (INK * ink)[:, :, None].addcmul(colour, light[:, :, None])
    return torch.lerp(picture, colour, depth.clamp_(0.0, 1.0)[:, :, None])


def _seams(value: Tensor, pixel: float) -> Tensor:
    """1 on the seams between blocks, else 0."""
    block = 2.0 / BLOCKS
    distance = (value - (value / block).round() * block).abs()
    return (1.0 - distance / pixel).clamp(0.0, 1.0)


def _ground(scenes: SceneBatch, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """Draws the backgrounds (B, 3, H, W)."""
    blocks = scenes.blocks[:, None, None]
    sx, sy = _snap(x[0], blocks, pixel), _snap(y[0], blocks, pixel)
    edge = torch.where(blocks, 2.0 / BLOCKS, pixel)
    lattice = _lattice(scenes.seed)
    mix = _texture(scenes, sx, sy, edge, lattice)
    first, second = scenes.ground_rgb[:, :, :, None, None].unbind(1)
    picture = torch.lerp(first, second, mix[:, None])
    scale, shift = scenes.ground_map[:, :, :, None, None].unbind(1)
    picture = picture * scale + shift
    inside = 1 / _LATTICE  # a block's centre lies between four values: step into one of them
    chunk = _sample(lattice, sx + inside, sy + inside, "nearest")
    speck = torch.where(blocks, chunk, _sample(lattice, sx, sy))
    shade = 1 + scenes.grain[:, None, None] * (speck - 0.5)
    return picture * shade[:, None] + _stars(scenes, lattice, x, y, pixel)[:, None]


def _texture(scenes: SceneBatch, x: Tensor, y: Tensor, edge: Tensor, lattice: Tensor) -> Tensor:
    """Share of the ground's second colour (B, H, W), in [0, 1]."""
    period, cos, sin, phase_u, phase_v = (
        value[:, None, None]
        for value in (
            scenes.ground_period,
            scenes.ground_angle.cos(),
            scenes.ground_angle.sin(),
            *scenes.ground_phase.unbind(1),
        )
    )
    u = (cos / period * x + phase_u) + sin / period * y
    v = (cos / period * y + phase_v) - sin / period * x
    soft = edge / period
    # Distance from the nearest crest, in periods: 0 to 1/2.
    crest_u, crest_v = (u - u.round()).abs_(), (v - v.round()).abs_()

    def step(value: Tensor) -> Tensor:
        return (value / soft).add_(0.5).clamp_(0.0, 1.0)

    stripe_u, stripe_v = step(0.25 - crest_u), step(0.25 - crest_v)
    gradient = ((0.5 + 0.45 * cos * x) + 0.45 * sin * y).clamp_(0.0, 1.0)
    dots = step(0.28 - torch.hypot(crest_u, crest_v))
    checks = stripe_v.lerp(1 - stripe_v, stripe_u)
    grain = _sample(lattice, x, y).lerp_(_sample(lattice, 0.3 * x, 0.3 * y), 0.4)
    mix = torch.zeros_like(gradient)
    for kind, value in {
        "gradient": gradient,
        "stripes": stripe_u,
        "dots": dots,
        "checks": checks,
        "grain": grain,
    }.items():
        here = (scenes.ground_kind == GROUND_KINDS.index(kind))[:, None, None]
        mix = torch.where(here, value, mix)
    return mix


def _lattice(seed: Tensor) -> Tensor:
    """Random values in [0, 1) from seeds (B,): (B, 1, 64, 64), the same on every device.

    A multiply-xor-shift hash of (seed, place) on 32 bits, held in int64 so that nothing overflows.
    """
    mask = 0xFFFFFFFF
    value = torch.arange(_LATTICE * _LATTICE, device=seed.device)[None] * 0x9E3779B1 + seed[:, None]
    for shift, factor in ((16, 0x7FEB352D), (15, 0x2C1B3C6D)):
        value = value & mask
        value = ((value ^ (value >> shift)) * factor) & mask
    value = (value ^ (value >> 16)) >> 8
    return (value.float() / 2**24).view(-1, 1, _LATTICE, _LATTICE)


def _sample(lattice: Tensor, x: Tensor, y: Tensor, mode: str = "bilinear") -> Tensor:
    """Reads the lattice at points in units, mirrored outside: (B, H, W)."""
    x, y = torch.broadcast_tensors(x, y)
    grid = torch.stack((x, y), -1).expand(len(lattice), -1, -1, -1)
    return F.grid_sample(lattice, grid, mode, padding_mode="reflection", align_corners=False)[:, 0]


def _stars(scenes: SceneBatch, lattice: Tensor, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """Light of a few stars (B, H, W); each is a product of two bumps, so all are one matmul.

    In float64, which autocast leaves alone: pictures do not depend on who draws them.
    """
    values = lattice.flatten(1)[:, : 3 * _STARS].view(-1, 3, _STARS, 1)
    reach = torch.stack((x.amax(), y.amax()))
    radius = (0.6 + 0.8 * values[:, 2]) * max(0.011, 0.6 * pixel)

    def bumps(axis: Tensor, which: int) -> Tensor:
        centre = (2 * values[:, which] - 1) * reach[which]
        return torch.exp(-(((axis.view(1, 1, -1) - centre) / radius) ** 2)).double()

    sky = torch.matmul(bumps(y, 1).transpose(1, 2), bumps(x, 0))
    return scenes.stars[:, None, None] * sky.float()
