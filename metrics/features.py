"""Features: what networks make of a decoded video, and metrics make their numbers from.

A feature is both a specification and how to compute it: two metrics that ask for equal features
share one computation.

Numbers do not depend on what else is computed: a network's forward sees frames of one video only,
in their order from the first, and a number of them that follows from their size alone. The last
chunk is filled up by repeating its last frame. Matrix kernels round differently for other shapes,
so the shape is part of the number.

Source of all definitions: VBench (arXiv:2311.17982) and its program at 45e79ec.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics import preprocess
from metrics.backbones import aesthetic, amt, clip, dino, musiq, raft, viclip
from metrics.networks import Networks
from mora.records import Failure, Given, Role

Choice = str | int | float | bool | None
Text = Literal["prompt", "style"]
Part = Literal["whole", "new_part"]
Values = NDArray[np.floating[Any]]

FORWARD_FRAMES = 16
"""Most frames in a forward of a network that sees single frames."""

FORWARD_PATCHES = 16_384
"""Patches in a forward, about, of a network that cuts frames of any size into patches."""

FORWARD_PAIRS = 8
"""Most pairs of frames in a forward of a network that sees two."""

PAIR_BYTES = 512 * 2**20
"""Memory that the correlation volumes of a forward of pairs may take, about."""

LARGEST_SHARE = 0.05
"""Share of the pixels, those that move most, whose mean motion stands for a pair of frames."""


@dataclass(frozen=True)
class Facts:
    """What is known of a video besides its pixels.

    Attributes:
        frames: Number of frames.
        height: Height in pixels.
        width: Width in pixels.
        fps: Frames a second.
        prompt: The prompt, if one is known.
        style: The prompt's style label, if it has one.
        companions: What it is known to have been made from.
        given: Its frames that were taken over from there, if that is known.
    """

    frames: int
    height: int
    width: int
    fps: float
    prompt: str | None = None
    style: str | None = None
    companions: frozenset[Role] = frozenset()
    given: Given | None = None


@dataclass(frozen=True)
class Decoded:
    """A decoded video.

    Attributes:
        frames: uint8 `(T, 3, H, W)`, RGB, on the networks' device.
        facts: What else is known of it.
        companions: What it was made from, decoded when it is first asked for. A picture is a
            video of one frame. Asking raises `UnreadableCompanionError` where that fails.
    """

    frames: Tensor
    facts: Facts
    companions: Mapping[Role, "Decoded"] = field(default_factory=dict)


class UnreadableCompanionError(Exception):
    """What a video was made from cannot be read.

    Attributes:
        failure: Why.
    """

    def __init__(self, role: Role, failure: Failure) -> None:
        super().__init__(f"{role.value}: {failure.message}")
        self.failure = Failure(kind=failure.kind, message=str(self))


class Feature(ABC):
    """One kind of feature of one video. Features are frozen dataclasses, equal by value."""

    @property
    def backbones(self) -> tuple[str, ...]:
        """Networks that it needs, by their names in `metrics.networks`."""
        return ()

    @property
    def companions(self) -> tuple[Role, ...]:
        """What it needs of that which the video was made from."""
        return ()

    @property
    def captioned(self) -> bool:
        """Whether it needs a captioner."""
        return False

    @property
    def text(self) -> Text | None:
        """The text that it needs."""
        return None

    @property
    def choices(self) -> dict[str, Choice]:
        """The protocol's choices that it depends on, by name."""
        return {}

    @abstractmethod
    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Computes the feature.

        Raises:
            FrameTooSmallError: The frames are smaller than the network can take.
            UnreadableCompanionError: What the video was made from cannot be read.
        """


@dataclass(frozen=True)
class Of(Feature):
    """A feature of what the video was made from. It depends on that alone.

    Attributes:
        role: What that is to the video.
        feature: The feature.
    """

    role: Role
    feature: Feature

    @property
    def backbones(self) -> tuple[str, ...]:
        """Those of the feature."""
        return self.feature.backbones

    @property
    def companions(self) -> tuple[Role, ...]:
        """The one that the feature is of."""
        return (self.role,)

    @property
    def choices(self) -> dict[str, Choice]:
        """Those of the feature."""
        return self.feature.choices

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Computes the feature of the companion."""
        return self.feature.compute(video.companions[self.role], networks)


@dataclass(frozen=True)
class Seconds(Feature):
    """Length of the video in seconds, frames/fps, `(1,)`."""

    def compute(self, video: Decoded, networks: Networks) -> Values:  # noqa: ARG002
        """Needs no network."""
        return np.array([video.facts.frames / video.facts.fps], dtype=np.float64)


