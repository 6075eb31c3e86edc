"""A clip that damages are applied to, with what its maker can give besides its pixels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""A clip's pixels, uint8 (T, H, W, 3), RGB."""

Part = Literal["object", "background"]
"""What a maker can exchange in its own clips."""

Word = Literal["colour", "shape", "motion", "style"]
"""What a maker can say wrongly of its own clips."""


@dataclass(frozen=True)
class Wording:
    """What metrics read of a clip's prompt.

    Attributes:
        text: The prompt.
        style: Its style label, if it has one.
    """

    text: str
    style: str | None = None


@dataclass(frozen=True)
class Specimen:
    """A clip in good order.

    Attributes:
        name: Name of the clip, different for each clip of a trial.
        sha256: Names its pixels: whatever they are read from, other pixels have another hash.
        path: Where it is read from, as a media record says it, or a name if it is in no file.
        frames: Number of frames, at least 1.
        height: Height in pixels.
        width: Width in pixels.
        fps: Frames a second.
        wording: Its prompt, `None` where none is known.
        read: Gives its pixels.
        swapped: Gives the pixels of the same clip with another object or another background, of
            the same size and length, where its maker can do that.
        misworded: Its prompt with one word wrong, all else the same, where its maker can do that.
    """

    name: str
    sha256: str
    path: str
    frames: int
    height: int
    width: int
    fps: float
    wording: Wording | None
    read: Callable[[], Frames]
    swapped: Mapping[Part, Callable[[], Frames]] = field(default_factory=dict)
    misworded: Mapping[Word, Wording] = field(default_factory=dict)
