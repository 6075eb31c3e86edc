"""Finds prompts that say nearly the same, by the words that they have in common.

A text is the set of its pairs of neighbouring words; two texts are as alike as their sets overlap
(Jaccard: what both have, of what either has). Exact, not estimated: texts that cannot reach the
threshold are left out by what they must share (prefix filtering, Bayardo et al. 2007).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mora.records import Prompt
from prompts.words import words

NEAR: Final = 0.6
"""From this likeness on two prompts are near-duplicates. One word changed in eight gives 0.64, two
words in twelve 0.53."""

Bigram = tuple[str, str]


@dataclass(frozen=True, order=True)
class Likeness:
    """How alike two texts are.

    Attributes:
        value: Jaccard index of their pairs of words, 0 to 1.
        first: The text that was there before.
        second: The text that it was compared with.
    """

    value: float
    first: str
    second: str


def bigrams(text: str) -> frozenset[Bigram]:
    """Returns the pairs of neighbouring words of a text, its edges counting as words.

    A text without words, such as one of punctuation alone, is a pair of its own signs.
    """
    found = words(text)
    return frozenset(pairwise(["", *found, ""])) if found else frozenset({("", text.strip())})


def likeness(one: frozenset[Bigram], other: frozenset[Bigram]) -> float:
    """Returns the Jaccard index of two sets of pairs of words, 0 to 1."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


class Wordings:
    """Texts by name, among which near-duplicates of another are found quickly.

    Args:
        threshold: Likeness from which a text is told of, above 0 and at most 1.

    Raises:
        ValueError: The threshold is none.
    """

    def __init__(self, threshold: float = NEAR) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold}: expected a number above 0, at most 1.")
        self.threshold = threshold
        self._sets: dict[str, frozenset[Bigram]] = {}
        self._names_by_bigram: dict[Bigram, list[str]] = {}

    def __len__(self) -> int:
        return len(self._sets)

    def add(self, name: str, text: str) -> None:
        """Adds a text.

        Raises:
            ValueError: There is one of this name.
        """
        if name in self._sets:
            raise ValueError(f"{name!r}: a text of this name was added before.")
        self._sets[name] = bigrams(text)
        for bigram in self._prefix(self._sets[name]):
            self._names_by_bigram.setdefault(bigram, []).append(name)

    def like(self, name: str, text: str) -> list[Likeness]:
        """Returns the near-duplicates of a text among those that were added, the nearest first.

        Args:
            name: What to call the text; it need not be among those that were added.
            text: The text.
        """
        asked = bigrams(text)
        candidates = {
            other
            for bigram in self._prefix(asked)
            for other in self._names_by_bigram.get(bigram, ())
        }
        found = [
            Likeness(likeness(self._sets[other], asked), other, name)
            for other in candidates - {name}
        ]
        return sorted((each for each in found if each.value >= self.threshold), reverse=True)

    def _prefix(self, members: frozenset[Bigram]) -> Sequence[Bigram]:
        """The part of a set that must have something in common with that of any near-duplicate.

        Near-duplicates share at least `threshold` of the larger set, so in any fixed order the
        first of what they share is no later than this. Long words come first: they are rare.
        """
        ordered = sorted(members, key=lambda pair: (-len(pair[0]) - len(pair[1]), pair))
        # The subtraction keeps a product such as 0.6 * 5 from being rounded up.
        least_shared = math.ceil(self.threshold * len(members) - 1e-9)
        return ordered[: len(members) - least_shared + 1]


def near_duplicates(prompts: Iterable[Prompt], threshold: float = NEAR) -> list[Likeness]:
    """Returns all pairs of near-duplicates of one task and one input, the nearest first.

    Args:
        prompts: Prompts, each with an id of its own.
        threshold: Likeness from which two prompts are near-duplicates.
    """
    groups: dict[tuple[str, tuple[str, ...]], Wordings] = {}
    found: list[Likeness] = []
    for prompt in prompts:
        wordings = groups.setdefault((prompt.task, prompt.inputs), Wordings(threshold))
        found += wordings.like(prompt.id, prompt.text)
        wordings.add(prompt.id, prompt.text)
    return sorted(found, key=lambda pair: (-pair.value, pair.first, pair.second))
