"""The feature of a whole clip: ViCLIP's embedding."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics import preprocess
from metrics.backbones import viclip
from metrics.capture import Row
from metrics.features.feature import Choice, Facts, FrameFeature, Part, new_frames
from metrics.networks import Networks
from metrics.preprocess import Size

VICLIP_FRAMES = 8
"""Frames that ViCLIP sees."""


@dataclass(frozen=True)
class ViclipVideo(FrameFeature):
    """ViCLIP's embedding of eight frames of the video, `(1, D)` of unit length.

    They are the middle frames of eight equal intervals.

    Attributes:
        part: The whole video, or only its frames that were not given.
    """

    part: Part = "whole"
    backbones = ("viclip",)

    @property
    def choices(self) -> dict[str, Choice]:
        """The resize, and which frames stand for the video."""
        return {"viclip_resize": "rounded", "viclip_frames": "middles of 8 intervals"}

    def items(self, facts: Facts) -> Sequence[tuple[int, ...]]:
        """One group of frames; a shorter video's last frame stands for those that lack."""
        part = range(facts.frames)
        if self.part == "new_part":
            part = part[new_frames(facts)]
        return [tuple(part[each] for each in preprocess.middle_frames(len(part), VICLIP_FRAMES))]

    def batch(self, size: Size, networks: Networks) -> int:  # noqa: ARG002
        """One clip, which is 2,049 tokens."""
        return 1

    def prepare(self, frames: Tensor, networks: Networks) -> Tensor:
        """Resizes with rounding."""
        return preprocess.rounded(frames, networks.card("viclip").preprocessing)

    def forward(self, inputs: Row, size: Size, networks: Networks) -> Row:  # noqa: ARG002
        """Embeds."""
        return (viclip.video_features(networks["viclip"], torch.stack(inputs, dim=1)),)
