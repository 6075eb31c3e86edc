"""Background consistency: does the scene stay the same through the video?"""

from collections.abc import Mapping
from dataclasses import dataclass

from metrics.consistency import consistency
from metrics.features import ClipFrames, Feature, Values
from metrics.metric import Measurement, Metric


@dataclass(frozen=True)
class BackgroundConsistency(Metric):
    """Likeness of CLIP features of frames, which follow the scene as a whole.

    A video that stands still has the best score.
    """

    name = "background_consistency"
    title = "Background consistency"
    unit = "frame after the first"
    higher_is_better = True
    bounds = (0.0, 1.0)
    least_frames = 2
    source = "VBench (arXiv:2311.17982), background_consistency"

    @property
    def features(self) -> tuple[Feature, ...]:
        """CLIP embeddings of all frames, resized with the overshoot kept."""
        return (self._frames,)

    @property
    def _frames(self) -> ClipFrames:
        return ClipFrames("unrounded", self.protocol.clip_precision)

    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Computes the score; see `metrics.consistency`."""
        return consistency(features[self._frames])
