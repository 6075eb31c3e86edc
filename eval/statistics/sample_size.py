"""What difference a number of prompts can show, and how many prompts a difference needs.

The tests are those of `eval.statistics.evidence`, one-sided; their power is taken to be that of
the t test, which the sign-flip test has nearly, and the noncentral t distribution to be the normal
one of Abramowitz and Stegun's formula 26.7.10. `benchmarks/coverage.py` holds both against
simulated power.
"""

import math
from collections.abc import Callable
from typing import Final

from scipy import stats

POWER: Final = 0.8
"""Chance of a verdict that a number of prompts is to give, by custom."""

MOST: Final = 1_000_000
"""More prompts than this are none that anybody would make."""


def power_of_difference(difference: float, deviation: float, prompts: int, alpha: float) -> float:
    """Chance of showing that a difference is above zero.

    Args:
        difference: The true one (or what it exceeds a tolerance by).
        deviation: Standard deviation of the prompts' differences, above 0.
        prompts: Number of prompts, at least 2.
        alpha: Level of the one-sided test.
    """
    if 0.5**prompts > alpha:
        return 0.0  # not even all signs alike would do
    middle, scale = _critical(prompts, alpha)
    return float(stats.norm.cdf((difference * math.sqrt(prompts) / deviation - middle) / scale))


def power_of_equivalence(
    margin: float, difference: float, deviation: float, prompts: int, alpha: float
) -> float:
    """Chance of showing equivalence; never above the true one, and near it where that is high.

    Args:
        margin: Greatest difference either way that counts as none.
        difference: The true one.
        deviation: Standard deviation of the prompts' differences, above 0.
        prompts: Number of prompts, at least 2.
        alpha: Level of each of the two one-sided tests.
    """
    from_below = power_of_difference(margin - difference, deviation, prompts, alpha)
    from_above = power_of_difference(margin + difference, deviation, prompts, alpha)
    return max(0.0, from_below + from_above - 1)


def smallest_detectable(
    deviation: float, prompts: int, *, alpha: float, power: float = POWER
) -> float:
    """The smallest true difference that so many prompts show with this power.

    Args:
        deviation: Standard deviation of the prompts' differences.
        prompts: Number of prompts.
        alpha: Level of the one-sided test.
        power: Wished chance of showing it.

    Returns:
        The difference; infinity where so few prompts can show none.
    """
    if prompts < 2 or 0.5**prompts > alpha:
        return math.inf
    middle, scale = _critical(prompts, alpha)
    return (middle + float(stats.norm.ppf(power)) * scale) * deviation / math.sqrt(prompts)


def prompts_for_difference(
    difference: float, deviation: float, *, alpha: float, power: float = POWER
) -> int | None:
    """The least number of prompts that show a difference with this power.

    Args:
        difference: The true one, above 0.
        deviation: Standard deviation of the prompts' differences.
        alpha: Level of the one-sided test.
        power: Wished chance of showing it.

    Returns:
        The number; `None` where it is above `MOST`.
    """
    least = _least_prompts(alpha)
    if deviation == 0.0:
        return least if difference > 0 else None
    return _first(least, lambda n: power_of_difference(difference, deviation, n, alpha) >= power)


def prompts_for_equivalence(
    margin: float, difference: float, deviation: float, *, alpha: float, power: float = POWER
) -> int | None:
    """The least number of prompts that show equivalence with this power.

    Args:
        margin: Greatest difference either way that counts as none.
        difference: The true one.
        deviation: Standard deviation of the prompts' differences.
        alpha: Level of each of the two one-sided tests.
        power: Wished chance of showing it.

    Returns:
        The number; `None` where it is above `MOST`, or the difference is not within the margin.
    """
    if abs(difference) >= margin:
        return None
    least = _least_prompts(alpha)
    if deviation == 0.0:
        return least
    return _first(
        least,
        lambda n: power_of_equivalence(margin, difference, deviation, n, alpha) >= power,
    )


def _critical(prompts: int, alpha: float) -> tuple[float, float]:
    """Mean and scale of the normal distribution that a true t ratio is held against."""
    freedom = prompts - 1
    critical = float(stats.t.isf(alpha, freedom))
    return critical * (1 - 1 / (4 * freedom)), math.sqrt(1 + critical**2 / (2 * freedom))


def _least_prompts(alpha: float) -> int:
    """Fewer prompts have too few patterns of signs to reach the level."""
    return max(2, math.ceil(-math.log2(alpha) - 1e-9))


def _first(least: int, enough: Callable[[int], bool]) -> int | None:
    """The least number from `least` to `MOST` that is enough, where more never is less so."""
    high = least
    while not enough(high):
        if high >= MOST:
            return None
        low, high = high, min(MOST, 2 * high)
    if high == least:
        return least
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
