"""Appearance style: do the frames look as the text says?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metrics.features import ClipFrames, ClipText, Feature, Values
from metrics.metric import Measurement, Metric


def appearance_style(frames: ArrayLike, text: ArrayLike) -> Measurement:
    """Mean cosine of the embeddings of frames and of a text.

    Args:
        frames: One vector a frame, `(N, D)` with N of at least 1, of any length but 0.
        text: `(1, D)`, of any length but 0.

    Returns:
        The mean, in [-1, 1], and each frame's own cosine `(N,)`.

    Source: VBench (arXiv:2311.17982), appearance style.
    """
    pictures = np.asarray(frames, dtype=np.float64)
    words = np.asarray(text, dtype=np.float64)[0]
    pictures = pictures / np.linalg.norm(pictures, axis=1, keepdims=True)
    cosines = pictures @ (words / np.linalg.norm(words))
    return Measurement(float(cosines.mean()), cosines)


@dataclass(frozen=True)
class AppearanceStyle(Metric):
    """Agreement of CLIP's embeddings of each frame and of the style label or the prompt."""

    name = "appearance_style"
    title = "Appearance style"
    unit = "frame"
    higher_is_better = True
    bounds = (-1.0, 1.0)
    source = "VBench (arXiv:2311.17982), appearance_style"

    @property
    def features(self) -> tuple[Feature, ...]:
        """CLIP embeddings of all frames, resized as pictures, and of the text."""
        return (self._frames, self._text)

    @property
    def _frames(self) -> ClipFrames:
        return ClipFrames("antialiased", self.protocol.clip_precision)

    @property
    def _text(self) -> ClipText:
        return ClipText(self.protocol.appearance_text, self.protocol.clip_precision)

    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Computes the score; see `appearance_style`."""
        return appearance_style(features[self._frames], features[self._text])
