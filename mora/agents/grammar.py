"""Completes prompts for the miniature world without a language model.

A prompt is read by a small grammar of English, and what it leaves open is said.
"""

import random
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

from mora.agents.prompt import Enhance
from mora.records import content_hash


@dataclass(frozen=True)
class GrammarPrompt:
    """Completes prompts in the language of the miniature world, see `complete`."""

    name: str = "grammar"
    batch_size: int = 256

    def recipe(self) -> str:
        """Hash of the grammar's rules and words."""
        words = [SIZES, COLOURS, GROUNDS, MOTIONS, SPEEDS, sorted(WORDS)]
        return content_hash(["grammar", RULES, words])

    def open(self, device: str) -> AbstractContextManager[Enhance]:  # noqa: ARG002  no model
        """Loads nothing."""
        return nullcontext(
            lambda texts, seeds: (
                complete(text, seed) for text, seed in zip(texts, seeds, strict=True)
            )
        )


RULES: Final = 1
"""Number of the rules of `complete`; a change of what they give needs a new one."""

SIZES: Final = ("small", "medium", "large")
COLOURS: Final = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
GROUNDS: Final = (
    "on a plain grey background",
    "on a plain teal background",
    "over a navy background",
    "on a plain olive background",
    "over a beige background",
    "on a gradient from brown to black",
    "on a gradient from navy to teal",
    "on a striped brown background",
    "on a dotted grey background",
    "on a grainy olive background",
)
MOTIONS: Final = (
    ("moves", "moving", "to the right"),
    ("moves", "moving", "to the left"),
    ("moves", "moving", "up"),
    ("moves", "moving", "down"),
    ("drifts", "drifting", "to the right"),
    ("glides", "gliding", "to the left"),
    ("bounces", "bouncing", "up and down"),
    ("grows", "growing", ""),
)
"""Finite form, participle and complement. All can be seen on any shape."""
SPEEDS: Final = ("slowly", "steadily", "quickly")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHAPES: Final = _words("circle disc disk square triangle star cross sign ring hoop")
_SIZE_WORDS: Final = _words("small little tiny medium medium-sized large big huge")
_GROUND_COLOURS: Final = _words("grey gray brown beige teal navy olive plum black")
_COLOUR_WORDS: Final = _words("violet") | frozenset(COLOURS) | _GROUND_COLOURS
_ADJECTIVES: Final = _SIZE_WORDS | _COLOUR_WORDS | _words("a an the one plus")
_TRAVELLING: Final = _words(
    "moves moving slides sliding glides gliding travels travelling traveling drifts drifting "
    "rises rising sinks sinking spins spinning rotates rotating turns turning grows growing "
    "gets getting expands expanding shrinks shrinking contracts contracting bounces bouncing "
    "hops hopping orbits orbiting loops looping goes going"
)
_RESTING: Final = _words(
    "stays staying stands standing rests resting remains remaining stops stopping still motionless"
)
_SPEED_WORDS: Final = _words(
    "slowly gently steadily quickly fast rapidly slow steady normal high low pace speed"
)
_GROUND_WORDS: Final = _GROUND_COLOURS | _words(
    "background backdrop wall gradient fades stripes striped dots dotted polka-dot checked "
    "chequered checkered checkerboard grainy sand rough"
)
_STYLE_WORDS: Final = _words(
    "night starry dark pencil sketch drawn hand-drawn drawing hand paper digital world blocky style"
)
_OTHER_WORDS: Final = _words(
    "on in at of over against front from to and while that then with as by there is we see "
    "video scene view picture plain left right up down upwards downwards upward downward "
    "around itself round place bigger smaller comes coming halt"
)
WORDS: Final = (
    _SHAPES
    | _ADJECTIVES
    | _TRAVELLING
    | _RESTING
    | _SPEED_WORDS
    | _GROUND_WORDS
    | _STYLE_WORDS
    | _OTHER_WORDS
)
"""All that the grammar can read."""

_TOKEN: Final = re.compile(r"[a-z]+(?:-[a-z]+)*|[.,]")
_STYLE_AT_END: Final = re.compile(
    r"(?:,|\b(?:in|at|on|as|drawn)\b)[^,]*\b(?:night|sketch|paper|style|world)$"
)


