"""The miniature world's own captioner: reads the main object from pixels and says what it does.

It is for VideoTI on miniature models what a vision-language model is on full-sized ones, and knows
only this world: of other pictures it says nonsense.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from lab.world.caption import COLOUR_WORDS, SHAPE_WORDS, SPEED_WORDS, VERBS
from lab.world.scene import SpeedName

if TYPE_CHECKING:
    from lab.world.measure import Reading

NOTHING: Final = "An empty background."
"""What is said where no object is found."""

_SLOW: Final = 0.25
_FAST: Final = 0.41
"""Units a second, half-way between the speeds that scenes are drawn with."""


@dataclass(frozen=True)
class WorldReader:
    """Says colour, shape and motion of the main object, in the words of the world's captions."""

    @property
    def settings(self) -> Mapping[str, str | int | float | bool | None]:
        """Its name; there is nothing to set."""
        return {"name": "world_reader"}

    def load(self) -> None:
        """There is nothing to make ready."""

    def caption(self, frames: NDArray[np.uint8], fps: float, question: str) -> str:  # noqa: ARG002
        """Describes a clip or a picture of the world.

        Args:
            frames: uint8 `(T, H, W, 3)`, RGB; of one frame it says no motion.
            fps: Frames a second, for the speed.
            question: Is ignored: it can say only one thing.
        """
        from lab.world.measure import measure

        return said(measure(frames, fps=fps))


def said(reading: "Reading") -> str:
    """Says in a sentence what was read."""
    if reading.colour is None or reading.shape is None:
        return NOTHING
    thing = f"{COLOUR_WORDS[reading.colour][0]} {SHAPE_WORDS[reading.shape][0]}"
    article = "An" if thing[0] in "aeiou" else "A"
    return f"{' '.join([article, thing, *_doing(reading)])}."


def _doing(reading: "Reading") -> list[str]:
    if reading.direction is None:
        return []
    if reading.direction == "other":
        return ["moves", "around"]
    verb, _, complement = VERBS[reading.direction][0]
    if reading.direction == "still":
        return [verb, complement]
    speed: SpeedName = (
        "slow" if reading.speed < _SLOW else "fast" if reading.speed > _FAST else "normal"
    )
    return [verb, complement, SPEED_WORDS[speed][0]]
