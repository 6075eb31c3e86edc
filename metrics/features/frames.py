"""Features of single frames: what DINO and CLIP see, how the aesthetic head and MUSIQ rate it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from metrics import preprocess
from metrics.backbones import aesthetic, clip, dino, musiq
from metrics.capture import Row
from metrics.features import sizes
from metrics.features.feature import Choice, Facts, FrameFeature
from metrics.networks import Networks
from metrics.preprocess import Size


class OfEachFrame(FrameFeature):
    """A feature with a row for each frame."""

    def items(self, facts: Facts) -> Sequence[tuple[int, ...]]:
        """Each frame by itself."""
        return [(index,) for index in range(facts.frames)]

    def batch(self, size: Size, networks: Networks) -> int:  # noqa: ARG002
        """As many as fit where frames of all sizes cost the same."""
        return sizes.forward_frames(1)


@dataclass(frozen=True)
class DinoFrames(OfEachFrame):
    """DINO's feature of each frame, `(T, D)` of unit length, from frames that are not cropped."""

    backbones = ("dino",)

    @property
    def choices(self) -> dict[str, Choice]:
        """The resize."""
        return {"dino_resize": "unrounded"}

    def batch(self, size: Size, networks: Networks) -> int:
        """Fewer, the longer the frames are for their height."""
        settings = networks.card("dino").settings
        resized = preprocess.resized(*size, settings.side)
        return sizes.forward_frames(math.prod(length // settings.patch for length in resized))

    def prepare(self, frames: Tensor, networks: Networks) -> Tensor:
        """Resizes without antialiasing or rounding."""
        return preprocess.unrounded(frames, networks.card("dino").preprocessing)

    def forward(self, inputs: Row, size: Size, networks: Networks) -> Row:  # noqa: ARG002
        """Embeds."""
        return (dino.features(networks["dino"], inputs[0]),)


@dataclass(frozen=True)
class ClipFrames(OfEachFrame):
    """CLIP ViT-B/32's embedding of each frame, `(T, D)` of unit length.

    Attributes:
        resize: How frames are resized, by the function's name in `metrics.preprocess`.
        precision: Precision of the network.
    """

    resize: Literal["unrounded", "antialiased"]
    precision: Literal["float32"]
    backbones = ("clip_b32",)

    @property
    def choices(self) -> dict[str, Choice]:
        """The resize and the precision."""
        return {"clip_resize": self.resize, "clip_precision": self.precision}

    def prepare(self, frames: Tensor, networks: Networks) -> Tensor:
        """Resizes as asked."""
        resize = {"unrounded": preprocess.unrounded, "antialiased": preprocess.antialiased}
        return resize[self.resize](frames, networks.card("clip_b32").preprocessing)

    def forward(self, inputs: Row, size: Size, networks: Networks) -> Row:  # noqa: ARG002
        """Embeds."""
        return (clip.image_features(networks["clip_b32"], inputs[0]),)


@dataclass(frozen=True)
class AestheticRatings(OfEachFrame):
    """Rating of each frame by the aesthetic head on CLIP ViT-L/14, `(T,)`, meant for 1 to 10.

    Attributes:
        precision: Precision of CLIP.
    """

    precision: Literal["float32"]
    backbones = ("clip_l14", "aesthetic")

    @property
    def choices(self) -> dict[str, Choice]:
        """The resize and the precision."""
        return {"clip_resize": "unrounded", "clip_precision": self.precision}

    def prepare(self, frames: Tensor, networks: Networks) -> Tensor:
        """Resizes without antialiasing or rounding."""
        return preprocess.unrounded(frames, networks.card("clip_l14").preprocessing)

    def forward(self, inputs: Row, size: Size, networks: Networks) -> Row:  # noqa: ARG002
        """Embeds, rates."""
        embeddings = clip.image_features(networks["clip_l14"], inputs[0])
        return (aesthetic.scores(networks["aesthetic"], embeddings),)


@dataclass(frozen=True)
class QualityScores(OfEachFrame):
    """MUSIQ's score of each frame, `(T,)`, meant for 0 to 100.

    Attributes:
        resize: `longer` brings longer sides above 512 pixels to 512, `none` resizes nothing.
    """

    resize: Literal["longer", "none"]
    backbones = ("musiq",)

    @property
    def choices(self) -> dict[str, Choice]:
        """The resize."""
        return {"imaging_resize": self.resize}

    def batch(self, size: Size, networks: Networks) -> int:
        """Fewer, the larger the frames are."""
        return sizes.forward_frames(
            musiq.tokens(networks.card("musiq").settings, *size, self.resize)
        )

    def forward(self, inputs: Row, size: Size, networks: Networks) -> Row:  # noqa: ARG002
        """Resizes, scores."""
        return (musiq.scores(networks["musiq"], inputs[0], resize=self.resize),)
