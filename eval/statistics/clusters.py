"""Scores that fall into prompts: the videos of one prompt are alike, so the prompt is what counts.

Several seeds of one prompt say less than as many prompts. Everything in this package therefore
draws, flips or leaves out whole prompts, never single videos.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An interval of confidence.

    Attributes:
        low: Lower end, minus infinity where so few prompts cannot bound it.
        high: Upper end.
        level: Share of such intervals that hold the true value, 0 to 1.
    """

    low: float
    high: float
    level: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Clusters:
    """Values by prompt, as the sums that all estimates here need.

    Attributes:
        sums: Sum of the values of each prompt, (N,).
        counts: Number of values of each prompt, (N,), at least 1.
        squares: Sum of the squares of all values, less the square of their mean.
    """

    sums: Numbers
    counts: Numbers
    squares: float

    @property
    def prompts(self) -> int:
        """Number of prompts."""
        return len(self.sums)

    @property
    def videos(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean over values, so that a prompt with more of them weighs more."""
        return float(self.sums.sum() / self.counts.sum())

    @property
    def spread(self) -> float:
        """Standard deviation of single values (with N - 1), 0 for a single one."""
        return float(np.sqrt(self.squares / (self.videos - 1))) if self.videos > 1 else 0.0

    @property
    def standard_error(self) -> float:
        """Of the mean, from the differences between prompts (linearised ratio of two sums).

        Raises:
            ValueError: There are fewer than two prompts.
        """
        if self.prompts < 2:
            raise ValueError(f"a standard error needs at least 2 prompts, found {self.prompts}.")
        rest = self.sums - self.counts * self.mean
        n = self.prompts
        return float(np.sqrt(n / (n - 1) * (rest @ rest)) / self.counts.sum())


def clusters(values: ArrayLike, prompts: Sequence[Hashable]) -> Clusters:
    """Gathers values by prompt.

    Args:
        values: (V,), finite. A video without a score has no place here; count it elsewhere.
        prompts: What tells the prompt of each value, (V,).

    Raises:
        ValueError: There is no value, a value is not finite, or the lengths differ.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) != len(prompts) or not len(array):
        raise ValueError(
            f"expected one prompt for each of at least one value, found {len(prompts)} prompts "
            f"for values of shape {array.shape}."
        )
    if not np.isfinite(array).all():
        raise ValueError("a value is not finite; leave videos without a score out and count them.")
    places: dict[Hashable, int] = {}
    of = np.array([places.setdefault(prompt, len(places)) for prompt in prompts])
    centred = array - array.mean()
    return Clusters(
        sums=np.bincount(of, weights=array).astype(np.float64),
        counts=np.bincount(of).astype(np.float64),
        squares=float(centred @ centred),
    )
