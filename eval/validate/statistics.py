"""The exam's arithmetic: rank correlation, AUC with ties, and intervals by resampling clips.

A clip and all damaged versions of it are one cluster: they are drawn together or not at all.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]

RESAMPLES: Final = 2000
"""Bootstrap samples behind an interval."""

LEVEL: Final = 0.95
"""Share of the bootstrap samples that an interval holds."""


def ranks(values: ArrayLike, resolution: float = 0.0) -> Numbers:
    """Ranks from 1, ties sharing their mean rank.

    Args:
        values: (N,).
        resolution: Values that differ by no more are ties. Where that is not transitive, a value
            still shares its rank with just those within reach of it.
    """
    array = np.asarray(values, np.float64)
    return 0.5 + beats(array, array, resolution).sum(axis=1)


def spearman(x: ArrayLike, y: ArrayLike, resolution: float = 0.0) -> float:
    """Spearman's rank correlation, ties included.

    Args:
        x: (N,), N of at least 2.
        y: (N,).
        resolution: Values of `y` that differ by no more are ties.

    Returns:
        From -1 to 1; 0 where `x` or `y` is constant: what does not move follows nothing.
    """
    a, b = ranks(x), ranks(y, resolution)
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale else 0.0


def beats(first: ArrayLike, second: ArrayLike, resolution: float = 0.0) -> Numbers:
    """Compares each value with each: 1 where the first is greater, 1/2 at a tie, else 0.

    Args:
        first: (N,).
        second: (M,).
        resolution: Values that differ by no more are ties.

    Returns:
        (N, M). The mean is the Mann-Whitney estimate of the probability that one of `first` is
        greater than one of `second`.
    """
    difference = np.subtract.outer(np.asarray(first, np.float64), np.asarray(second, np.float64))
    return 0.5 + 0.5 * np.sign(difference) * (np.abs(difference) > resolution)


def draws(clusters: int, seed: int = 0) -> NDArray[np.intp]:
    """Bootstrap samples of clusters: how often each is in each sample, (`RESAMPLES`, clusters)."""
    rng = np.random.default_rng([seed, clusters])
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), RESAMPLES).astype(np.intp)


def mean_interval(values: ArrayLike, drawn: NDArray[Any]) -> tuple[float, float]:
    """Interval of the mean of one value a cluster.

    Args:
        values: (N,).
        drawn: Bootstrap samples of the N clusters.
    """
    array = np.asarray(values, np.float64)
    return _percentiles(drawn @ array / len(array))


def auc(compared: Numbers) -> float:
    """AUC between two values of each cluster, over pairs of different clusters.

    A cluster's own pair tells how the two values go together, not how far apart the values are:
    counted with the others, it would lift the AUC above 0.5 wherever there is any effect at all.

    Args:
        compared: (N, N) as `beats` gives it, N of at least 2; row and column i belong to cluster i.
    """
    return float(_aucs(compared, np.ones((1, len(compared))))[0])


def auc_interval(compared: Numbers, drawn: NDArray[Any]) -> tuple[float, float]:
    """Interval of `auc`.

    Args:
        compared: (N, N), as for `auc`.
        drawn: Bootstrap samples of the N clusters. One that holds a single cluster has no pair and
            does not count.
    """
    several = (drawn > 0).sum(axis=1) > 1
    return _percentiles(_aucs(compared, drawn[several]))


def _aucs(compared: Numbers, drawn: NDArray[Any]) -> Numbers:
    """The AUC of each sample (B, N) of the clusters, pairs of a cluster with itself left out."""
    others = 1.0 - np.eye(len(compared))
    won = np.einsum("bi,ij,bj->b", drawn, compared * others, drawn, optimize=True)
    pairs = np.einsum("bi,ij,bj->b", drawn, others, drawn, optimize=True)
    return np.asarray(won / pairs)


def _percentiles(estimates: Numbers) -> tuple[float, float]:
    outside = (1 - LEVEL) / 2
    low, high = np.quantile(estimates, [outside, 1 - outside])
    return float(low), float(high)
