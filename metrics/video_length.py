"""Video length: how many seconds does the video last?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metrics.features import Feature, Seconds, Values
from metrics.metric import Measurement, Metric


@dataclass(frozen=True)
class VideoLength(Metric):
    """Frames over frames a second, both as the file has them."""

    name = "video_length_s"
    title = "Length (s)"
    unit = ""
    higher_is_better = True
    bounds = (0.0, math.inf)
    source = "Mora (arXiv:2403.13248), video length"

    @property
    def features(self) -> tuple[Feature, ...]:
        """The length."""
        return (Seconds(),)

    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Gives the length."""
        return Measurement(float(features[Seconds()][0]), np.empty(0))
