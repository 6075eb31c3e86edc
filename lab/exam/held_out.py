"""Scenes, captions and pictures that no training has seen."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lab.exam.exam import Exam
from lab.world.caption import caption
from lab.world.palette import OBJECT_COLOURS
from lab.world.render import render
from lab.world.scene import (
    COLOUR_NAMES,
    HEADINGS,
    MOTION_NAMES,
    SHAPE_NAMES,
    STYLE_NAMES,
    Body,
    Heading,
    Scene,
    encode,
    sample_scenes,
)
from lab.world.shapes import SHAPES

SIDE: Final = 128
FPS: Final = 7.0
FRAMES: Final = 14

Attribute = Literal["colour", "shape", "motion"]

_Name = TypeVar("_Name", bound=str)


def travelling_scenes(exam: Exam, count: int) -> list[Scene]:
    """Scenes whose main object travels in one of the four directions, as many of each style.

    The first scenes are those of the first style, and so on.
    """
    share = -(-count // len(STYLE_NAMES))
    scenes: list[Scene] = []
    for style in STYLE_NAMES:
        wanted = min(share, count - len(scenes))
        if wanted:
            scenes += sample_scenes(
                wanted, exam.seed, first=len(scenes), style=style, motion=HEADINGS
            )
    return scenes


def captions_of(exam: Exam, scenes: Sequence[Scene]) -> list[str]:
    """One caption for each scene; its words depend on the place in the list."""
    return [caption(scene, _words(exam, index)) for index, scene in enumerate(scenes)]


def foils_of(exam: Exam, scenes: Sequence[Scene], attribute: Attribute) -> list[str]:
    """The captions of `captions_of`, but with one attribute of the main object changed.

    The words are drawn alike, so that a caption and its foil differ as little as they can.
    """
    rng = exam.rng(attribute)
    return [
        caption(_with_main(scene, _changed(scene.bodies[0], attribute, rng)), _words(exam, index))
        for index, scene in enumerate(scenes)
    ]


def films(
    scenes: Sequence[Scene], device: torch.device, frames: int = FRAMES, side: int = SIDE
) -> Tensor:
    """Renders clips at 7 frames a second: uint8 (N, T, 3, H, W)."""
    clips = []
    for start in range(0, len(scenes), 8):
        batch = encode(scenes[start : start + 8]).to(device)
        times = torch.arange(frames, device=device).expand(len(batch), -1) / FPS
        clips.append((render(batch, times, side, side) * 255).round().byte())
    return torch.cat(clips)


def with_other_object(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with another shape and colour of the main object, all else the same."""
    main = scene.bodies[0]
    swapped = _changed(_changed(main, "shape", rng), "colour", rng)
    return _with_main(scene, swapped)


def with_other(scene: Scene, attribute: Attribute, rng: np.random.Generator) -> Scene:
    """The scene with one attribute of the main object changed; never to what cannot be seen.

    A changed motion is for captions only: it has the old one's rate.
    """
    return _with_main(scene, _changed(scene.bodies[0], attribute, rng))


def to_frames(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Pictures or frames uint8 (H, W, 3) of one size as uint8 (N, 3, H, W)."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _words(exam: Exam, index: int) -> np.random.Generator:
    return np.random.default_rng([exam.seed, index, 1])


def _with_main(scene: Scene, main: Body) -> Scene:
    return replace(scene, bodies=(main, *scene.bodies[1:]))


def _changed(body: Body, attribute: Attribute, rng: np.random.Generator) -> Body:
    """Another value of one attribute; never one that could not be seen."""
    match attribute:
        case "colour":
            colour = _other(COLOUR_NAMES, body.colour, rng)
            return replace(body, colour=colour, rgb=OBJECT_COLOURS[colour])
        case "shape":
            seen = [name for name in SHAPE_NAMES if body.motion != "spin" or SHAPES[name].turns]
            return replace(body, shape=_other(seen, body.shape, rng))
        case "motion":
            seen_motions = [
                name for name in MOTION_NAMES if name != "spin" or SHAPES[body.shape].turns
            ]
            motion = _other(seen_motions, body.motion, rng)
            heading: Heading | None = None
            if motion in HEADINGS:
                heading = motion
            elif motion == "stop":
                heading = HEADINGS[int(rng.integers(len(HEADINGS)))]
            speed = None if motion == "still" else (body.speed or "normal")
            return replace(body, motion=motion, heading=heading, speed=speed)


def _other(names: Sequence[_Name], without: _Name, rng: np.random.Generator) -> _Name:
    others = [name for name in names if name != without]
    return others[int(rng.integers(len(others)))]
