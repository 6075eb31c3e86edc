"""What a feature is: what networks make of a decoded video, and metrics make their numbers from.

A feature is both a specification and how to compute it: two metrics that ask for equal features
share one computation.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metrics.batching import Lanes, Reading
from metrics.capture import Row
from metrics.networks import Networks
from metrics.preprocess import Size
from mora.records import Failure, Given, Role

Choice = str | int | float | bool | None
Text = Literal["prompt", "style"]
Part = Literal["whole", "new_part"]
Values = NDArray[np.floating[Any]]
Stage = Callable[[Row, Size, Networks], Row]
"""What networks make of inputs of frames of a size."""


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


class FrameFeature(Feature):
    """A feature that a network makes from frames: a row for each frame, pair or group of frames.

    It is computed by the stages below. The stages of many videos share their forwards, see
    `metrics.batching`. `forward` never looks at a value from the host, so that a GPU can record
    and replay it.
    """

    @abstractmethod
    def items(self, facts: Facts) -> Sequence[tuple[int, ...]]:
        """Numbers of the frames that each row is made from, in the order of the rows.

        All have the same length. The greatest number of each is not less than that of the one
        before.
        """

    @abstractmethod
    def batch(self, size: Size, networks: Networks) -> int:
        """Inputs in each forward, for frames of this size. It is part of the number."""

    def prepare(self, frames: Tensor, networks: Networks) -> Tensor:  # noqa: ARG002
        """Makes of frames what the network takes: each frame by itself.

        Args:
            frames: uint8 `(n, 3, H, W)` on the networks' device.
            networks: The networks.

        Returns:
            A tensor whose first axis is `n`.

        Raises:
            FrameTooSmallError: The frames are smaller than the network can take.
        """
        return frames

    @property
    def encoder(self) -> Stage | None:
        """What frames go through one by one before they meet in `forward`; `None` for nothing."""
        return None

    def join(self, frames: Sequence[Row]) -> Row:
        """Puts together what `forward` takes for one row: of each of its frames all that there is.

        Args:
            frames: For each frame what `prepare` gave.
        """
        return tuple(tensor for frame in frames for tensor in frame)

    @abstractmethod
    def forward(self, inputs: Row, size: Size, networks: Networks) -> Row:
        """Computes rows.

        Args:
            inputs: What `join` gave, each tensor `(batch, ...)`.
            size: Of the frames.
            networks: The networks.

        Returns:
            One tensor, `(batch, ...)`.
        """

    def collect(self, rows: Values) -> Values:
        """Makes of all rows of a video the feature."""
        return rows

    def compute(self, video: Decoded, networks: Networks) -> Values:
        """Computes the feature of one video, sharing forwards with none.

        Raises:
            FrameTooSmallError: The frames are smaller than the network can take.
        """
        lanes = Lanes(networks)
        reading = Reading(self, video.facts, lanes, video)
        for first in range(0, len(video.frames), PIECE):
            reading.read(first, video.frames[first : first + PIECE])
        lanes.flush()
        if reading.error is not None:
            raise reading.error
        return self.collect(reading.values().cpu().numpy())


class EncodedFrameFeature(FrameFeature):
    """A feature of frames that meet only after each was encoded by itself.

    A frame that several rows are made from is encoded once. `join` is given what `encode` gave.
    """

    @property
    def encoder(self) -> Stage:
        """Encodes them."""
        return self.encode

    @abstractmethod
    def encode(self, inputs: Row, size: Size, networks: Networks) -> Row:
        """Encodes frames. Like `forward`, it never looks at a value from the host.

        Args:
            inputs: What `prepare` gave, `(batch, ...)`.
            size: Of the frames.
            networks: The networks.

        Returns:
            Tensors whose first axis is `batch`.
        """


PIECE: Final = 16
"""Frames that are prepared at once where a whole video is there."""


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


def new_frames(facts: Facts) -> slice:
    """The frames that were made, and not taken over from what the video was made from."""
    if facts.given is None:
        raise ValueError("it is not known which frames are new; a metric has to refuse the video")
    return slice(facts.given.start, max(facts.given.start, facts.frames - facts.given.end))
