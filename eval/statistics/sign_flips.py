"""The sign-flip permutation test over prompts, with the interval that belongs to it."""

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from eval.statistics.clusters import Interval, Numbers
from eval.statistics.evidence import Evidence

EXACT: Final = 15
"""Up to so many prompts all patterns of signs are tried."""

PATTERNS: Final = 19_999
"""Patterns of signs that are drawn where there are more prompts."""

_CHUNK: Final = 500


class SignFlips(Evidence):
    """The sign-flip permutation test over prompts.

    If the two models were exchangeable, each prompt's difference could as well have had the other
    sign. The test is exact for differences that are symmetric about the shift, whatever their
    distribution. Flipping a set of prompts lowers the mean to the observed one or below just if
    the mean of that set is at least the shift; so the means of all sets (of drawn ones, where
    there are many prompts) hold the p-values at every shift and the interval at every level.

    Source: Hartigan, "Using subsample values as typical values" (1969).

    Args:
        differences: Candidate less base of each prompt, (N,).
        patterns: Sets that are drawn where there are more prompts than `EXACT`; no p-value is
            less than one over it.
        seed: Of the drawn sets; equal seeds give equal results.

    Attributes:
        exact: Whether all sets were tried.
    """

    def __init__(self, differences: ArrayLike, *, patterns: int = PATTERNS, seed: int = 0) -> None:
        super().__init__(differences)
        self.exact = len(self.differences) <= EXACT
        self._means = np.sort(self._all() if self.exact else self._drawn(patterns, seed))
        # Sums of the same numbers in another order differ in the last digits.
        self._blur = 1e-12 * float(np.abs(self.differences).max())

    def p_below(self, shift: float) -> float:
        """See `Evidence.p_below`."""
        at_least = len(self._means) - np.searchsorted(self._means, shift - self._blur, "left")
        return float(1 + at_least) / (1 + len(self._means))

    def p_above(self, shift: float) -> float:
        """See `Evidence.p_above`."""
        at_most = np.searchsorted(self._means, shift + self._blur, "right")
        return float(1 + at_most) / (1 + len(self._means))

    def interval(self, level: float) -> Interval:
        """See `Evidence.interval`."""
        # Half a pattern makes up for the rounding of levels such as 1 - 2 · 0.05.
        rejected = int((1 - level) / 2 * (1 + len(self._means)) + 1e-9)
        if not rejected:
            return Interval(-math.inf, math.inf, level)
        return Interval(float(self._means[rejected - 1]), float(self._means[-rejected]), level)

    def _all(self) -> Numbers:
        """Means of all sets of prompts but the empty one, (2^N - 1,)."""
        sums, sizes = np.zeros(1), np.zeros(1)
        for difference in self.differences:
            sums = np.concatenate([sums, sums + difference])
            sizes = np.concatenate([sizes, sizes + 1])
        return np.asarray(sums[1:] / sizes[1:])

    def _drawn(self, patterns: int, seed: int) -> Numbers:
        """Means of random sets, (patterns,)."""
        n = len(self.differences)
        rng = np.random.default_rng([seed, n])
        means = []
        for start in range(0, patterns, _CHUNK):
            bits = rng.integers(0, 256, (min(_CHUNK, patterns - start), -(-n // 8)), np.uint8)
            within = np.unpackbits(bits, axis=1, count=n)
            # An empty set comes once in 2^16 or less; it is taken for the set of all.
            within[within.sum(axis=1) == 0] = 1
            means.append(within @ self.differences / within.sum(axis=1))
        return np.concatenate(means)
