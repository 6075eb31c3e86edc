"""Features of frames that follow each other: RAFT's flow, and what AMT puts between two frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from metrics.backbones import amt, raft
from metrics.capture import Row
from metrics.features import sizes
from metrics.features.feature import Choice, EncodedFrameFeature, Facts, FrameFeature
from metrics.networks import Networks
from metrics.preprocess import Size

LARGEST_SHARE = 0.05
"""Share of the pixels, those that move most, whose mean motion stands for a pair of frames."""


@dataclass(frozen=True)
class InterpolationErrors(FrameFeature):
    """How far AMT's guess at every second frame is off, `((T - 1) // 2,)`, on the scale 0..255.

    Frames 0, 2, 4, ... predict frames 1, 3, 5, ... half-way between them, at the native size. The
    prediction is truncated to uint8, as the reference does, and the error is the mean absolute
    difference over pixels and channels. Needs 3 frames.
    """

    backbones = ("amt",)

    @property
    def choices(self) -> dict[str, Choice]:
        """How large motion is estimated, whatever the memory, and how frames are padded."""
        return {"motion_scale": 1.0, "motion_padding": "replicate to 16"}

    def items(self, facts: Facts) -> Sequence[tuple[int, ...]]:
        """The frame before, the one after, the one between."""
        return [(odd - 1, odd + 1, odd) for odd in range(1, facts.frames - 1, 2)]

    def batch(self, size: Size, networks: Networks) -> int:
        """As many as fit; AMT looks from both frames."""
        return sizes.forward_pairs(size, networks.device.type, volumes=2)

    def forward(self, inputs: Row, size: Size, networks: Networks) -> Row:  # noqa: ARG002
        """Interpolates, compares."""
        before, after, between = inputs
        guess = amt.interpolate(networks["amt"], before, after)
        levels = (guess * 255).clamp(0, 255).floor()
        return ((levels - between).abs().double().mean(dim=(1, 2, 3)),)


@dataclass(frozen=True)
class FlowMagnitudes(EncodedFrameFeature):
    """Mean of the largest 5 % of RAFT's flow between neighbouring sampled frames, `(N - 1,)`.

    In pixels; of N sampled frames, 2 at least. The flow is taken at the native size, on the padded
    frames.

    Attributes:
        rate: Frames a second to sample, about: every max(1, round(fps / rate))-th frame is taken.
    """

    rate: float
    backbones = ("raft",)

    @property
    def choices(self) -> dict[str, Choice]:
        """The rate, and how frames are padded: the padding's own flow counts."""
        return {"flow_rate": self.rate, "flow_padding": "replicate to 8"}

    def sampled(self, facts: Facts) -> range:
        """Numbers of the frames that are taken."""
        return range(0, facts.frames, max(1, round(facts.fps / self.rate)))

    def items(self, facts: Facts) -> Sequence[tuple[int, ...]]:
        """Neighbouring sampled frames."""
        return list(pairwise(self.sampled(facts)))

    def batch(self, size: Size, networks: Networks) -> int:
        """As many as fit; RAFT looks from the first frame only."""
        return sizes.forward_pairs(size, networks.device.type, volumes=1)

    def encode(self, inputs: Row, size: Size, networks: Networks) -> Row:  # noqa: ARG002
        """Encodes frames, of which most are in two pairs."""
        return raft.encode(networks["raft"], *inputs)

    def join(self, frames: Sequence[Row]) -> Row:
        """All of the first frame, and of the second what it is compared by."""
        before, after = frames
        return (*before, after[0])

    def forward(self, inputs: Row, size: Size, networks: Networks) -> Row:  # noqa: ARG002
        """Measures flow."""
        *before, after = inputs
        flow = raft.flows_between(networks["raft"], tuple(before), (after,))
        magnitudes = torch.linalg.vector_norm(flow, dim=1).flatten(1)
        count = int(magnitudes.shape[1] * LARGEST_SHARE)
        return (magnitudes.topk(count, dim=1).values.double().mean(dim=1),)
