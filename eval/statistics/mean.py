"""Intervals of a mean, by bootstrap of whole prompts.

Four constructions are offered because their coverage was compared (docs/statistics.md); `METHOD`
is the one that came out best and is used everywhere else. Sources: Efron and Tibshirani,
"An Introduction to the Bootstrap" (1993), chapters 12 to 14; Cameron, Gelbach and Miller,
"Bootstrap-based improvements for inference with clustered errors" (2008), for whole clusters.
"""

from functools import lru_cache
from typing import Final, Literal

import numpy as np
from scipy import stats

from eval.statistics.clusters import Clusters, Interval, Numbers

Method = Literal["percentile", "bca", "studentised", "t"]

METHOD: Final[Method] = "studentised"
"""Of the four, the one whose intervals hold the mean nearest to as often as they promise."""

LEVEL: Final = 0.95

RESAMPLES: Final = 4000
"""Bootstrap samples behind an interval."""


def mean_interval(
    values: Clusters,
    *,
    level: float = LEVEL,
    method: Method = METHOD,
    bounds: tuple[float, float] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Interval of the mean over values. For values of 0 and 1, see `proportion_interval`.

    Args:
        values: The values by prompt.
        level: Share of intervals that should hold the true mean, between 0 and 1.
        method: `percentile`, `bca` (bias-corrected and accelerated), `studentised` (bootstrap-t),
            or `t` (Student's, no bootstrap).
        bounds: Least and greatest value that the mean can have; the interval is cut there.
        resamples: Bootstrap samples.
        seed: Of the samples; equal seeds give equal intervals.

    Returns:
        The interval; `None` for a single prompt, which says nothing of how prompts differ. Where
        all prompts have one mean the interval is that point.
    """
    if values.prompts < 2:
        return None
    if values.standard_error <= 1e-12 * max(1.0, abs(values.mean)):
        return Interval(values.mean, values.mean, level)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "t":
        reach = stats.t.ppf(tails[1], values.prompts - 1) * values.standard_error
        low, high = values.mean - reach, values.mean + reach
    else:
        drawn = _draws(values.prompts, resamples, seed)
        means = (drawn @ values.sums) / (drawn @ values.counts)
        if method == "studentised":
            ratios = _studentised(values, drawn, means)
            # Not interpolated: where few prompts differ, some ratios are infinite.
            q_low, q_high = np.quantile(ratios, tails, method="inverted_cdf")
            low = values.mean - q_high * values.standard_error
            high = values.mean - q_low * values.standard_error
        else:
            shares = tails if method == "percentile" else _accelerated(values, means, tails)
            low, high = np.quantile(means, shares)
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Interval(float(low), float(high), level)


@lru_cache(maxsize=8)
def _draws(prompts: int, resamples: int, seed: int) -> Numbers:
    """How often each prompt is in each bootstrap sample, (resamples, prompts)."""
    rng = np.random.default_rng([seed, prompts])
    drawn = rng.multinomial(prompts, np.full(prompts, 1 / prompts), resamples).astype(np.float64)
    drawn.flags.writeable = False  # shared by all callers
    return drawn


def _studentised(values: Clusters, drawn: Numbers, means: Numbers) -> Numbers:
    """How many of its own standard errors each sample's mean lies above the true one."""
    n, s, c = values.prompts, values.sums, values.counts
    rest = drawn @ s**2 - 2 * means * (drawn @ (s * c)) + means**2 * (drawn @ c**2)
    rest[rest < 1e-12 * float(s @ s)] = 0.0  # what is left of equal numbers
    errors = np.sqrt(n / (n - 1) * rest) / (drawn @ c)
    off = means - values.mean
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(off == 0.0, 0.0, off / errors)


def _accelerated(values: Clusters, means: Numbers, tails: Numbers) -> Numbers:
    """The shares of the bootstrap distribution that BCa takes for `tails`."""
    below = np.mean(means < values.mean) + np.mean(means == values.mean) / 2
    bias = stats.norm.ppf(np.clip(below, 1 / len(means), 1 - 1 / len(means)))
    left_out = (values.sums.sum() - values.sums) / (values.counts.sum() - values.counts)
    off = left_out.mean() - left_out
    scale = float(np.sum(off**2)) ** 1.5
    acceleration = float(np.sum(off**3)) / (6 * scale) if scale else 0.0
    shifted = bias + stats.norm.ppf(tails)
    return np.asarray(stats.norm.cdf(bias + shifted / (1 - acceleration * shifted)))
