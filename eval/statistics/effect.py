"""How large a difference is, beside how sure: in units that do not depend on the metric."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from eval.statistics.clusters import Interval


@dataclass(frozen=True)
class Effect:
    """The size of a paired difference.

    Attributes:
        size: Mean difference over the standard deviation of the prompts' differences, corrected
            for few prompts (Hedges' g of pairs); `None` where all prompts differ alike.
        interval: Interval of the size, for normal differences.
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

    Sources: Goulet-Pelletier and Cousineau, "A review of effect sizes and their confidence
    intervals" (2018), for intervals by the noncentral t distribution; Abramowitz and Stegun,
    formula 26.7.10, for that distribution by the normal one, which has an inverse.

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
    reach = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(1 + ratio**2 / (2 * freedom))
    middle = ratio * (1 - 1 / (4 * freedom))
    unit = correction / math.sqrt(n)
    interval = Interval(unit * (middle - reach), unit * (middle + reach), level)
    return Effect(unit * ratio, interval, **counts)
