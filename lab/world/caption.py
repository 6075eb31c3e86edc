"""Captions: a scene said in plain English, in many ways.

A caption always names the style (unless it is plain), the background, and of each object the
colour, the shape, the motion, and the size and speed (medium and normal are sometimes left out, as
people do). The main object comes first.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from lab.world.scene import (
    Body,
    ColourName,
    Ground,
    GroundKind,
    MotionName,
    Scene,
    ShapeName,
    SizeName,
    SpeedName,
    StyleName,
)

SHAPE_WORDS: Final[dict[ShapeName, tuple[str, ...]]] = {
    "circle": ("circle", "circle", "disc"),
    "square": ("square",),
    "triangle": ("triangle",),
    "star": ("star",),
    "cross": ("cross", "cross", "plus sign"),
    "ring": ("ring", "ring", "hoop"),
}
COLOUR_WORDS: Final[dict[ColourName, tuple[str, ...]]] = {
    "red": ("red",),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "blue": ("blue",),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink",),
    "white": ("white",),
}
SIZE_WORDS: Final[dict[SizeName, tuple[str, ...]]] = {
    "small": ("small", "small", "little", "tiny"),
    "medium": ("medium-sized", "medium", "", ""),
    "large": ("large", "large", "big", "huge"),
}
SPEED_WORDS: Final[dict[SpeedName, tuple[str, ...]]] = {
    "slow": ("slowly", "slowly", "gently", "at a slow pace"),
    "normal": ("steadily", "at a steady pace", "at normal speed", ""),
    "fast": ("quickly", "fast", "rapidly", "at high speed"),
}
VERBS: Final[dict[MotionName, tuple[tuple[str, str, str], ...]]] = {
    "left": (("moves", "moving", "left"), ("moves", "moving", "to the left")),
    "right": (("moves", "moving", "right"), ("moves", "moving", "to the right")),
    "up": (("moves", "moving", "up"), ("rises", "rising", ""), ("moves", "moving", "upwards")),
    "down": (
        ("moves", "moving", "down"),
        ("sinks", "sinking", ""),
        ("moves", "moving", "downwards"),
    ),
    "still": (
        ("stays", "staying", "still"),
        ("stands", "standing", "still"),
        ("rests", "resting", "in place"),
        ("stays", "staying", "motionless"),
    ),
    "spin": (
        ("spins", "spinning", ""),
        ("spins", "spinning", "in place"),
        ("rotates", "rotating", ""),
        ("turns", "turning", "around itself"),
    ),
    "grow": (("grows", "growing", ""), ("gets", "getting", "bigger"), ("expands", "expanding", "")),
    "shrink": (
        ("shrinks", "shrinking", ""),
        ("gets", "getting", "smaller"),
        ("contracts", "contracting", ""),
    ),
    "bounce": (
        ("bounces", "bouncing", ""),
        ("bounces", "bouncing", "up and down"),
        ("hops", "hopping", "up and down"),
    ),
    "orbit": (
        ("orbits", "orbiting", ""),
        ("loops", "looping", "around"),
        ("goes", "going", "round and round"),
    ),
    "stop": (),
}
"""Finite form, participle and complement; `stop` is said with the verb of its heading."""
STRAIGHT_VERBS: Final[tuple[tuple[str, str], ...]] = (
    ("moves", "moving"),
    ("moves", "moving"),
    ("slides", "sliding"),
    ("glides", "gliding"),
    ("travels", "travelling"),
    ("drifts", "drifting"),
)
STOPS: Final[tuple[tuple[str, str], ...]] = (
    ("then stops", "then stopping"),
    ("and stops", "and stopping"),
    ("then comes to a halt", "then coming to a halt"),
)
GROUND_PHRASES: Final[dict[GroundKind, tuple[str, ...]]] = {
    "plain": (
        "on a {colour} background",
        "on a plain {colour} background",
        "against a {colour} backdrop",
        "over a {colour} background",
        "in front of a {colour} wall",
    ),
    "gradient": (
        "on a background that fades from {colour} to {second}",
        "on a gradient from {colour} to {second}",
        "over a {colour} to {second} gradient",
        "against a {colour} and {second} gradient",
    ),
    "stripes": (
        "on a striped {colour} background",
        "over a {colour} background with stripes",
        "against {colour} stripes",
    ),
    "dots": (
        "on a dotted {colour} background",
        "over a {colour} background with dots",
        "against a polka-dot {colour} backdrop",
    ),
    "checks": (
        "on a checked {colour} background",
        "over a {colour} chequered background",
        "against a {colour} checkerboard",
    ),
    "grain": (
        "on a grainy {colour} background",
        "over {colour} sand",
        "against a rough {colour} backdrop",
    ),
}
STYLE_OPENINGS: Final[dict[StyleName, tuple[str, ...]]] = {
    "plain": ("",),
    "night": ("At night, ", "On a starry night, ", "In the dark of the night, "),
    "sketch": ("In a pencil sketch, ", "In sketch style, ", "In a drawing on paper, "),
    "digital": (
        "In digital world style, ",
        "In digital world style, ",
        "In a blocky digital world, ",
        "In the digital world, ",
    ),
}
STYLE_ENDINGS: Final[dict[StyleName, tuple[str, ...]]] = {
    "plain": ("",),
    "night": (" at night", ", at night", ", in a night scene", ", on a dark night"),
    "sketch": (", as a pencil sketch", ", in sketch style", ", drawn by hand on paper"),
    "digital": (
        " in digital world style",
        ", in digital world style",
        ", in a blocky digital world",
    ),
}
STYLE_SUBJECTS: Final[dict[StyleName, tuple[str, ...]]] = {
    "plain": ("", "", "there is ", "a video of ", "we see "),
    "night": ("a night scene of ", "a night view of "),
    "sketch": ("a pencil sketch of ", "a sketch of ", "a hand-drawn picture of "),
    "digital": ("a digital world with ", "a blocky digital world with "),
}


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Says a scene in one sentence of English.

    Args:
        scene: What to say.
        rng: Chooses among the patterns and the words.

    Returns:
        A sentence with a capital letter and a full stop; at most about 45 words.
    """
    ground = _ground(scene.ground, rng)
    opening = ending = ""
    participle = rng.random() < 0.4
    if participle:
        opening = _pick(rng, STYLE_SUBJECTS[scene.style])
    elif rng.random() < 0.5:
        opening = _pick(rng, STYLE_OPENINGS[scene.style])
    else:
        ending = _pick(rng, STYLE_ENDINGS[scene.style])
    clauses = [f"{_noun(body, rng)} {_verb(body, rng, participle)}" for body in scene.bodies]
    said = f" {_pick(rng, ('and', 'while', 'and') if not participle else ('and',))} ".join(clauses)
    if ground_first := (not participle and rng.random() < 0.3):
        said = f"{ground}, {said}"
    sentence = f"{opening}{said}{'' if ground_first else ' ' + ground}{ending}."
    return sentence[0].upper() + sentence[1:]


