"""Intervals of a share of videos, for metrics that say yes or no such as dynamic degree.

Sources: Wilson, "Probable inference" (1927); Korn and Graubard, "Confidence intervals for
proportions with small expected number of positive counts estimated from survey data" (1998), for
the effective number of videos.
"""

import math

from scipy import stats

from eval.statistics.clusters import Clusters, Interval
from eval.statistics.mean import LEVEL


def proportion_interval(values: Clusters, *, level: float = LEVEL) -> Interval:
    """Wilson's interval of a share, with the number of videos that these are worth.

    Videos of one prompt tell partly the same, so that V videos of N prompts are worth between N
    and V. Where all are yes or all are no, it is taken to be N.

    Args:
        values: Values 0 and 1 by prompt.
        level: Share of intervals that should hold the true share, between 0 and 1.
    """
    share = values.mean
    worth = effective_videos(values)
    z2 = float(stats.norm.ppf((1 + level) / 2)) ** 2
    middle = (share + z2 / (2 * worth)) / (1 + z2 / worth)
    reach = math.sqrt(z2 * (share * (1 - share) / worth + z2 / (4 * worth**2))) / (1 + z2 / worth)
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach), level)


def effective_videos(values: Clusters) -> float:
    """How many videos of different prompts would tell as much of the share, from N to V."""
    share, prompts, videos = values.mean, values.prompts, values.videos
    if prompts < 2 or prompts == videos:
        return float(prompts)
    variance = values.standard_error**2
    if variance == 0.0:
        return float(videos if 0.0 < share < 1.0 else prompts)
    return min(float(videos), max(float(prompts), share * (1 - share) / variance))
