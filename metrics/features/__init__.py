"""Features: what networks make of a decoded video, and metrics make their numbers from.

`feature` says what a feature is; the other modules have one kind each.

Source of all definitions: VBench (arXiv:2311.17982) and its program at 45e79ec.
"""

from metrics.features.clips import ViclipVideo
from metrics.features.feature import (
    Choice,
    Decoded,
    EncodedFrameFeature,
    Facts,
    Feature,
    FrameFeature,
    FrameSize,
    Of,
    Part,
    Seconds,
    Text,
    UnreadableCompanionError,
    Values,
    new_frames,
)
from metrics.features.frames import AestheticRatings, ClipFrames, DinoFrames, QualityScores
from metrics.features.motion import FlowMagnitudes, InterpolationErrors
from metrics.features.texts import ClipText, TextFeature, ViclipText

__all__ = [
    "AestheticRatings",
    "Choice",
    "ClipFrames",
    "ClipText",
    "Decoded",
    "DinoFrames",
    "EncodedFrameFeature",
    "Facts",
    "Feature",
    "FlowMagnitudes",
    "FrameFeature",
    "FrameSize",
    "InterpolationErrors",
    "Of",
    "Part",
    "QualityScores",
    "Seconds",
    "Text",
    "TextFeature",
    "UnreadableCompanionError",
    "Values",
    "ViclipText",
    "ViclipVideo",
    "new_frames",
]
