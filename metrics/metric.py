"""What a metric is: facts about it, the features it needs, and arithmetic from them to a number."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.features import Choice, Facts, Feature, Values
from metrics.protocol import Protocol
from mora.records import Failure, FailureKind, Role

NAMES: Final[Mapping[Role, str]] = {
    Role.INPUT_IMAGE: "an input picture",
    Role.INPUT_VIDEO: "an input video",
    Role.VIDEO_BEFORE: "a video before",
    Role.VIDEO_AFTER: "a video after",
}


class Measurement(NamedTuple):
    """A metric's result for one video.

    Attributes:
        value: The score.
        per_frame: What it was averaged from: float64 `(N,)`, one for each frame or pair of frames
            in the order of time. Empty where a video has only one number.
    """

    value: float
    per_frame: NDArray[np.float64]


@dataclass(frozen=True)
class Metric(ABC):
    """A metric under a protocol.

    Attributes:
        protocol: The choices that its number depends on.
    """

    protocol: Protocol

    name: ClassVar[str]
    """Name in settings, ledgers and files."""
    title: ClassVar[str]
    """Name in tables and reports."""
    unit: ClassVar[str]
    """What one value of `per_frame` is about: a frame, a pair of frames, ..."""
    higher_is_better: ClassVar[bool]
    bounds: ClassVar[tuple[float, float]]
    """Least and greatest value that it can have, or is meant to have where it is not clamped."""
    least_frames: ClassVar[int] = 1
    """Fewest frames (of those that it looks at) that give a number."""
    source: ClassVar[str]
    """Where it is defined."""

    @property
    @abstractmethod
    def features(self) -> tuple[Feature, ...]:
        """The features that `measure` needs."""

    @abstractmethod
    def measure(self, features: Mapping[Feature, Values]) -> Measurement:
        """Computes the score of one video from at least the features that it asked for.

        The result is NaN where the features are.
        """

    @property
    def choices(self) -> dict[str, Choice]:
        """The protocol's choices that this metric's number depends on, by name."""
        chosen: dict[str, Choice] = {"weighting": self.protocol.weighting(self.name)}
        for feature in self.features:
            chosen |= feature.choices
        return chosen

    @property
    def companions(self) -> tuple[Role, ...]:
        """What a video has to have been made from, for the metric to say anything of it."""
        roles = (role for feature in self.features for role in feature.companions)
        return tuple(dict.fromkeys(roles))

    def inapplicable(self, companions: Collection[Role]) -> Failure | None:
        """Says why the metric does not apply to a video made from these; `None` where it does."""
        missing = [role for role in self.companions if role not in companions]
        if not missing:
            return None
        return Failure(
            kind=FailureKind.NOT_APPLICABLE,
            message=f"{self.name} needs {' and '.join(NAMES[role] for role in missing)}.",
        )

    def frames_used(self, facts: Facts) -> int:
        """Frames of the video that it looks at."""
        return facts.frames

    def refusal(self, facts: Facts) -> Failure | None:
        """Says why this video can have no score, before anything is computed; else `None`."""
        inapplicable = self.inapplicable(facts.companions)
        if inapplicable is not None:
            return inapplicable
        used = self.frames_used(facts)
        if used < self.least_frames:
            looked = "" if used == facts.frames else f", of which it looks at {used}"
            return Failure(
                kind=FailureKind.TOO_FEW_FRAMES,
                message=f"{self.name} needs at least {self.least_frames} frames; the video has "
                f"{facts.frames}{looked}.",
            )
        for feature in self.features:
            if feature.text == "prompt" and facts.prompt is None:
                return Failure(
                    kind=FailureKind.NO_PROMPT,
                    message=f"{self.name} compares the video with its prompt, and none is known. "
                    "Give prompts=FILE, or leave the metric out.",
                )
            if feature.text == "style" and facts.style is None:
                return Failure(
                    kind=FailureKind.NO_PROMPT,
                    message=f"{self.name} under protocol={self.protocol.name} compares the video "
                    "with its prompt's tag `style`, and there is none. Tag the prompts, or use a "
                    "protocol with appearance_text: prompt.",
                )
        return None
