"""A set's card: what can be said of a prompt set in numbers, before any video is made."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mora.records import Prompt
from prompts.diversity import distinct, self_bleu, spread
from prompts.duplicates import NEAR, Likeness, Wordings, near_duplicates
from prompts.tags import MOVING_OBJECTS, MovingType, moving_type, values
from prompts.words import words

MOST_VALUES: Final = 20
"""A tag with more values names prompts rather than sorts them, and has no shares."""

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to a row of unit length each, `(N, D)`."""


@dataclass(frozen=True)
class Lengths:
    """How long the prompts are, in `unit`.

    Attributes:
        unit: What was counted, such as words.
        counts: Of each prompt, in the set's order.
        limit: What a text encoder reads, in `unit`; `None` where there is no limit.
    """

    unit: str
    counts: tuple[int, ...]
    limit: int | None = None

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.counts)

    @property
    def mean(self) -> float:
        """The mean."""
        return mean(self.counts)

    @property
    def beyond(self) -> int:
        """Prompts that are longer than the limit."""
        return sum(self.limit is not None and count > self.limit for count in self.counts)


@dataclass(frozen=True)
class Overlap:
    """What a set has in common with other prompts.

    Attributes:
        name: What those are called.
        count: How many there are.
        pairs: Near-duplicates; the first is the other prompt's text, the second one's own id.
    """

    name: str
    count: int
    pairs: tuple[Likeness, ...]


@dataclass(frozen=True)
class Card:
    """What is told of a set.

    Attributes:
        name: The set's name.
        prompts: Its prompts.
        lengths: In words, and in the tokens of encoders that were asked.
        vocabulary: Different words.
        once: Words that occur once in the set.
        distinct: Distinct-1, -2, -3; `None` where no prompt has so many words.
        self_bleu: Self-BLEU up to four words; `None` for a single prompt.
        spread: Mean distance of meanings; `None` where no encoder was given.
        encoder: What that was measured with.
        duplicates: Near-duplicates, the nearest first.
        shares: For each tag how many prompts have each value, the most frequent first.
        overlaps: What it shares with other prompts that were given.
    """

    name: str
    prompts: tuple[Prompt, ...]
    lengths: tuple[Lengths, ...]
    vocabulary: int
    once: int
    distinct: tuple[float | None, float | None, float | None]
    self_bleu: float | None
    spread: float | None
    encoder: str | None
    duplicates: tuple[Likeness, ...]
    shares: dict[str, Counter[str]]
    overlaps: tuple[Overlap, ...]


@dataclass(frozen=True)
class Encoders:
    """Networks' eyes on a set, all optional: this room has no networks of its own.

    Attributes:
        embed: Embeds texts; `None` leaves the spread out.
        name: What `embed` is called.
        tokens: Counts a text's tokens, by the encoder's name and what it reads of them.
    """

    embed: Embed | None = None
    name: str | None = None
    tokens: dict[tuple[str, int], Callable[[str], int]] = field(default_factory=dict)


def measure(
    name: str,
    prompts: Sequence[Prompt],
    encoders: Encoders | None = None,
    others: dict[str, Sequence[str]] | None = None,
    threshold: float = NEAR,
) -> Card:
    """Measures a set.

    Args:
        name: Its name.
        prompts: Its prompts, at least one.
        encoders: Networks to ask.
        others: Texts to look for in it, such as those of another benchmark, by a name.
        threshold: Likeness from which two texts are near-duplicates.
    """
    encoders = encoders or Encoders()
    texts = [prompt.text for prompt in prompts]
    vocabulary = Counter(word for text in texts for word in words(text))
    lengths = [Lengths("words", tuple(len(words(text)) for text in texts))]
    lengths += [
        Lengths(unit, tuple(count(text) for text in texts), limit)
        for (unit, limit), count in encoders.tokens.items()
    ]
    embed = encoders.embed if len(texts) > 1 else None
    return Card(
        name=name,
        prompts=tuple(prompts),
        lengths=tuple(lengths),
        vocabulary=len(vocabulary),
        once=sum(count == 1 for count in vocabulary.values()),
        distinct=(distinct(texts, 1), distinct(texts, 2), distinct(texts, 3)),
        self_bleu=self_bleu(texts),
        spread=spread(embed(texts)) if embed else None,
        encoder=encoders.name if embed else None,
        duplicates=tuple(near_duplicates(prompts, threshold)),
        shares=_shares(prompts),
        overlaps=tuple(
            _overlap(other, wordings, prompts, threshold)
            for other, wordings in (others or {}).items()
        ),
    )


def _shares(prompts: Sequence[Prompt]) -> dict[str, Counter[str]]:
    """How many prompts have each value of each tag; the paper's types stand for their number."""
    shares: dict[str, Counter[str]] = {}
    types = Counter(kind.value for prompt in prompts if (kind := moving_type(prompt)) is not None)
    if types:
        shares["type"] = Counter({kind.value: types[kind.value] for kind in MovingType})
    for tag in dict.fromkeys(tag for prompt in prompts for tag in prompt.tags):
        told = Counter(value for prompt in prompts for value in values(prompt, tag))
        if tag != MOVING_OBJECTS and 0 < len(told) <= MOST_VALUES:
            shares[tag] = Counter(dict(told.most_common()))
    return shares


def _overlap(
    name: str, texts: Sequence[str], prompts: Sequence[Prompt], threshold: float
) -> Overlap:
    wordings = Wordings(threshold)
    different = dict.fromkeys(texts)
    for text in different:
        wordings.add(text, text)
    found = [each for prompt in prompts for each in wordings.like(prompt.id, prompt.text)]
    return Overlap(name, len(different), tuple(sorted(found, reverse=True)))
