"""Evidence for metrics that say yes or no, such as dynamic degree."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from eval.statistics.clusters import Interval
from eval.statistics.evidence import Evidence
from eval.statistics.sign_flips import SignFlips


class YesNo(Evidence):
    """Differences between shares, for metrics that say yes or no.

    With one video a prompt the differences are -1, 0 and 1, mostly 0, and flipping signs would
    take a few prompts of no difference for proof that there is none. The interval here adds two
    prompts to those observed, one that changes to yes and one that changes to no. It works on
    prompts' differences of shares, too, so that several videos a prompt do no harm.

    Source: Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data" (2012), here with whole prompts for pairs.

    Args:
        differences: Candidate's share less base's of each prompt, (N,), from -1 to 1.
    """

    def __init__(self, differences: ArrayLike) -> None:
        super().__init__(differences)
        n = len(self.differences) + 2
        self._middle = float(self.differences.sum()) / n
        second = (float(self.differences @ self.differences) + 2) / n
        self._error = math.sqrt((second - self._middle**2) / n)

    @property
    def deviation(self) -> float:
        """Standard deviation of the prompts' differences, with the two prompts that are added."""
        return self._error * math.sqrt(len(self.differences) + 2)

    def p_below(self, shift: float) -> float:
        """See `Evidence.p_below`."""
        return float(stats.norm.cdf((self._middle - shift) / self._error))

    def p_above(self, shift: float) -> float:
        """See `Evidence.p_above`."""
        return float(stats.norm.sf((self._middle - shift) / self._error))

    def interval(self, level: float) -> Interval:
        """See `Evidence.interval`."""
        reach = float(stats.norm.ppf((1 + level) / 2)) * self._error
        return Interval(max(-1.0, self._middle - reach), min(1.0, self._middle + reach), level)

    def p_equal(self) -> float:
        """Two-sided p-value against no difference.

        McNemar's mid-p test where each prompt has one video on either side, the sign-flip test
        else.
        """
        changed = np.abs(self.differences)
        if np.isin(changed, (0.0, 1.0)).all():
            to_yes = int((self.differences > 0).sum())
            return mcnemar(to_yes, int(changed.sum()) - to_yes)
        return SignFlips(self.differences).p_equal()


def mcnemar(to_yes: int, to_no: int, *, mid: bool = True) -> float:
    """Two-sided p-value of McNemar's test from the binomial distribution, no approximation.

    Source: Fagerland, Lydersen and Laake, "The McNemar test for binary matched-pairs data: mid-p
    and asymptotic are better than exact conditional" (2013).

    Args:
        to_yes: Prompts that changed from no to yes.
        to_no: Prompts that changed from yes to no.
        mid: Whether what was observed counts half (mid-p) or whole (exact, never too small).
    """
    changed, less = to_yes + to_no, min(to_yes, to_no)
    if not changed:
        return 1.0
    tail = float(stats.binom.cdf(less, changed, 0.5))
    if mid:
        tail -= float(stats.binom.pmf(less, changed, 0.5)) / 2
    return min(1.0, 2 * tail)
