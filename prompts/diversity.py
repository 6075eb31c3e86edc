"""How varied texts are: numbers of a set, not of a prompt."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prompts.words import words

SMOOTHING: Final = 0.1
"""Stands for the matches of an order that has none (Chen and Cherry 2014, method 1)."""

Ngram = tuple[str, ...]


def ngrams(text: str, order: int) -> list[Ngram]:
    """Returns the runs of `order` neighbouring words of a text, in their order."""
    found = words(text)
    return [tuple(found[start : start + order]) for start in range(len(found) - order + 1)]


def distinct(texts: Sequence[str], order: int) -> float | None:
    """Returns distinct-n: different n-grams over all n-grams of all texts, above 0 to 1.

    It falls as a set grows, so sets compare only at one size. `None` if no text has so many words.

    Source: "A Diversity-Promoting Objective Function for Neural Conversation Models"
    (arXiv:1510.03055).
    """
    found = [ngram for text in texts for ngram in ngrams(text, order)]
    return len(set(found)) / len(found) if found else None


def self_bleu(texts: Sequence[str], orders: int = 4) -> float | None:
    """Returns self-BLEU: how much of each text is said in the others, 0 to 1, the mean of all.

    The BLEU of each text with all others as references: an n-gram counts at most as often as in
    the reference that has most of it, the reference of the nearest length sets the brevity
    penalty, and an order without matches counts `SMOOTHING` of one.

    Args:
        texts: The texts; those without words are left out.
        orders: Longest n-grams.

    Returns:
        The mean, lower the more varied; `None` for fewer than two texts.

    Source: "Texygen" (arXiv:1802.01886); "BLEU" (Papineni et al. 2002).
    """
    spoken = [text for text in texts if words(text)]
    if len(spoken) < 2:
        return None
    lengths = [len(words(text)) for text in spoken]
    sums = np.zeros(len(spoken))
    for order in range(1, orders + 1):
        counts = [Counter(ngrams(text, order)) for text in spoken]
        most = _two_largest(counts)
        for place, own in enumerate(counts):
            shared = sum(
                min(count, most[ngram][count == most[ngram][0]]) for ngram, count in own.items()
            )
            if order == 1 and not shared:
                sums[place] = -math.inf  # not a word in common
            sums[place] += math.log((shared or SMOOTHING) / max(1, own.total()))
    penalties = [
        _brevity(length, [*lengths[:i], *lengths[i + 1 :]]) for i, length in enumerate(lengths)
    ]
    return float(np.exp(np.array(penalties) + sums / orders).mean())


def _two_largest(counts: Sequence[Counter[Ngram]]) -> dict[Ngram, tuple[int, int]]:
    """For each n-gram its largest count in a text, and the largest in any other text."""
    found: dict[Ngram, tuple[int, int]] = {}
    for of_text in counts:
        for ngram, count in of_text.items():
            first, second = found.get(ngram, (0, 0))
            found[ngram] = (count, first) if count > first else (first, max(second, count))
    return found


def _brevity(length: int, others: Sequence[int]) -> float:
    """The logarithm of the brevity penalty, at most 0."""
    nearest = min(others, key=lambda other: (abs(other - length), other))
    return min(0.0, 1 - nearest / length)


def spread(embeddings: NDArray[np.float32]) -> float:
    """Returns how far apart texts are in meaning: the mean of 1 - cosine over all pairs, 0 to 2.

    Args:
        embeddings: A row of unit length for each text, float32 `(N, D)` with at least two rows.
    """
    count = len(embeddings)
    total = np.square(embeddings.sum(axis=0, dtype=np.float64)).sum()
    # The square of the sum holds every pair twice, and each row with itself.
    return float(1 - (total - count) / (count * (count - 1)))
