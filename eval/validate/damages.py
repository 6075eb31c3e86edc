"""The damages by name: what each does and how strongly.

A strength of 0 is no damage at all. Each damage has a few strengths, rising from hardly noticeable
to severe; a wrong word is wrong or not, and has one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from PIL import Image

from eval.validate import repaint, retime, reword
from eval.validate.specimen import Frames, Part, Specimen, Wording
from metrics.metric import Metric


@dataclass(frozen=True)
class Damage(ABC):
    """One way to spoil a clip.

    Attributes:
        name: Name in settings, tables and files.
        title: Name in plots and pages.
        strengths: Strengths to try, rising, above 0.
        unit: What a strength is, in words.
    """

    name: str
    title: str
    strengths: tuple[float, ...]
    unit: str

    group: ClassVar[str]
    """What is damaged, in one word."""

    def touches(self, metric: Metric) -> bool:  # noqa: ARG002
        """Whether the metric looks at what is damaged; all of them look at pixels."""
        return True

    @abstractmethod
    def applies(self, specimen: Specimen, other: Specimen) -> bool:
        """Whether this clip can be damaged so."""

    def length(self, count: int, strength: float) -> int:  # noqa: ARG002
        """Frames that are left of a clip of `count` frames."""
        return count

    def pixels(
        self,
        specimen: Specimen,
        other: Specimen,  # noqa: ARG002
        strength: float,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Frames:
        """The damaged clip's pixels, uint8 (T, H, W, 3).

        Args:
            specimen: The clip.
            other: Another clip, of any size and length.
            strength: From 0.
            rng: Where chance comes from; equal generators give the same pixels.
        """
        return specimen.read()

    def wording(
        self,
        specimen: Specimen,
        other: Specimen,  # noqa: ARG002
        strength: float,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Wording | None:
        """The prompt that metrics read; arguments as of `pixels`."""
        return specimen.wording


@dataclass(frozen=True)
class Retimed(Damage):
    """Frames are shown at another time, more than once, or not at all."""

    group: ClassVar[str] = "Time"
    retime: Callable[[int, float, np.random.Generator], retime.Numbers]

    def applies(self, specimen: Specimen, other: Specimen) -> bool:  # noqa: ARG002
        """Whether there are two frames at least."""
        return specimen.frames > 1

    def length(self, count: int, strength: float) -> int:
        """Frames that are shown; their number is not left to chance."""
        return len(self.retime(count, strength, np.random.default_rng(0)))

    def pixels(
        self,
        specimen: Specimen,
        other: Specimen,  # noqa: ARG002
        strength: float,
        rng: np.random.Generator,
    ) -> Frames:
        """The frames that are shown."""
        frames = specimen.read()
        return frames[self.retime(len(frames), strength, rng)]


@dataclass(frozen=True)
class Repainted(Damage):
    """Pixels change within their frames."""

    group: ClassVar[str] = "Pixels"
    repaint: Callable[[Frames, float, np.random.Generator], Frames]

    def applies(self, specimen: Specimen, other: Specimen) -> bool:  # noqa: ARG002
        """Any clip has pixels."""
        return True

    def pixels(
        self,
        specimen: Specimen,
        other: Specimen,  # noqa: ARG002
        strength: float,
        rng: np.random.Generator,
    ) -> Frames:
        """The frames with other pixels; at strength 0 the clip's own."""
        frames = specimen.read()
        return self.repaint(frames, strength, rng) if strength else frames


