"""Edits: what may be asked to change in a picture of the world, and how people ask for it.

An edit is a pair of scenes that differ in just what is asked for. It is asked for in one of three
ways: by an instruction ("make the circle blue", "at night"), by a caption of the wanted picture,
or by a text that speaks of motion alone ("the red circle moves to the left"), which asks a picture
to stay as it is. A caption, too, may describe the picture as it is already.

Both scenes are meant at their start; only there are they known to lie in the frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar, get_args

import numpy as np

from lab.world.caption import (
    COLOUR_WORDS,
    GROUND_PHRASES,
    SHAPE_WORDS,
    SIZE_WORDS,
    caption,
    motion_phrase,
)
from lab.world.palette import OBJECT_COLOURS
from lab.world.scene import (
    COLOUR_NAMES,
    GROUND_COLOUR_NAMES,
    GROUND_KINDS,
    SHAPE_NAMES,
    SIZE_NAMES,
    STYLE_NAMES,
    Body,
    Ground,
    GroundKind,
    Scene,
    StyleName,
    sample_scenes,
)
from lab.world.shapes import SHAPES

EditKind = Literal["colour", "shape", "size", "style", "ground"]
Phrasing = Literal["instruction", "caption", "motion"]

EDIT_KINDS: Final[tuple[EditKind, ...]] = get_args(EditKind)
PHRASINGS: Final[tuple[Phrasing, ...]] = get_args(Phrasing)

OF_OBJECTS: Final[tuple[EditKind, ...]] = ("colour", "shape", "size")
"""What changes an object; the others change the whole picture."""

_KIND_SHARES: Final = (0.22, 0.22, 0.16, 0.22, 0.18)
_PHRASING_SHARES: Final = (0.65, 0.2, 0.15)
_CHANGES: Final[dict[Phrasing, tuple[float, ...]]] = {
    "instruction": (0.0, 0.85, 0.15),
    "caption": (0.4, 0.4, 0.2),
    "motion": (1.0, 0.0, 0.0),
}
"""How often none, one or two things change."""
_SECOND: Final = 0.35
_NEW_COLOUR, _NEW_TEXTURE = 0.45, 0.7  # of a ground; else both are new

_COLOUR_WAYS: Final = (
    "make {it} {new}",
    "make {it} {new}",
    "paint {it} {new}",
    "colour {it} {new}",
    "turn {it} {new}",
    "change {it} to {new}",
    "change the colour of {it} to {new}",
    "give {it} a {new} colour",
    "{it} should be {new}",
)
_SHAPE_WAYS: Final = (
    "turn {it} into a {new}",
    "turn {it} into a {new}",
    "make {it} a {new}",
    "change {it} into a {new}",
    "change {it} to a {new}",
    "replace {it} with a {new}",
    "swap {it} for a {new}",
    "{it} should be a {new}",
)
_SIZE_WAYS: Final = ("make {it} {new}", "make {it} {new}", "{it} should be {new}")
_SIZE_STEPS: Final[dict[int, tuple[str, ...]]] = {
    -2: ("much smaller", "a lot smaller"),
    -1: ("smaller", "smaller", "a bit smaller"),
    1: ("bigger", "larger", "a bit bigger"),
    2: ("much bigger", "a lot larger"),
}
_STYLE_WAYS: Final[dict[StyleName, tuple[str, ...]]] = {
    "plain": (
        "make it plain",
        "in plain style",
        "as a plain picture",
        "turn it into a plain picture",
        "in plain colours",
    ),
    "night": (
        "at night",
        "make it night",
        "turn it into a night scene",
        "show it at night",
        "on a starry night",
        "in the dark of the night",
    ),
    "sketch": (
        "make it a pencil sketch",
        "turn it into a pencil sketch",
        "as a pencil sketch",
        "in sketch style",
        "draw it by hand on paper",
        "make it a drawing on paper",
    ),
    "digital": (
        "in digital world style",
        "in digital world style",
        "make it a blocky digital world",
        "turn it into a digital world",
        "show it in a blocky digital world",
    ),
}
_DAY: Final = ("make it day", "turn night into day", "by day", "in daylight")
_GROUND_WAYS: Final = ("put it {there}", "show it {there}", "{there}", "place it {there}")
_GROUND_COLOUR_WAYS: Final = (
    "make the background {new}",
    "change the background to {new}",
    "turn the background {new}",
    "paint the background {new}",
    "use a {new} background",
    "give it a {new} backdrop",
)
_TEXTURES: Final[dict[GroundKind, tuple[str, ...]]] = {
    "plain": ("plain", "plain", "smooth"),
    "stripes": ("striped",),
    "dots": ("dotted", "polka-dot"),
    "checks": ("checked", "chequered"),
    "grain": ("grainy", "rough"),
}
_TEXTURE_WAYS: Final = (
    "make the background {new}",
    "put it before a {new} background",
    "put it in front of a {new} wall",
    "change the background to a {new} one",
    "use a {new} background",
    "on a {new} background",
)


@dataclass(frozen=True)
class Edit:
    """A picture, and what is asked of it.

    Attributes:
        before: The picture that is given.
        after: The picture that is wanted; it is `before` where nothing is to change.
        kinds: What changes, in the order in which it is said.
        body: Index of the object that changes, where one does.
        phrasing: How it is asked for.
    """

    before: Scene
    after: Scene
    kinds: tuple[EditKind, ...]
    body: int
    phrasing: Phrasing


def sample_edit(
    scene: Scene,
    rng: np.random.Generator,
    *,
    phrasing: Phrasing | None = None,
    kinds: Sequence[EditKind] | None = None,
) -> Edit:
    """Draws an edit of a scene.

    Args:
        scene: What is given.
        rng: Source of randomness.
        phrasing: How it is asked for; any by default.
        kinds: What changes; by default one thing or two, or none where the phrasing allows it.

    Raises:
        ValueError: `kinds` names something where `phrasing` speaks of motion alone.
    """
    asked = _weighted(rng, PHRASINGS, _PHRASING_SHARES) if phrasing is None else phrasing
    if kinds is None:
        count = _weighted(rng, (0, 1, 2), _CHANGES[asked])
        drawn = [_weighted(rng, EDIT_KINDS, _KIND_SHARES) for _ in range(count)]
        kinds = tuple(dict.fromkeys(drawn))
    if asked == "motion" and kinds:
        raise ValueError(
            f"kinds={tuple(kinds)} with phrasing='motion': a text about motion changes nothing in "
            "a picture; leave kinds out or name another phrasing"
        )
    body = int(len(scene.bodies) == 2 and rng.random() < _SECOND)
    after = scene
    for kind in kinds:
        after = _changed(after, kind, body, rng)
    return Edit(scene, after, tuple(kinds), body, asked)


def instruction(edit: Edit, rng: np.random.Generator) -> str:
    """Says what is asked for, in words that `rng` chooses; at most about 45 words."""
    if edit.phrasing == "caption":
        return caption(edit.after, rng)
    if edit.phrasing == "motion":
        return motion_text(edit.before, rng)
    named = False
    clauses = []
    for kind in edit.kinds:
        it = "it" if named else _reference(edit, rng)
        named = named or kind in OF_OBJECTS
        clauses.append(_clause(edit, kind, it, rng))
    return " and ".join(clauses) + _pick(rng, ("", "."))


def motion_text(scene: Scene, rng: np.random.Generator) -> str:
    """Says what the objects of a scene do, and of them no more than which is meant.

    For example "The red circle moves slowly to the left", or "it spins" of a lone object.
    """
    participle = rng.random() < 0.3
    opening = _pick(rng, ("", "show ", "a video of ", "with ")) if participle else ""
    told = scene.bodies if rng.random() < 0.7 else scene.bodies[:1]
    clauses = []
    for body in told:
        names = [f"the {_thing(body, rng)}", f"the {_pick(rng, SHAPE_WORDS[body.shape])}"]
        if len(scene.bodies) == 1:
            names += ["it", "the object"]
        clauses.append(f"{_pick(rng, names)} {motion_phrase(body, rng, participle=participle)}")
    return opening + " and ".join(clauses) + _pick(rng, ("", "."))


_Name = TypeVar("_Name")


def _weighted(rng: np.random.Generator, names: Sequence[_Name], shares: Sequence[float]) -> _Name:
    place = int(np.searchsorted(np.cumsum(shares), rng.random(), "right"))
    return names[min(place, len(names) - 1)]  # shares may add up to a little less than 1


def _pick(rng: np.random.Generator, options: Sequence[_Name]) -> _Name:
    return options[int(rng.random() * len(options))]


def _changed(scene: Scene, kind: EditKind, index: int, rng: np.random.Generator) -> Scene:
    if kind == "style":
        style = _pick(rng, [name for name in STYLE_NAMES if name != scene.style])
        bodies = scene.bodies
        if style == "digital":  # blocks stand upright, unless they spin
            bodies = tuple(b if b.motion == "spin" else replace(b, rotation=0.0) for b in bodies)
        return replace(scene, style=style, bodies=bodies)
    if kind == "ground":
        return replace(scene, ground=_other_ground(scene.ground, rng))
    others = [body for place, body in enumerate(scene.bodies) if place != index]
    changed = _other_body(scene.bodies[index], kind, others, rng)
    return replace(
        scene,
        bodies=tuple(changed if i == index else body for i, body in enumerate(scene.bodies)),
    )


def _other_body(
    body: Body, kind: EditKind, others: Sequence[Body], rng: np.random.Generator
) -> Body:
    """The object with another colour, shape or size, none that another object has."""
    match kind:
        case "colour":
            taken = {body.colour, *(other.colour for other in others)}
            colour = _pick(rng, [name for name in COLOUR_NAMES if name not in taken])
            return replace(body, colour=colour, rgb=OBJECT_COLOURS[colour])
        case "shape":
            taken_shapes = {body.shape, *(other.shape for other in others)}
            shape = _pick(rng, [name for name in SHAPE_NAMES if name not in taken_shapes])
            # A round shape's angle cannot be seen, so the new one is upright.
            rotation = body.rotation if SHAPES[body.shape].turns else 0.0
            return _within_frame(replace(body, shape=shape, rotation=rotation))
        case _:
            size = _pick(rng, [name for name in SIZE_NAMES if name != body.size])
            # Still: a size that a motion excludes elsewhere is all right in a picture.
            (donor,) = sample_scenes(1, int(rng.integers(2**31)), size=size, motion="still")
            return _within_frame(replace(body, size=size, radius=donor.bodies[0].radius))


def _within_frame(body: Body) -> Body:
    """Pushes an object as far into the frame as it must be to be seen whole at its start."""
    away = (0.0, 0.0)
    if body.motion == "orbit":
        away = (body.reach * math.cos(body.phase), body.reach * math.sin(body.phase))
    most = max(0.0, 1.0 - body.radius * SHAPES[body.shape].extent)
    x, y = (
        min(most, max(-most, place + offset)) - offset
        for place, offset in zip(body.place, away, strict=True)
    )
    return replace(body, place=(x, y))


def _other_ground(ground: Ground, rng: np.random.Generator) -> Ground:
    """Another ground: a new colour, a new texture, or both."""
    chance = rng.random()
    colour = _pick(rng, [name for name in GROUND_COLOUR_NAMES if name != ground.colour])
    kinds = [name for name in GROUND_KINDS if name != ground.kind]
    seed = int(rng.integers(2**31))
    if chance < _NEW_COLOUR and ground.kind != "gradient":
        (donor,) = sample_scenes(1, seed, ground=ground.kind, ground_colour=colour)
        laid = donor.ground
        return replace(laid, angle=ground.angle, period=ground.period, phase=ground.phase)
    if chance < _NEW_TEXTURE:
        colour = ground.colour
        kinds = [name for name in kinds if name != "gradient"]
    (donor,) = sample_scenes(1, seed, ground=_pick(rng, kinds), ground_colour=colour)
    return donor.ground


def _clause(edit: Edit, kind: EditKind, it: str, rng: np.random.Generator) -> str:
    """One thing that is asked for, in the imperative or as a phrase."""
    was, wanted = edit.before.bodies[edit.body], edit.after.bodies[edit.body]
    match kind:
        case "colour":
            new = _pick(rng, COLOUR_WORDS[wanted.colour])
            return _articled(_pick(rng, _COLOUR_WAYS).format(it=it, new=new))
        case "shape":
            new = _pick(rng, SHAPE_WORDS[wanted.shape])
            return _pick(rng, _SHAPE_WAYS).format(it=it, new=new)
        case "size":
            step = SIZE_NAMES.index(wanted.size) - SIZE_NAMES.index(was.size)
            words = _SIZE_STEPS[step] if rng.random() < 0.5 else SIZE_WORDS[wanted.size]
            new = _pick(rng, [word for word in words if word])
            return _pick(rng, _SIZE_WAYS).format(it=it, new=new)
        case "style":
            ways = _STYLE_WAYS[edit.after.style]
            if edit.before.style == "night" and edit.after.style == "plain":
                ways += _DAY
            return _pick(rng, ways)
        case "ground":
            return _articled(_ground_clause(edit.before.ground, edit.after.ground, rng))


def _ground_clause(before: Ground, after: Ground, rng: np.random.Generator) -> str:
    if after.kind == before.kind:
        return _pick(rng, _GROUND_COLOUR_WAYS).format(new=after.colour)
    if after.colour == before.colour:
        new = _pick(rng, _TEXTURES[after.kind])
        return _pick(rng, _TEXTURE_WAYS).format(new=new)
    there = _pick(rng, GROUND_PHRASES[after.kind]).format(colour=after.colour, second=after.second)
    return _pick(rng, _GROUND_WAYS).format(there=there)


def _reference(edit: Edit, rng: np.random.Generator) -> str:
    """Says which object is meant; both colour and shape tell two apart."""
    body = edit.before.bodies[edit.body]
    names = [
        f"the {_pick(rng, SHAPE_WORDS[body.shape])}",
        f"the {_thing(body, rng)}",
        f"the {_pick(rng, COLOUR_WORDS[body.colour])} object",
    ]
    if len(edit.before.bodies) == 1:
        names += ["it", "the object"]
    return _pick(rng, names)


def _thing(body: Body, rng: np.random.Generator) -> str:
    return f"{_pick(rng, COLOUR_WORDS[body.colour])} {_pick(rng, SHAPE_WORDS[body.shape])}"


def _articled(text: str) -> str:
    return text.replace(" a orange", " an orange").replace(" a olive", " an olive")
