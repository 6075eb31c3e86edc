"""Damages to what is said of a clip. Its pixels stay as they are.

Each function takes the clip, another clip, a strength and a random generator, and returns the wrong
wording, or `None` where it cannot be had.
"""

from collections.abc import Callable

import numpy as np

from eval.validate.specimen import Specimen, Word, Wording

Rewording = Callable[[Specimen, Specimen, float, np.random.Generator], Wording | None]


def of_another_clip(
    specimen: Specimen,
    other: Specimen,
    strength: float,  # noqa: ARG001
    rng: np.random.Generator,  # noqa: ARG001
) -> Wording | None:
    """Says what the other clip shows; `None` where that is the same, or not known."""
    if specimen.wording is None or other.wording is None:
        return None
    return None if specimen.wording.text == other.wording.text else other.wording


def with_wrong(word: Word) -> Rewording:
    """A rewording that says one thing wrongly, as the clip's maker knows to; else `None`."""

    def reword(
        specimen: Specimen,
        other: Specimen,  # noqa: ARG001
        strength: float,  # noqa: ARG001
        rng: np.random.Generator,  # noqa: ARG001
    ) -> Wording | None:
        return specimen.misworded.get(word)

    return reword


def without_words(
    specimen: Specimen,
    other: Specimen,  # noqa: ARG001
    share: float,
    rng: np.random.Generator,
) -> Wording | None:
    """Leaves out a share of the words, chosen at random; one stays."""
    if specimen.wording is None:
        return None
    words = specimen.wording.text.split()
    lost = set(rng.permutation(len(words))[: min(round(share * len(words)), len(words) - 1)])
    kept = " ".join(word for place, word in enumerate(words) if place not in lost)
    return Wording(kept, specimen.wording.style)


def in_wrong_order(
    specimen: Specimen,
    other: Specimen,  # noqa: ARG001
    share: float,
    rng: np.random.Generator,
) -> Wording | None:
    """Lets a share of the words, chosen at random, change places."""
    if specimen.wording is None:
        return None
    words = specimen.wording.text.split()
    chosen = rng.permutation(len(words))[: round(share * len(words))]
    mixed = list(words)
    for place, source in zip(chosen, np.roll(chosen, 1), strict=True):
        mixed[place] = words[source]
    return Wording(" ".join(mixed), specimen.wording.style)
