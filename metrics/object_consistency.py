"""Object consistency: does the main object stay the same through the video?"""

from collections.abc import Mapping
from dataclasses import dataclass

from metrics.consistency import consistency
from metrics.features import DinoFrames, Feature, Values
from metrics.metric import Measurement, Metric


@dataclass(frozen=True)
class ObjectConsistency(Metric):
    """Likeness of DINO features of frames, which follow what a picture shows.

    VBench calls it subject consistency. A video that stands still has the best score.
    """

    name = "object_consistency"
    title = "Object consistency"
    unit = "frame after the first"
    higher_is_better = True
    bounds = (0.0, 1.0)
    least_frames = 2
    source = "VBench (arXiv:2311.17982), subject_consistency"

    @property
    def features(self) -> tuple[Feature, ...]:
        """DINO features of all frames."""
        return (DinoFrames(),)

    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Computes the score; see `metrics.consistency`."""
        return consistency(features[DinoFrames()])