@dataclass(frozen=True)
class _Draws:
    """What is said where the prompt is silent, for each of two objects."""

    sizes: tuple[str, str]
    colours: tuple[str, str]
    motions: tuple[tuple[str, str, str], tuple[str, str, str]]
    speeds: tuple[str, str]
    ground: str

    @classmethod
    def from_seed(cls, seed: int) -> "_Draws":
        """Draws everything, needed or not, so that one more word changes nothing else."""
        rng = random.Random(seed)

        def index(count: int) -> int:
            return int(rng.random() * count)

        def two(options: int) -> tuple[int, int]:
            first = index(options)
            return first, (first + 1 + index(options - 1)) % options

        sizes, colours, motions = two(len(SIZES)), two(len(COLOURS)), two(len(MOTIONS))
        speeds = index(len(SPEEDS)), index(len(SPEEDS))
        return cls(
            (SIZES[sizes[0]], SIZES[sizes[1]]),
            (COLOURS[colours[0]], COLOURS[colours[1]]),
            (MOTIONS[motions[0]], MOTIONS[motions[1]]),
            (SPEEDS[speeds[0]], SPEEDS[speeds[1]]),
            GROUNDS[index(len(GROUNDS))],
        )


def complete(text: str, seed: int) -> str:
    """Says what a prompt leaves open, and keeps what it says.

    For each object that has none, a size, a colour, a motion and its speed are added beside it,
    and a background at the end. A prompt without a style is in the plain style, which this
    language says by naming none. A prompt with a word that the grammar cannot read is kept as it
    is, since whatever was added might contradict it; so is one without an object.

    Args:
        text: One sentence, for example `a red circle moves right`.
        seed: Decides what is added. The same seed adds the same things to any prompt.

    Returns:
        A sentence, for example `A small red circle moves slowly right over a navy background.`
    """
    words = _read(text)
    if words is None:
        return text
    nouns = [place for place, word in enumerate(words) if word in _SHAPES]
    if not 1 <= len(nouns) <= 2:
        return text
    draws = _Draws.from_seed(seed)
    starts = [_phrase_start(words, noun) for noun in nouns]
    ends = [*starts[1:], len(words)]
    outside = words[: starts[0]]
    finite = _is_finite(words)
    said = list(outside)
    for which, (start, noun, end) in enumerate(zip(starts, nouns, ends, strict=True)):
        tail = words[noun + 1 : end]
        outside += tail
        said += _noun_phrase(words[start : noun + 1], draws.sizes[which], draws.colours[which])
        said += _verb_phrase(tail, draws.motions[which], draws.speeds[which], finite=finite)
    sentence = " ".join(said).replace(" ,", ",")
    if not _GROUND_WORDS & set(outside):
        sentence = _with_ground(sentence, draws.ground)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _read(text: str) -> list[str] | None:
    """Returns the words in small letters, without the full stop; `None` if one is unknown."""
    lowered = text.strip().lower()
    if re.sub(r"\s", "", _TOKEN.sub("", lowered)):
        return None
    words = _TOKEN.findall(lowered.removesuffix("."))
    return words if all(word in WORDS or word == "," for word in words) else None


def _phrase_start(words: Sequence[str], noun: int) -> int:
    """Returns where the noun phrase begins that ends with the noun."""
    start = noun
    while start > 0 and words[start - 1] in _ADJECTIVES:
        start -= 1
    return start


def _is_finite(words: Sequence[str]) -> bool:
    """Whether the prompt's verbs are finite (`moves`), not participles (`moving`)."""
    verbs = [word for word in words if word in _TRAVELLING | _RESTING]
    return any(word.endswith("s") and not word.endswith("ss") for word in verbs)


def _noun_phrase(phrase: Sequence[str], size: str, colour: str) -> list[str]:
    """Adds size and colour where they are missing: `a star` becomes `a small red star`."""
    words = list(phrase)
    if not _COLOUR_WORDS & set(words):
        words.insert(len(words) - (2 if "plus" in words else 1), colour)
    if not _SIZE_WORDS & set(words):
        article = words[0] in ("a", "an", "the", "one")
        words.insert(1 if article else 0, size)
        if words[0] == "an":
            words[0] = "a"  # all sizes begin with a consonant
    return words


def _verb_phrase(
    tail: Sequence[str], motion: tuple[str, str, str], speed: str, *, finite: bool
) -> list[str]:
    """Adds motion and speed where they are missing, in the words that follow an object."""
    words = list(tail)
    if not (_TRAVELLING | _RESTING) & set(words):
        verb, participle, complement = motion
        words[:0] = [verb if finite else participle, *complement.split()]
    travelling = [place for place, word in enumerate(words) if word in _TRAVELLING]
    if travelling and not _SPEED_WORDS & set(words):
        words.insert(travelling[0] + 1, speed)
    return words


def _with_ground(sentence: str, ground: str) -> str:
    """Puts the background at the end, but before a style that is named there."""
    style = _STYLE_AT_END.search(sentence)
    if style is None:
        return f"{sentence} {ground}"
    before, after = sentence[: style.start()].rstrip(), sentence[style.start() :]
    return f"{before} {ground}{'' if after.startswith(',') else ' '}{after}"
