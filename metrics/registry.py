"""The metrics by name."""

from collections.abc import Sequence

from metrics.aesthetic_quality import AestheticQuality
from metrics.appearance_style import AppearanceStyle
from metrics.background_consistency import BackgroundConsistency
from metrics.dynamic_degree import DynamicDegree
from metrics.imaging_quality import ImagingQuality
from metrics.metric import Metric
from metrics.motion_smoothness import MotionSmoothness
from metrics.object_consistency import ObjectConsistency
from metrics.protocol import Protocol
from metrics.tcon import Tcon
from metrics.temporal_style import TemporalStyle
from metrics.tmean import Tmean
from metrics.video_length import VideoLength
from metrics.video_ti import VideoTi

METRICS: dict[str, type[Metric]] = {
    "object_consistency": ObjectConsistency,
    "background_consistency": BackgroundConsistency,
    "motion_smoothness": MotionSmoothness,
    "aesthetic_quality": AestheticQuality,
    "dynamic_degree": DynamicDegree,
    "imaging_quality": ImagingQuality,
    "temporal_style": TemporalStyle,
    "appearance_style": AppearanceStyle,
    "video_ti": VideoTi,
    "tcon": Tcon,
    "tmean": Tmean,
    "video_length_s": VideoLength,
}
"""The paper's: VBench's eight, of which the first six are what its video quality is the mean of,
and its own."""


def make_metrics(names: Sequence[str], protocol: Protocol) -> list[Metric]:
    """Makes metrics under a protocol, in the order of their names.

    Raises:
        ValueError: A name is not known, or comes twice.
    """
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise ValueError(
            f"metrics: {', '.join(unknown)} not known; there are: {', '.join(METRICS)}."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"metrics: {', '.join(names)}: a name comes twice.")
    return [METRICS[name](protocol) for name in names]
