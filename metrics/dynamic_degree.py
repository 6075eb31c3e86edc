"""Dynamic degree: does something move?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metrics.features import Choice, Facts, Feature, FlowMagnitudes, FrameSize, Values
from metrics.metric import Measurement, Metric


def dynamic_degree(
    magnitudes: ArrayLike, height: int, width: int, least_pairs: int = 0
) -> Measurement:
    """Says whether enough pairs of frames move.

    A pair moves if its magnitude exceeds 6 pixels for each 256 of the frame's shorter side. Of N
    frames at least `round(4 N / 16)` pairs have to move, where halves are rounded to the even
    number (2 frames need 0, 6 need 2, 10 need 2). The reference stops at the pair that fills the
    count; it compares after each pair, so that a count of 0 is filled by the first.

    Args:
        magnitudes: Mean of the largest 5 % of the flow's magnitudes of each neighbouring pair of
            sampled frames, in pixels, `(N - 1,)` with N of at least 2.
        height: Height of the frames in pixels, without padding.
        width: Their width.
        least_pairs: Fewest pairs that have to move, whatever the rounding gives.

    Returns:
        1 if the video moves, 0 if it does not, NaN if a magnitude is NaN; and the magnitudes.

    Source: VBench (arXiv:2311.17982), dynamic degree.
    """
    values = np.asarray(magnitudes, dtype=np.float64)
    if np.isnan(values).any():
        return Measurement(float("nan"), values)
    threshold = 6.0 * min(height, width) / 256.0
    needed = max(round(4 * (len(values) + 1) / 16), least_pairs)
    moving = int(np.count_nonzero(values > threshold))
    return Measurement(float(moving >= needed), values)


@dataclass(frozen=True)
class DynamicDegree(Metric):
    """Whether RAFT's flow is large in enough pairs of frames, sampled at about 8 a second.

    A model's score is the share of its videos that move. It is a fact about a set: neither more
    nor less of it makes one video better, but higher counts as better in the paper's mean.
    """

    name = "dynamic_degree"
    title = "Dynamic degree"
    unit = "pair of sampled frames, in pixels of flow"
    higher_is_better = True
    bounds = (0.0, 1.0)
    least_frames = 2
    source = "VBench (arXiv:2311.17982), dynamic_degree"

    @property
    def features(self) -> tuple[Feature, ...]:
        """Magnitudes of the flow between sampled frames, and the frames' size."""
        return (self._magnitudes, FrameSize())

    @property
    def _magnitudes(self) -> FlowMagnitudes:
        return FlowMagnitudes(self.protocol.flow_rate)

    @property
    def choices(self) -> dict[str, Choice]:
        """Those of all metrics, and the fewest pairs."""
        return super().choices | {"dynamic_least_pairs": self.protocol.dynamic_least_pairs}

    def frames_used(self, facts: Facts) -> int:
        """Frames that are left after sampling."""
        return len(self._magnitudes.sampled(facts))

    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Computes the score; see `dynamic_degree`."""
        height, width = features[FrameSize()]
        return dynamic_degree(
            features[self._magnitudes], int(height), int(width), self.protocol.dynamic_least_pairs
        )
