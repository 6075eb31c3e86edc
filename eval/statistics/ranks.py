"""Which places in a leaderboard the data leave open to each model.

Source: Mogstad, Romano, Shaikh and Wilhelm, "Inference for ranks with applications to mobility
across neighbourhoods and academic achievement across countries" (2024): a model's best place is
one more than the number of models that are shown to be better, all pairs being tested at once.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from eval.statistics.clusters import Numbers
from eval.statistics.mean import LEVEL

FLIPS: Final = 4000
"""Patterns of signs behind the critical value."""


@dataclass(frozen=True)
class RankInterval:
    """The places that are open to a model.

    Attributes:
        rank: Its place by its mean, from 1; models of equal mean share the best of their places.
        best: Best place that is not ruled out.
        worst: Worst place that is not ruled out.
    """

    rank: int
    best: int
    worst: int


def rank_intervals(
    scores: ArrayLike, *, higher_is_better: bool = True, level: float = LEVEL, seed: int = 0
) -> list[RankInterval]:
    """Places of models by their mean over the same prompts.

    Args:
        scores: Each model's mean score of each prompt, (N prompts, K models), finite; prompts that
            not all models have a score of are to be left out, and counted, before.
        higher_is_better: Whether the greatest mean has place 1.
        level: Chance that the intervals of all models hold their true places together.
        seed: Of the random signs.

    Raises:
        ValueError: There are fewer than 2 prompts, no model, or a score is missing.
    """
    array = np.asarray(scores, np.float64)
    if array.ndim != 2 or len(array) < 2 or not array.shape[1] or not np.isfinite(array).all():
        raise ValueError(
            f"expected finite scores of at least 2 prompts by models, found shape {array.shape}."
        )
    signed = array if higher_is_better else -array
    means = signed.mean(axis=0)
    beaten = _shown_better(signed, level, seed)
    models = array.shape[1]
    return [
        RankInterval(
            rank=1 + int((means > means[k]).sum()),
            best=1 + int(beaten[:, k].sum()),
            worst=models - int(beaten[k].sum()),
        )
        for k in range(models)
    ]


def _shown_better(scores: Numbers, level: float, seed: int) -> Numbers:
    """1 where model i is shown to be better than model j, else 0, (K, K).

    All pairs are tested at one level: the greatest t ratio of them is held against its
    distribution under random signs of the prompts, which keeps how the models go together.
    """
    n, models = scores.shape
    first, second = np.triu_indices(models, 1)
    differences = scores[:, first] - scores[:, second]
    means = differences.mean(axis=0)
    centred = differences - means
    squares = (centred**2).mean(axis=0)
    alike = squares <= 1e-24 * np.maximum(1.0, means**2)  # all prompts; what is left is rounding
    squares[alike], centred[:, alike] = 0.0, 0.0
    signs = np.random.default_rng([seed, n]).choice([-1.0, 1.0], (FLIPS, n))
    flipped = signs @ centred / n
    # Flipping signs keeps the sum of squares: what is not the mean's is spread.
    ratios = np.abs(_ratios(flipped, squares - flipped**2, n)).max(axis=1, initial=0.0)
    critical = float(np.quantile(ratios, level, method="higher"))
    observed = _ratios(means, squares, n)
    sure = np.abs(observed) > critical
    better = np.zeros((models, models))
    better[first, second] = sure & (observed > 0)
    better[second, first] = sure & (observed < 0)
    return better


def _ratios(means: Numbers, variances: Numbers, n: int) -> Numbers:
    """Student's ratios; infinite where there is a mean and no spread, 0 where there is neither."""
    errors = np.sqrt(np.maximum(variances, 0.0) / (n - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(means == 0.0, 0.0, means / errors)
