"""Aesthetic quality: how well would people rate the frames as pictures?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metrics.features import AestheticRatings, Feature, Values
from metrics.metric import Measurement, Metric


def aesthetic_quality(ratings: ArrayLike) -> Measurement:
    """Turns ratings of frames into a score.

    Args:
        ratings: Rating of each frame, meant for 1 to 10, `(N,)` with N of at least 1.

    Returns:
        Mean of the ratings' tenths, and the tenths `(N,)`; not clamped to [0, 1].

    Source: VBench (arXiv:2311.17982), aesthetic quality.
    """
    tenths = np.asarray(ratings, dtype=np.float64) / 10
    return Measurement(float(tenths.mean()), tenths)


@dataclass(frozen=True)
class AestheticQuality(Metric):
    """Mean rating of the frames by LAION's linear head on CLIP ViT-L/14."""

    name = "aesthetic_quality"
    title = "Aesthetic quality"
    unit = "frame"
    higher_is_better = True
    bounds = (0.0, 1.0)
    source = "VBench (arXiv:2311.17982), aesthetic_quality"

    @property
    def features(self) -> tuple[Feature, ...]:
        """Ratings of all frames."""
        return (self._ratings,)

    @property
    def _ratings(self) -> AestheticRatings:
        return AestheticRatings(self.protocol.clip_precision)

    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Computes the score; see `aesthetic_quality`."""
        return aesthetic_quality(features[self._ratings])