@dataclass(frozen=True)
class FrameSize(Feature):
    """Height and width in pixels, `(2,)`."""

    def compute(self, video: Decoded, networks: Networks) -> Values:  # noqa: ARG002
        """Needs no network."""
        return np.array([video.facts.height, video.facts.width], dtype=np.float64)


@dataclass(frozen=True)
class DinoFrames(Feature):
    """DINO's feature of each frame, `(T, D)` of unit length, from frames that are not cropped."""

    backbones = ("dino",)

    @property
    def choices(self) -> dict[str, Choice]:
        """The resize."""
        return {"dino_resize": "unrounded"}

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Resizes without antialiasing or rounding, then embeds."""
        card = networks.card("dino")
        how = card.preprocessing

        def embed(frames: Tensor) -> Tensor:
            return dino.features(networks["dino"], preprocess.unrounded(frames, how))

        size = preprocess.resized(video.facts.height, video.facts.width, card.settings.side)
        patches = math.prod(length // card.settings.patch for length in size)
        return _by_frames(embed, video.frames, patches)


@dataclass(frozen=True)
class ClipFrames(Feature):
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

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Resizes as asked, then embeds."""
        how = networks.card("clip_b32").preprocessing
        resize = {"unrounded": preprocess.unrounded, "antialiased": preprocess.antialiased}

        def embed(frames: Tensor) -> Tensor:
            return clip.image_features(networks["clip_b32"], resize[self.resize](frames, how))

        return _by_frames(embed, video.frames)


@dataclass(frozen=True)
class ClipText(Feature):
    """CLIP ViT-B/32's embedding of a text, `(1, D)` of unit length.

    Attributes:
        which: Which text: the whole prompt, or its style label.
        precision: Precision of the network.
    """

    which: Text
    precision: Literal["float32"]
    backbones = ("clip_b32",)

    @property
    def text(self) -> Text:
        """The text that was asked for."""
        return self.which

    @property
    def choices(self) -> dict[str, Choice]:
        """The text and the precision."""
        return {"appearance_text": self.which, "clip_precision": self.precision}

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Embeds the text alone."""
        tokens = networks.tokens("clip_b32", _text(video, self.which))
        return _array(clip.text_features(networks["clip_b32"], tokens))


@dataclass(frozen=True)
class AestheticRatings(Feature):
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

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Resizes without antialiasing or rounding, embeds, rates."""
        how = networks.card("clip_l14").preprocessing

        def rate(frames: Tensor) -> Tensor:
            pixels = preprocess.unrounded(frames, how)
            embeddings = clip.image_features(networks["clip_l14"], pixels)
            return aesthetic.scores(networks["aesthetic"], embeddings)

        return _by_frames(rate, video.frames)


@dataclass(frozen=True)
class QualityScores(Feature):
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

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Scores each frame."""

        def score(frames: Tensor) -> Tensor:
            return musiq.scores(networks["musiq"], frames, resize=self.resize)

        settings = networks.card("musiq").settings
        patches = musiq.tokens(settings, video.facts.height, video.facts.width, self.resize)
        return _by_frames(score, video.frames, patches)


@dataclass(frozen=True)
class InterpolationErrors(Feature):
    """How far AMT's guess at every second frame is off, `((T - 1) // 2,)`, on the scale 0..255.

    Frames 0, 2, 4, ... predict frames 1, 3, 5, ... half-way between them. The prediction is
    truncated to uint8, as the reference does, and the error is the mean absolute difference over
    pixels and channels. Needs 3 frames.
    """

    backbones = ("amt",)

    @property
    def choices(self) -> dict[str, Choice]:
        """How large motion is estimated, whatever the memory, and how frames are padded."""
        return {"motion_scale": 1.0, "motion_padding": "replicate to 16"}

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Interpolates at the native size."""
        count = (len(video.frames) - 1) // 2
        even, odd = video.frames[0 : 2 * count + 1 : 2], video.frames[1 : 2 * count : 2]

        def error(before: Tensor, after: Tensor, between: Tensor) -> Tensor:
            guess = amt.interpolate(networks["amt"], before, after)
            levels = (guess * 255).clamp(0, 255).floor()
            return (levels - between).abs().double().mean(dim=(1, 2, 3))

        return _array(_by_pairs(error, even[:-1], even[1:], odd))


