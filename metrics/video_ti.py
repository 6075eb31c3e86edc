"""VideoTI: does the video show what the input picture and the instruction ask for, in words?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metrics.captions import AskedSentence, ShownSentence
from metrics.cosine import cosine
from metrics.features import Feature, Values
from metrics.metric import Measurement, Metric


def video_ti(asked: ArrayLike, shown: ArrayLike) -> Measurement:
    """Cosine of the embeddings of two texts.

    Args:
        asked: Of the input picture's caption and the instruction, `(1, D)`, of any length but 0.
        shown: Of the output video's caption, likewise.

    Returns:
        The cosine, in [-1, 1], and no values of frames.

    Source: Mora (arXiv:2403.13248), VideoTI.
    """
    return Measurement(cosine(asked, shown), np.empty(0))


@dataclass(frozen=True)
class VideoTi(Metric):
    """Agreement of sentence embeddings of what was asked for and of what the video shows."""

    name = "video_ti"
    title = "VideoTI"
    unit = ""
    higher_is_better = True
    bounds = (-1.0, 1.0)
    source = "Mora (arXiv:2403.13248), VideoTI"

    @property
    def features(self) -> tuple[Feature, ...]:
        """Both embeddings."""
        return (self._asked, self._shown)

    @property
    def _asked(self) -> AskedSentence:
        return AskedSentence(self.protocol.picture_question, self.protocol.bert_pooling)

    @property
    def _shown(self) -> ShownSentence:
        return ShownSentence(
            self.protocol.video_question, self.protocol.caption_frames, self.protocol.bert_pooling
        )

    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Computes the score; see `video_ti`."""
        return video_ti(features[self._asked], features[self._shown])
