"""Tmean: does the connecting part go with the videos on both of its sides?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metrics.cosine import cosine
from metrics.features import Choice, Facts, Feature, Of, Values, ViclipVideo
from metrics.metric import Measurement, Metric
from metrics.tcon import no_new_part
from mora.records import Failure, Role


def tmean(part: ArrayLike, before: ArrayLike, after: ArrayLike) -> Measurement:
    """Mean of the connecting part's TCON with the video before it and with the one after.

    Args:
        part: Embedding of the connecting part, `(1, D)`, of any length but 0.
        before: Embedding of the video before, likewise.
        after: Embedding of the video after, likewise.

    Returns:
        The mean, in [-1, 1], and both values of TCON `(2,)`.

    Source: Mora (arXiv:2403.13248), Tmean.
    """
    sides = np.array([cosine(before, part), cosine(after, part)])
    return Measurement(float(sides.mean()), sides)


@dataclass(frozen=True)
class Tmean(Metric):
    """Mean TCON of the connecting part with the videos before and after it."""

    name = "tmean"
    title = "Tmean"
    unit = "neighbour"
    higher_is_better = True
    bounds = (-1.0, 1.0)
    source = "Mora (arXiv:2403.13248), Tmean"

    @property
    def features(self) -> tuple[Feature, ...]:
        """ViCLIP's embeddings of the connecting part and of both neighbours."""
        return (self._part, *self._neighbours)

    @property
    def _part(self) -> ViclipVideo:
        return ViclipVideo(self.protocol.tcon_output)

    @property
    def _neighbours(self) -> tuple[Of, Of]:
        return Of(Role.VIDEO_BEFORE, ViclipVideo()), Of(Role.VIDEO_AFTER, ViclipVideo())

    @property
    def choices(self) -> dict[str, Choice]:
        """Which part of the output counts, and the rest."""
        return {**super().choices, "tcon_output": self.protocol.tcon_output}

    def refusal(self, facts: Facts) -> Failure | None:
        """As every metric, and where the new part is asked for and not known, or empty."""
        return super().refusal(facts) or no_new_part(self.name, facts, self.protocol)

    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Computes the score; see `tmean`."""
        before, after = self._neighbours
        return tmean(features[self._part], features[before], features[after])
