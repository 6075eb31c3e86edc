"""Imaging quality: are the frames sharp, clean and well exposed?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metrics.features import Feature, QualityScores, Values
from metrics.metric import Measurement, Metric


def imaging_quality(scores: ArrayLike) -> Measurement:
    """Turns quality scores of frames into a score of the video.

    Args:
        scores: MUSIQ's score of each frame, meant for 0 to 100, `(N,)` with N of at least 1.

    Returns:
        Mean of the scores' hundredths, and the hundredths `(N,)`; not clamped to [0, 1].

    Source: VBench (arXiv:2311.17982), imaging quality.
    """
    hundredths = np.asarray(scores, dtype=np.float64) / 100
    return Measurement(float(hundredths.mean()), hundredths)


@dataclass(frozen=True)
class ImagingQuality(Metric):
    """Mean quality of the frames as MUSIQ, trained on SPAQ, sees it."""

    name = "imaging_quality"
    title = "Imaging quality"
    unit = "frame"
    higher_is_better = True
    bounds = (0.0, 1.0)
    source = "VBench (arXiv:2311.17982), imaging_quality"

    @property
    def features(self) -> tuple[Feature, ...]:
        """Quality scores of all frames."""
        return (self._scores,)

    @property
    def _scores(self) -> QualityScores:
        return QualityScores(self.protocol.imaging_resize)

    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Computes the score; see `imaging_quality`."""
        return imaging_quality(features[self._scores])
