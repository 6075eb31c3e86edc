"""Clips of the miniature world for the metrics' exam, with what only their maker can change.

The world can draw the same clip with another object or before another background, and say its
caption with one word wrong, so that a damage touches one thing and nothing else.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import torch

from eval.validate.specimen import Frames, Specimen, Word, Wording
from lab.exam.held_out import FPS, FRAMES, SIDE, films, with_other, with_other_object
from lab.world.caption import caption
from lab.world.scene import MOTION_NAMES, STYLE_NAMES, Scene, sample_scenes

MOVING: Final = tuple(name for name in MOTION_NAMES if name != "still")
"""Something moves in every clip, so that there is motion to harm."""

FIRST_SEED: Final = 20_270_000
"""Seed 0 here; trainings draw their scenes from small seeds, and the lab's exam from another."""


def specimens(count: int, seed: int, *, frames: int = FRAMES, side: int = SIDE) -> list[Specimen]:
    """Draws clips with captions; each style in turn.

    Args:
        count: Number of clips. A clip does not depend on it.
        seed: Which clips, from 0.
        frames: Frames of a clip, at 7 frames a second.
        side: Height and width in pixels.
    """
    return [_specimen(place, FIRST_SEED + seed, frames, side) for place in range(count)]


def _specimen(place: int, seed: int, frames: int, side: int) -> Specimen:
    style = STYLE_NAMES[place % len(STYLE_NAMES)]
    [scene] = sample_scenes(1, seed, first=place, style=style, motion=MOVING)
    rng = np.random.default_rng([seed, place, 2])

    def words(of: Scene) -> Wording:
        """The caption of a scene; all are worded alike."""
        return Wording(caption(of, np.random.default_rng([seed, place, 1])), of.style)

    def drawn(of: Scene) -> Callable[[], Frames]:
        return lambda: _draw(of, frames, side)

    pixels = _draw(scene, frames, side)
    other_style = _style_beside(scene, rng)
    misworded: dict[Word, Wording] = {
        "colour": words(with_other(scene, "colour", rng)),
        "shape": words(with_other(scene, "shape", rng)),
        "motion": words(_moving_otherwise(scene, rng)),
        "style": words(other_style),
    }
    return Specimen(
        name=f"mini {place:02}",
        sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        path=f"mini world, seed {seed}, scene {place}",
        frames=frames,
        height=side,
        width=side,
        fps=FPS,
        wording=words(scene),
        read=lambda: pixels,
        swapped={
            "object": drawn(with_other_object(scene, rng)),
            "background": drawn(_with_other_ground(scene, rng)),
        },
        misworded=misworded,
    )


def _draw(scene: Scene, frames: int, side: int) -> Frames:
    film = films([scene], torch.device("cpu"), frames, side)[0]
    pixels: Frames = film.permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


def _with_other_ground(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene before another background, of another kind and another colour."""
    while True:
        [other] = sample_scenes(1, int(rng.integers(2**31)))
        ground = other.ground
        if ground.kind != scene.ground.kind and ground.colour != scene.ground.colour:
            return replace(scene, ground=ground)


def _moving_otherwise(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with another motion, which has a speed, too, so that the caption stays alike."""
    while True:
        other = with_other(scene, "motion", rng)
        if other.bodies[0].motion != "still":
            return other


def _style_beside(scene: Scene, rng: np.random.Generator) -> Scene:
    others = [name for name in STYLE_NAMES if name != scene.style]
    return replace(scene, style=others[int(rng.integers(len(others)))])