def motion_phrase(body: Body, rng: np.random.Generator, *, participle: bool = False) -> str:
    """Says what an object does, without the object: "moves slowly to the left".

    Args:
        body: The object.
        rng: Chooses among the words.
        participle: Whether to say "moving" in place of "moves".
    """
    return _verb(body, rng, participle)


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.random() * len(options))]


def _article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _noun(body: Body, rng: np.random.Generator) -> str:
    size = _pick(rng, SIZE_WORDS[body.size])
    colour = _pick(rng, COLOUR_WORDS[body.colour])
    shape = _pick(rng, SHAPE_WORDS[body.shape])
    return _article(" ".join(word for word in (size, colour, shape) if word))


def _verb(body: Body, rng: np.random.Generator, participle: bool) -> str:
    """The verb phrase; the speed's adverb stands before, within or after it."""
    form = 1 if participle else 0
    verbs = VERBS[body.heading if body.heading is not None else body.motion]
    verb = verbs[int(rng.random() * len(verbs))]
    word, complement = verb[form], verb[2]
    if body.heading is not None and complement:
        word = STRAIGHT_VERBS[int(rng.random() * len(STRAIGHT_VERBS))][form]
    speed = "" if body.speed is None else _pick(rng, SPEED_WORDS[body.speed])
    order = [word, complement]
    order.insert(int(rng.random() * 3) if speed.endswith("ly") else 2, speed)
    phrase = " ".join(part for part in order if part)
    if body.motion == "stop":
        stop = STOPS[int(rng.random() * len(STOPS))][form]
        phrase += (", " if stop.startswith("then") else " ") + stop
    return phrase


def _ground(ground: Ground, rng: np.random.Generator) -> str:
    phrase = _pick(rng, GROUND_PHRASES[ground.kind])
    phrase = phrase.format(colour=ground.colour, second=ground.second)
    return phrase.replace(" a olive", " an olive")
