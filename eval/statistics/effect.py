"""How large a difference is, beside how sure: in units that do not depend on the metric."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from eval.statistics.clusters import Interval


@dataclass(frozen=True)
class Effect:
    """The size of a paired difference.

    Attributes:
        size: Mean difference over the standard deviation of the prompts' differences, corrected
            for few prompts (Hedges' g of pairs); `None` where all prompts differ alike.
        interval: Interval of the size, exact for normal differences.
        better: Prompts on which the candidate has the greater value.
        equal: Prompts on which both have the same.
        worse: Prompts on which the base has the greater value.
    """

    size: float | None
    interval: Interval | None
    better: int
    equal: int
    worse: int


def effect(differences: ArrayLike, *, level: float) -> Effect:
    """Measures the size of a paired difference.

    Source: Goulet-Pelletier and Cousineau, "A review of effect sizes and their confidence
    intervals" (2018), for the interval by the noncentral t distribution.

    Args:
        differences: Candidate less base of each prompt, (N,).
        level: Of the interval.
    """
    array = np.asarray(differences, np.float64)
    n = len(array)
    counts = {
        "better": int((array > 0).sum()),
        "equal": int((array == 0).sum()),
        "worse": int((array < 0).sum()),
    }
    deviation = float(array.std(ddof=1)) if n > 1 else 0.0
    if deviation <= 1e-12 * float(np.abs(array).max(initial=0.0)):
        return Effect(None, None, **counts)
    freedom = n - 1
    correction = (
        math.exp(
            math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2) - math.log(freedom / 2) / 2
        )
        if freedom > 1
        else 1.0
    )
    ratio = float(array.mean()) / deviation * math.sqrt(n)
    tails = (1 - level) / 2, (1 + level) / 2
    # The greater the true size, the less probable a ratio this small.
    high, low = (_noncentrality(ratio, freedom, tail) / math.sqrt(n) for tail in tails)
    size = correction * ratio / math.sqrt(n)
    return Effect(size, Interval(correction * low, correction * high, level), **counts)


def _noncentrality(ratio: float, freedom: int, share: float) -> float:
    """The noncentrality under which a share of all t ratios is below this one."""
    # The t ratio's scale is off by a factor near 1 with many degrees of freedom, by more with few.
    reach = 10.0 + 5.0 * abs(ratio)
    root = optimize.brentq(
        lambda centre: float(stats.nct.cdf(ratio, freedom, centre)) - share,
        ratio - reach,
        ratio + reach,
    )
    return float(root)
