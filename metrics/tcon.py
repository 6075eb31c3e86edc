"""TCON: is the video of a piece with the one that it was made from?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from metrics.cosine import cosine
from metrics.features import Choice, Facts, Feature, Of, Values, ViclipVideo, new_frames
from metrics.metric import Measurement, Metric
from metrics.protocol import Protocol
from mora.records import Failure, FailureKind, Role


def tcon(first: ArrayLike, second: ArrayLike) -> Measurement:
    """Cosine of the embeddings of two videos.

    Args:
        first: `(1, D)`, of any length but 0.
        second: `(1, D)`, of any length but 0.

    Returns:
        The cosine, in [-1, 1], the same in either order, and no values of frames.

    Source: Mora (arXiv:2403.13248), temporal consistency.
    """
    return Measurement(cosine(first, second), np.empty(0))


@dataclass(frozen=True)
class Tcon(Metric):
    """Agreement of ViCLIP's embeddings of the input video and of the output video."""

    name = "tcon"
    title = "TCON"
    unit = ""
    higher_is_better = True
    bounds = (-1.0, 1.0)
    source = "Mora (arXiv:2403.13248), TCON"

    @property
    def features(self) -> tuple[Feature, ...]:
        """ViCLIP's embeddings of both videos."""
        return (self._output, self._input)

    @property
    def _output(self) -> ViclipVideo:
        return ViclipVideo(self.protocol.tcon_output)

    @property
    def _input(self) -> Of:
        return Of(Role.INPUT_VIDEO, ViclipVideo())

    @property
    def choices(self) -> dict[str, Choice]:
        """Which part of the output counts, and the rest."""
        return {**super().choices, "tcon_output": self.protocol.tcon_output}

    def refusal(self, facts: Facts) -> Failure | None:
        """As every metric, and where the new part is asked for and not known, or empty."""
        return super().refusal(facts) or no_new_part(self.name, facts, self.protocol)

    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Computes the score; see `tcon`."""
        return tcon(features[self._input], features[self._output])


def no_new_part(metric: str, facts: Facts, protocol: Protocol) -> Failure | None:
    """Says why there is no new part to look at where the protocol wants one; else `None`."""
    if protocol.tcon_output == "whole":
        return None
    if facts.given is None:
        return Failure(
            kind=FailureKind.NOT_STATED,
            message=f"{metric} looks at the new part of a video, and it is not known how many of "
            "its frames were given. State given_start and given_end in the list of videos (0 "
            "where none was), or use protocol.tcon_output=whole.",
        )
    new = new_frames(facts)
    if new.start < new.stop:
        return None
    return Failure(
        kind=FailureKind.TOO_FEW_FRAMES,
        message=f"{metric} looks at the new part of a video; of its {facts.frames} frames "
        f"{facts.given.start} at the start and {facts.given.end} at the end were given, so none "
        "is new.",
    )
