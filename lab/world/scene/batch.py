"""Scenes as tensors: all that drawing them needs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lab.world.palette import STYLES, Style
from lab.world.scene.records import (
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
    Ground,
    Scene,
)
from lab.world.shapes import SHAPES


@dataclass(frozen=True)
class SceneBatch:
    """Scenes as tensors; the first axis is the scene, and of 2 in (B, 2, ...) the object.

    Labels are indices into the tuples of names in `lab.world.scene.records`, -1 where there is
    none. All that drawing needs is here, so that rendering reads no table and copies nothing to
    the device.

    Attributes:
        style: Label (B,).
        ground_kind: Label (B,).
        ground_colour: Labels (B, 2); the second is that of a gradient.
        shape: Labels (B, 2); -1 for an absent object, in the next five as well.
        colour: Labels (B, 2).
        size: Labels (B, 2).
        motion: Labels (B, 2).
        speed: Labels (B, 2); -1 for a still object.
        heading: Labels (B, 2); -1 for a motion without one.
        seed: Seeds of grain, stars and blocks (B,).
        present: 1 where there is an object, else 0 (B, 2).
        rgb: Objects' colours (B, 2, 3), before the style.
        radius: Objects' sizes at the start (B, 2).
        place: Centres (B, 2, 2), x and y.
        velocity: Units a second (B, 2, 2).
        until: Time at which the velocity ends (B, 2); infinite where it does not.
        orbit: Radius, radians a second and angle at the start (B, 2, 3).
        bounce: Height and radians a second (B, 2, 2).
        rotation: Angle at the start (B, 2).
        spin: Radians a second (B, 2).
        growth: Relative growth a second (B, 2).
        fold: Number of wedges of the shape (B, 2).
        forms: Linear forms of the shape (B, 2, 2, 4); see `lab.world.shapes`.
        ground_rgb: The ground's two colours (B, 2, 3), before the style.
        ground_angle: Direction of gradient or texture (B,).
        ground_period: Period of the texture (B,).
        ground_phase: Offset of the texture (B, 2).
        body_map: Scale and shift of the style for objects (B, 2, 3).
        ground_map: Scale and shift of the style for the ground (B, 2, 3).
        light: Light of the style (B,).
        rim: Share of ink and width of edges (B, 2).
        hatch: Strength of the pencil's strokes (B,).
        grain: Strength of the ground's grain (B,).
        stars: Brightness of stars (B,).
        blocks: Whether all is drawn in blocks (B,), boolean.
    """

    style: Tensor
    ground_kind: Tensor
    ground_colour: Tensor
    shape: Tensor
    colour: Tensor
    size: Tensor
    motion: Tensor
    speed: Tensor
    heading: Tensor
    seed: Tensor
    present: Tensor
    rgb: Tensor
    radius: Tensor
    place: Tensor
    velocity: Tensor
    until: Tensor
    orbit: Tensor
    bounce: Tensor
    rotation: Tensor
    spin: Tensor
    growth: Tensor
    fold: Tensor
    forms: Tensor
    ground_rgb: Tensor
    ground_angle: Tensor
    ground_period: Tensor
    ground_phase: Tensor
    body_map: Tensor
    ground_map: Tensor
    light: Tensor
    rim: Tensor
    hatch: Tensor
    grain: Tensor
    stars: Tensor
    blocks: Tensor

    def __len__(self) -> int:
        return len(self.style)

    def __getitem__(self, index: Tensor | slice) -> "SceneBatch":
        """Picks scenes by an index tensor (K,) or a slice, without a look at its values."""
        return SceneBatch(*(getattr(self, field.name)[index] for field in fields(self)))

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.style.device

    def to(self, device: torch.device | str) -> "SceneBatch":
        """Copies the batch to a device."""
        return SceneBatch(*(getattr(self, field.name).to(device) for field in fields(self)))

    @staticmethod
    def cat(batches: Sequence["SceneBatch"]) -> "SceneBatch":
        """Joins batches along the first axis."""
        return SceneBatch(
            *(
                torch.cat([getattr(batch, field.name) for batch in batches])
                for field in fields(SceneBatch)
            )
        )


def encode(scenes: Sequence[Scene]) -> SceneBatch:
    """Turns scenes into tensors on the CPU: labels as int64, numbers as float32."""
    two = [(*scene.bodies, None)[:2] for scene in scenes]
    styles = [STYLES[scene.style] for scene in scenes]
    grounds = [scene.ground for scene in scenes]

    def label(pick: Callable[[Body], int]) -> Tensor:
        return torch.tensor([[-1 if b is None else pick(b) for b in pair] for pair in two])

    def number(pick: Callable[[Body], object], absent: object) -> Tensor:
        return torch.tensor(
            [[absent if body is None else pick(body) for body in pair] for pair in two],
            dtype=torch.float32,
        )

    def pick_style(pick: Callable[[Style], object]) -> Tensor:
        return torch.tensor([pick(style) for style in styles], dtype=torch.float32)

    def pick_ground(pick: Callable[[Ground], object]) -> Tensor:
        return torch.tensor([pick(ground) for ground in grounds], dtype=torch.float32)

    nowhere = ((0.0, 0.0, 0.0, 1.0),) * 2  # one unit outside the shape, everywhere
    return SceneBatch(
        style=torch.tensor([STYLE_NAMES.index(scene.style) for scene in scenes]),
        ground_kind=torch.tensor([GROUND_KINDS.index(ground.kind) for ground in grounds]),
        ground_colour=torch.tensor(
            [
                [
                    GROUND_COLOUR_NAMES.index(ground.colour),
                    -1 if ground.second is None else GROUND_COLOUR_NAMES.index(ground.second),
                ]
                for ground in grounds
            ]
        ),
        shape=label(lambda body: SHAPE_NAMES.index(body.shape)),
        colour=label(lambda body: COLOUR_NAMES.index(body.colour)),
        size=label(lambda body: SIZE_NAMES.index(body.size)),
        motion=label(lambda body: MOTION_NAMES.index(body.motion)),
        speed=label(lambda body: -1 if body.speed is None else SPEED_NAMES.index(body.speed)),
        heading=label(lambda body: -1 if body.heading is None else HEADINGS.index(body.heading)),
        seed=torch.tensor([scene.seed for scene in scenes]),
        present=number(lambda _: 1.0, 0.0),
        rgb=number(lambda body: body.rgb, (0.0,) * 3),
        radius=number(lambda body: body.radius, 1.0),
        place=number(lambda body: body.place, (0.0,) * 2),
        velocity=number(lambda body: body.velocity, (0.0,) * 2),
        until=number(lambda body: body.reach if body.motion == "stop" else math.inf, math.inf),
        orbit=number(
            lambda body: (
                (body.reach, body.rate, body.phase) if body.motion == "orbit" else (0.0, 0.0, 0.0)
            ),
            (0.0,) * 3,
        ),
        bounce=number(
            lambda body: (body.reach, body.rate) if body.motion == "bounce" else (0.0, 0.0),
            (0.0,) * 2,
        ),
        rotation=number(lambda body: body.rotation, 0.0),
        spin=number(lambda body: body.rate if body.motion == "spin" else 0.0, 0.0),
        growth=number(lambda body: body.rate if body.motion in ("grow", "shrink") else 0.0, 0.0),
        fold=number(lambda body: SHAPES[body.shape].fold, 1.0),
        forms=number(lambda body: SHAPES[body.shape].forms, nowhere),
        ground_rgb=pick_ground(lambda ground: ground.rgb),
        ground_angle=pick_ground(lambda ground: ground.angle),
        ground_period=pick_ground(lambda ground: ground.period),
        ground_phase=pick_ground(lambda ground: ground.phase),
        body_map=pick_style(lambda style: (style.body_scale, style.body_shift)),
        ground_map=pick_style(lambda style: (style.ground_scale, style.ground_shift)),
        light=pick_style(lambda style: style.light),
        rim=pick_style(lambda style: (style.rim, style.rim_width)),
        hatch=pick_style(lambda style: style.hatch),
        grain=pick_style(lambda style: style.grain),
        stars=pick_style(lambda style: style.stars),
        blocks=torch.tensor([style.blocks for style in styles]),
    )