@dataclass(frozen=True)
class FlowMagnitudes(Feature):
    """Mean of the largest 5 % of RAFT's flow between neighbouring sampled frames, `(N - 1,)`.

    In pixels; of N sampled frames, 2 at least. The flow is taken on the padded frames.

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

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Measures flow at the native size."""
        frames = video.frames[:: self.sampled(video.facts).step]

        def largest(frames0: Tensor, frames1: Tensor) -> Tensor:
            flow = raft.flows(networks["raft"], frames0, frames1)
            magnitudes = torch.linalg.vector_norm(flow, dim=1).flatten(1)
            count = int(magnitudes.shape[1] * LARGEST_SHARE)
            return magnitudes.topk(count, dim=1).values.double().mean(dim=1)

        return _array(_by_pairs(largest, frames[:-1], frames[1:]))


@dataclass(frozen=True)
class ViclipVideo(Feature):
    """ViCLIP's embedding of eight frames of the video, `(1, D)` of unit length.

    Attributes:
        part: The whole video, or only its frames that were not given.
    """

    part: Part = "whole"
    backbones = ("viclip",)

    @property
    def choices(self) -> dict[str, Choice]:
        """The resize, and which frames stand for the video."""
        return {"viclip_resize": "rounded", "viclip_frames": "middles of 8 intervals"}

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Takes the middle frames of equal intervals, resizes with rounding, embeds."""
        card = networks.card("viclip")
        frames = video.frames if self.part == "whole" else video.frames[new_frames(video.facts)]
        picked = preprocess.middle_frames(len(frames), card.settings.frames)
        pixels = preprocess.rounded(frames[picked], card.preprocessing)
        return _array(viclip.video_features(networks["viclip"], pixels[None]))


@dataclass(frozen=True)
class ViclipText(Feature):
    """ViCLIP's embedding of the prompt, `(1, D)` of unit length."""

    backbones = ("viclip",)

    @property
    def text(self) -> Text:
        """The prompt."""
        return "prompt"

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Embeds the prompt alone."""
        tokens = networks.tokens("viclip", _text(video, "prompt"))
        return _array(viclip.text_features(networks["viclip"], tokens))


def new_frames(facts: Facts) -> slice:
    """The frames that were made, and not taken over from what the video was made from."""
    if facts.given is None:
        raise ValueError("it is not known which frames are new; a metric has to refuse the video")
    return slice(facts.given.start, max(facts.given.start, facts.frames - facts.given.end))


def forward_pairs(height: int, width: int) -> int:
    """Pairs of frames of this size in each forward.

    The volumes of AMT, the larger ones, hold two numbers for each two pixels at 1/8 of the size,
    and a third more in their pyramids.
    """
    pixels = -(-height // 8) * -(-width // 8)
    return max(1, min(FORWARD_PAIRS, PAIR_BYTES // (pixels**2 * 4 * 2 * 4 // 3)))


def forward_frames(patches: int) -> int:
    """Frames in each forward, where each makes so many patches."""
    return max(1, min(FORWARD_FRAMES, FORWARD_PATCHES // patches))


def _by_frames(forward: Callable[[Tensor], Tensor], frames: Tensor, patches: int = 1) -> Values:
    """Runs `forward` on chunks of frames, of so many patches each, and joins what it gives."""
    size = forward_frames(patches)
    chunks = frames.split(size)
    return _array(torch.cat([forward(_filled(chunk, size))[: len(chunk)] for chunk in chunks]))


def _by_pairs(forward: Callable[..., Tensor], *frames: Tensor) -> Tensor:
    """Runs `forward` on chunks of pairs and joins what it gives for each pair.

    Args:
        forward: Takes chunks of each of `frames`.
        frames: Each (N, 3, H, W): the first frame of each pair, the second, and what else goes
            with the pair.
    """
    size = forward_pairs(*frames[0].shape[-2:])
    chunks = zip(*(each.split(size) for each in frames), strict=True)
    results = [
        forward(*(_filled(each, size) for each in chunk))[: len(chunk[0])] for chunk in chunks
    ]
    return torch.cat(results)


def _filled(chunk: Tensor, size: int) -> Tensor:
    """Repeats the last frame of a chunk until it has `size`."""
    if len(chunk) == size:
        return chunk
    return torch.cat([chunk, chunk[-1:].expand(size - len(chunk), *chunk.shape[1:])])


def _text(video: Decoded, which: Text) -> str:
    text = video.facts.prompt if which == "prompt" else video.facts.style
    if text is None:
        raise ValueError(f"the video has no {which}; a metric that needs it has to refuse it")
    return text


def _array(values: Tensor) -> Values:
    array: Values = values.cpu().numpy()
    return array
