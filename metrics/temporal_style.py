"""Temporal style: does the video as a whole show what its prompt says, motion included?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metrics.features import Feature, Values, ViclipText, ViclipVideo
from metrics.metric import Measurement, Metric


def temporal_style(video: ArrayLike, text: ArrayLike) -> Measurement:
    """Cosine of the embeddings of a video and of its prompt.

    Args:
        video: `(1, D)`, of any length but 0.
        text: `(1, D)`, of any length but 0.

    Returns:
        The cosine, in [-1, 1], and no values of frames.

    Source: VBench (arXiv:2311.17982), temporal style.
    """
    vectors = [np.asarray(each, dtype=np.float64)[0] for each in (video, text)]
    first, second = (vector / np.linalg.norm(vector) for vector in vectors)
    return Measurement(float(np.sum(first * second)), np.empty(0))


@dataclass(frozen=True)
class TemporalStyle(Metric):
    """Agreement of ViCLIP's embeddings of eight frames and of the prompt.

    The paper reports it as temporal style; VBench computes its overall consistency in the same
    way on other prompts.
    """

    name = "temporal_style"
    title = "Temporal style"
    unit = ""
    higher_is_better = True
    bounds = (-1.0, 1.0)
    source = "VBench (arXiv:2311.17982), temporal_style"

    @property
    def features(self) -> tuple[Feature, ...]:
        """ViCLIP's embeddings of the video and of its prompt."""
        return (ViclipVideo(), ViclipText())

    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Computes the score; see `temporal_style`."""
        return temporal_style(features[ViclipVideo()], features[ViclipText()])
