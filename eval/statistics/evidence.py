"""What paired prompts say of the difference between two models: tests at any shift, intervals.

Both kinds of evidence answer the same questions, so that a test at a shift rejects just where the
interval leaves that shift out, and equality, non-inferiority and equivalence never disagree.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from eval.statistics.clusters import Interval, Numbers


class Evidence(ABC):
    """Evidence on the mean difference over prompts.

    Attributes:
        differences: Candidate less base of each prompt, (N,).
    """

    def __init__(self, differences: ArrayLike) -> None:
        array = np.asarray(differences, np.float64)
        if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
            raise ValueError(
                f"expected finite differences of at least one prompt, found shape {array.shape}."
            )
        self.differences: Numbers = array

    @property
    def mean(self) -> float:
        """Mean difference."""
        return float(self.differences.mean())

    @property
    def deviation(self) -> float:
        """Standard deviation of the prompts' differences (with N - 1), 0 for a single one."""
        return float(self.differences.std(ddof=1)) if len(self.differences) > 1 else 0.0

    @abstractmethod
    def p_below(self, shift: float) -> float:
        """One-sided p-value against a true difference of `shift` or more: small if it is less."""

    @abstractmethod
    def p_above(self, shift: float) -> float:
        """One-sided p-value against a true difference of `shift` or less: small if it is more."""

    @abstractmethod
    def interval(self, level: float) -> Interval:
        """The shifts that neither one-sided test rejects at (1 - level) / 2."""

    def p_equal(self) -> float:
        """Two-sided p-value against no difference."""
        return min(1.0, 2 * min(self.p_below(0.0), self.p_above(0.0)))

    def p_equivalent(self, margin: float) -> float:
        """p-value against a difference beyond the margin, by two one-sided tests.

        Source: Schuirmann, "A comparison of the two one-sided tests procedure and the power
        approach" (1987).

        Args:
            margin: Greatest difference either way that counts as none.
        """
        return max(self.p_below(margin), self.p_above(-margin))
