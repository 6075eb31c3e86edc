"""Motion smoothness: is each frame where its neighbours say that it should be?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metrics.features import Feature, InterpolationErrors, Values
from metrics.metric import Measurement, Metric


def motion_smoothness(errors: ArrayLike) -> Measurement:
    """Turns errors of interpolated frames into a score.

    Args:
        errors: Mean absolute difference of each frame to what was interpolated in its place, on
            the scale 0..255, `(N,)` with N of at least 1.

    Returns:
        Mean of (255 - error) / 255, in [0, 1], and its terms `(N,)`.

    Source: VBench (arXiv:2311.17982), motion smoothness.
    """
    terms = (255 - np.asarray(errors, dtype=np.float64)) / 255
    return Measurement(float(terms.mean()), terms)


@dataclass(frozen=True)
class MotionSmoothness(Metric):
    """How well AMT interpolates every second frame from its two neighbours.

    The last frame of an even count has no second neighbour and is left out. A video that stands
    still has the best score.
    """

    name = "motion_smoothness"
    title = "Motion smoothness"
    unit = "every second frame"
    higher_is_better = True
    bounds = (0.0, 1.0)
    least_frames = 3
    source = "VBench (arXiv:2311.17982), motion_smoothness"

    @property
    def features(self) -> tuple[Feature, ...]:
        """Errors of the frames that AMT interpolates."""
        return (InterpolationErrors(),)

    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Computes the score; see `motion_smoothness`."""
        return motion_smoothness(features[InterpolationErrors()])
