"""Reads what a text asks of the world: the inverse of captions, tolerant of other people's words.

It goes by single words and their order, so it finds in any text what the world could draw, and
finds nothing where nothing is said. It never fails.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from lab.world.scene import (
    COLOUR_NAMES,
    GROUND_COLOUR_NAMES,
    ColourName,
    GroundColour,
    GroundKind,
    Heading,
    MotionName,
    ShapeName,
    SizeName,
    SpeedName,
    StyleName,
)


@dataclass(frozen=True)
class AskedBody:
    """What a text asks of one object; `None` where it does not say.

    Attributes:
        shape: Name of the shape.
        colour: Name of the colour.
        size: Name of the size.
        motion: Name of the motion; `stop` where the object moves along `heading` and then stops.
        heading: Direction of travel.
        speed: Name of the speed.
    """

    shape: ShapeName | None = None
    colour: ColourName | None = None
    size: SizeName | None = None
    motion: MotionName | None = None
    heading: Heading | None = None
    speed: SpeedName | None = None


@dataclass(frozen=True)
class Asked:
    """What a text asks of a clip; `None` where it does not say.

    Attributes:
        main: The first object named. It is empty, not `None`, where no shape is named; colour and
            motion may be known all the same.
        second: The second object named.
        style: Name of the style.
        ground: Kind of background.
        ground_colour: Its (first) colour.
        ground_second: The second colour of a gradient.
    """

    main: AskedBody = AskedBody()
    second: AskedBody | None = None
    style: StyleName | None = None
    ground: GroundKind | None = None
    ground_colour: GroundColour | None = None
    ground_second: GroundColour | None = None


_Name = TypeVar("_Name", bound=str)


def _words(lexicon: Mapping[_Name, str]) -> dict[str, _Name]:
    return {word: name for name, words in lexicon.items() for word in words.split()}


_SHAPES: Final[dict[str, ShapeName]] = _words(
    {
        "circle": "circle disc disk ball sphere",
        "square": "square box cube",
        "triangle": "triangle pyramid",
        "star": "star",
        "cross": "cross plus",
        "ring": "ring hoop donut doughnut",
    }
)
_COLOURS: Final[dict[str, ColourName]] = _words(
    {name: name for name in COLOUR_NAMES}
    | {"red": "red crimson scarlet", "purple": "purple violet", "yellow": "yellow golden"}
)
_SIZES: Final[dict[str, SizeName]] = _words(
    {
        "small": "small little tiny",
        "medium": "medium mid",
        "large": "large big huge giant enormous",
    }
)
_SPEEDS: Final[dict[str, SpeedName]] = _words(
    {
        "slow": "slow slowly gentle gently calmly leisurely",
        "normal": "steady steadily normal moderate moderately",
        "fast": "fast quick quickly rapid rapidly swift swiftly high",
    }
)
_HEADINGS: Final[dict[str, Heading]] = _words(
    {
        "left": "left leftward leftwards",
        "right": "right rightward rightwards",
        "up": "up upward upwards rises rising rise ascends ascending climbs climbing",
        "down": "down downward downwards sinks sinking sink falls falling descends descending",
    }
)
_MOTIONS: Final[dict[str, MotionName]] = _words(
    {
        "bounce": "bounce bounces bouncing hop hops hopping jump jumps jumping",
        "orbit": "orbit orbits orbiting loop loops looping round revolves revolving circling",
        "spin": "spin spins spinning rotate rotates rotating turn turns turning twirls twirling",
        "grow": "grow grows growing bigger larger expand expands expanding",
        "shrink": "shrink shrinks shrinking smaller contract contracts contracting",
        "stop": "stop stops stopping halt halts halting",
        "still": "still motionless stationary static rest rests resting unmoving",
    }
)
"""In the order in which they win: who bounces up and down goes neither up nor down."""
_STYLES: Final[dict[str, StyleName]] = _words(
    {
        "digital": "digital blocky pixelated pixel voxel",
        "night": "night nighttime starry midnight",
        "sketch": "sketch sketched drawing drawn pencil paper",
    }
)
_KINDS: Final[dict[str, GroundKind]] = _words(
    {
        "gradient": "gradient fades fading fade",
        "stripes": "stripes striped stripe",
        "dots": "dots dotted polka",
        "checks": "checks checked checkered chequered checkerboard chequerboard",
        "grain": "grainy grain sand sandy rough",
        "plain": "background backdrop wall",
    }
)
_GROUNDS: Final[dict[str, GroundColour]] = _words(
    {name: name for name in GROUND_COLOUR_NAMES} | {"grey": "grey gray", "beige": "beige tan"}
)
_ARTICLES: Final = frozenset({"a", "an", "the", "another", "one"})
_PREPOSITIONS: Final = frozenset({"on", "over", "against", "of", "upon", "in", "across", "with"})


def parse(text: str) -> Asked:
    """Reads a text in the world's terms.

    Args:
        text: Any text; captions of the world are read without error.
    """
    words = re.findall(r"[a-z]+", text.lower())
    kinds = [kind for kind in map(_KINDS.get, words) if kind is not None]
    colours = [colour for colour in map(_GROUNDS.get, words) if colour is not None]
    ground = min(kinds, key=list(_KINDS.values()).index, default=None)
    style = next((name for name in map(_STYLES.get, words) if name is not None), None)
    main, second = _bodies(_without_ground(words))
    return Asked(
        main=main,
        second=second,
        style=style,
        ground=ground,
        ground_colour=colours[0] if colours else None,
        ground_second=colours[1] if len(colours) > 1 and ground == "gradient" else None,
    )


def _without_ground(words: Sequence[str]) -> list[str]:
    """Leaves out what is said of the background, so that "on a blue wall" colours no object."""
    kept = list(words)
    for index, word in enumerate(words):
        if word not in _KINDS:
            continue
        start = index
        while start > 0 and words[start - 1] not in _PREPOSITIONS and words[start] not in _SHAPES:
            start -= 1
        if words[start] in _SHAPES or index - start > 6:
            start = index
        for place in range(start, index + 1):
            kept[place] = ""
    return [word for word in kept if word]


def _bodies(words: Sequence[str]) -> tuple[AskedBody, AskedBody | None]:
    nouns = [index for index, word in enumerate(words) if word in _SHAPES]
    first = nouns[0] if nouns else 0
    for noun in nouns[1:]:
        start = max(
            (index for index in range(first + 1, noun) if words[index] in _ARTICLES), default=noun
        )
        colour = next((_COLOURS[w] for w in words[start:noun] if w in _COLOURS), None)
        again = words[noun] == words[first] and words[start] == "the" and colour is None
        if not again:
            return _body(words[:start], first), _body(words[start:], noun - start)
    return _body(words, first), None


def _body(words: Sequence[str], noun: int) -> AskedBody:
    """Reads the words that belong to one object, whose shape (if any) is at index `noun`."""
    before, after = list(words[:noun])[::-1], words[noun : noun + 6]
    heading = _heading(words)
    motion: MotionName | None = heading
    found = {_MOTIONS[word] for word in words if word in _MOTIONS}
    if not found and {"in", "place"} <= set(words):
        found = {"still"}
    for name in dict.fromkeys(_MOTIONS.values()):
        if name in found and not (name == "still" and heading is not None):
            motion = name
            break
    travels = motion is not None and (motion == heading or motion == "stop")
    speed = next((_SPEEDS[word] for word in words if word in _SPEEDS), None)
    return AskedBody(
        shape=_SHAPES.get(words[noun]) if noun < len(words) else None,
        colour=next((_COLOURS[word] for word in (*before, *after) if word in _COLOURS), None),
        size=next((_SIZES[word] for word in before if word in _SIZES), None),
        motion=motion,
        heading=heading if travels else None,
        speed=speed,
    )


def _heading(words: Sequence[str]) -> Heading | None:
    """The last direction of travel: not where something is, nor where it comes from."""
    heading = None
    for index, word in enumerate(words):
        if word not in _HEADINGS or words[index + 1 : index + 2] == ["of"]:
            continue
        lead = [w for w in words[max(0, index - 2) : index] if w != "the"]
        if lead[-1:] not in (["from"], ["on"], ["at"]):
            heading = _HEADINGS[word]
    return heading
