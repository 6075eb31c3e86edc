"""What scores allow to say: intervals, tests of one model against another, places, sample sizes.

Nothing here knows of ledgers or metrics; it takes arrays of numbers and the prompts they are of.
docs/statistics.md says what each is good for, with the coverage that was measured.
"""

from eval.statistics.clusters import Clusters, Interval, clusters
from eval.statistics.effect import Effect, effect
from eval.statistics.evidence import Evidence
from eval.statistics.holm import holm
from eval.statistics.mean import mean_interval
from eval.statistics.proportion import effective_videos, proportion_interval
from eval.statistics.ranks import RankInterval, rank_intervals
from eval.statistics.sample_size import (
    POWER,
    power_of_difference,
    power_of_equivalence,
    prompts_for_difference,
    prompts_for_equivalence,
    smallest_detectable,
)
from eval.statistics.sign_flips import SignFlips
from eval.statistics.yes_no import YesNo, mcnemar

__all__ = [
    "POWER",
    "Clusters",
    "Effect",
    "Evidence",
    "Interval",
    "RankInterval",
    "SignFlips",
    "YesNo",
    "clusters",
    "effect",
    "effective_videos",
    "holm",
    "mcnemar",
    "mean_interval",
    "power_of_difference",
    "power_of_equivalence",
    "prompts_for_difference",
    "prompts_for_equivalence",
    "proportion_interval",
    "rank_intervals",
    "smallest_detectable",
]