@dataclass(frozen=True)
class Swapped(Damage):
    """The final share of the clip shows something else, with a cut between; never the first frame.

    Attributes:
        what: What is exchanged: the object or the background of the same clip, if its maker can do
            that, or all, for another clip.
    """

    group: ClassVar[str] = "Content"
    what: Part | Literal["clip"]

    def applies(self, specimen: Specimen, other: Specimen) -> bool:  # noqa: ARG002
        """Whether there is something to cut to, and a frame before it."""
        return specimen.frames > 1 and (self.what == "clip" or self.what in specimen.swapped)

    def pixels(
        self,
        specimen: Specimen,
        other: Specimen,
        strength: float,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Frames:
        """The clip until the cut, and from there what is exchanged for it, at the same time."""
        frames = specimen.read()
        count = min(round(strength * len(frames)), len(frames) - 1)
        if not count:
            return frames
        if self.what == "clip":
            return np.concatenate([frames[:-count], _fitted(other.read(), frames)[-count:]])
        return np.concatenate([frames[:-count], specimen.swapped[self.what]()[-count:]])


@dataclass(frozen=True)
class Reworded(Damage):
    """The prompt says something else than the clip shows.

    Attributes:
        reword: Gives the wrong prompt.
        touches_style: Whether the prompt's style label may be wrong, too.
    """

    group: ClassVar[str] = "Prompt"
    reword: reword.Rewording
    touches_style: bool = False

    def touches(self, metric: Metric) -> bool:
        """Whether the metric reads a text that may be wrong."""
        texts = {feature.text for feature in metric.features}
        return "prompt" in texts or (self.touches_style and "style" in texts)

    def applies(self, specimen: Specimen, other: Specimen) -> bool:
        """Whether a wrong wording can be had."""
        rng = np.random.default_rng(0)
        return self.reword(specimen, other, self.strengths[-1], rng) is not None

    def wording(
        self, specimen: Specimen, other: Specimen, strength: float, rng: np.random.Generator
    ) -> Wording | None:
        """The wrong prompt; at strength 0 the clip's own."""
        return self.reword(specimen, other, strength, rng) if strength else specimen.wording


def _fitted(frames: Frames, like: Frames) -> Frames:
    """Frames brought to the length (by going round) and the size of others."""
    frames = frames[np.arange(len(like)) % len(frames)]
    if frames.shape == like.shape:
        return frames
    size = (like.shape[2], like.shape[1])
    scaled = (Image.fromarray(each).resize(size, Image.Resampling.BILINEAR) for each in frames)
    return np.stack([np.asarray(each) for each in scaled])


_SHARES = (0.25, 0.5, 0.75, 1.0)
_TAILS = (0.15, 0.3, 0.5, 0.75)
_LOSSES = (0.2, 0.4, 0.6, 0.8)
_ONCE = (1.0,)

DAMAGES: dict[str, Damage] = {
    damage.name: damage
    for damage in (
        Swapped("object_swap", "Object swap", _TAILS, "share of the frames, at the end", "object"),
        Swapped(
            "background_swap",
            "Background swap",
            _TAILS,
            "share of the frames, at the end",
            "background",
        ),
        Swapped("cut", "Cut to another clip", _TAILS, "share of the frames, at the end", "clip"),
        Retimed("shuffle", "Frame shuffle", _SHARES, "share of the frames", retime.shuffled),
        Retimed("freeze", "Freeze", _SHARES, "share of the frames, held at the end", retime.frozen),
        Retimed("speed_up", "Speed-up", (0.5, 1, 2, 3), "speed is 1 + this", retime.faster),
        Retimed("slow_down", "Slow-down", (0.5, 1, 2, 3), "speed is 1 / (1 + this)", retime.slower),
        Retimed(
            "drop", "Dropped frames", (0.1, 0.2, 0.35, 0.5), "share of the frames", retime.dropped
        ),
        Repainted(
            "jitter",
            "Jitter",
            (0.01, 0.02, 0.04, 0.08),
            "share of the shorter side",
            repaint.jittered,
        ),
        Repainted(
            "flicker",
            "Brightness flicker",
            (0.05, 0.1, 0.2, 0.4),
            "share of the brightness",
            repaint.flickering,
        ),
        Repainted(
            "blur",
            "Blur",
            (0.004, 0.008, 0.016, 0.032),
            "standard deviation as a share of the shorter side",
            repaint.blurred,
        ),
        Repainted("noise", "Noise", (5, 10, 20, 40), "standard deviation in levels", repaint.noisy),
        Repainted("jpeg", "JPEG", (50, 75, 90, 97), "100 minus the quality", repaint.as_jpeg),
        Repainted("h264", "H.264", (30, 37, 44, 51), "constant rate factor", repaint.as_h264),
        Repainted(
            "downscale",
            "Downscaling",
            (0.33, 0.5, 0.75, 0.875),
            "share of width and height that is lost",
            repaint.downscaled,
        ),
        Reworded(
            "wrong_caption", "Wrong caption", _ONCE, "all of it", reword.of_another_clip, True
        ),
        Reworded("wrong_colour", "Wrong colour", _ONCE, "one word", reword.with_wrong("colour")),
        Reworded("wrong_shape", "Wrong shape", _ONCE, "one word", reword.with_wrong("shape")),
        Reworded("wrong_motion", "Wrong motion", _ONCE, "one phrase", reword.with_wrong("motion")),
        Reworded(
            "wrong_style", "Wrong style", _ONCE, "one phrase", reword.with_wrong("style"), True
        ),
        Reworded(
            "lost_words",
            "Lost words",
            (0.2, 0.4, 0.6, 0.8),
            "share of the words",
            reword.without_words,
        ),
        Reworded("word_order", "Word order", _SHARES, "share of the words", reword.in_wrong_order),
    )
}
"""In the order of tables and plots."""
