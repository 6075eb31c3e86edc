"""The tags of prompts that tables and cards sort them by.

The shipped sets use four: `subjects` (kinds of what is seen, the main one first), `style`, `motion`
(kinds of movement, the main one first) and `moving_objects`. A set may have any others.
"""

from enum import StrEnum
from typing import Final

from mora.records import Prompt

MOVING_OBJECTS: Final = "moving_objects"
"""The tag that says how many things move: 0 to 3 exactly, 4 for more than three."""

SUBJECTS: Final = (
    "animal",
    "person",
    "vehicle",
    "machine",
    "architecture",
    "food",
    "plant",
    "landscape",
    "object",
    "creature",
)
"""Kinds of subjects in the shipped sets; a creature is one that was made up."""

STYLES: Final = (
    "cinematic",
    "documentary",
    "aerial",
    "macro",
    "black and white",
    "vintage film",
    "animation",
    "stop motion",
    "painting",
    "surreal",
)
"""Styles in the shipped sets."""

MOTIONS: Final = (
    "travel",
    "flight",
    "gesture",
    "flow",
    "rotation",
    "transformation",
    "fall",
    "sway",
)
"""Kinds of movement in the shipped sets. Flow is that of liquids, smoke, light, crowds; a gesture
moves hands, limbs or faces; a transformation changes what a thing is: it grows, opens, melts."""


class MovingType(StrEnum):
    """The paper's three types of text-to-video prompts, by how many objects move."""

    TYPE_I = "Type I"
    """One."""
    TYPE_II = "Type II"
    """Two or three."""
    TYPE_III = "Type III"
    """More than three."""


def moving_type(prompt: Prompt) -> MovingType | None:
    """Returns the type of a prompt, `None` if it has no such tag or nothing moves in it."""
    count = prompt.tags.get(MOVING_OBJECTS)
    if not isinstance(count, int) or count < 1:
        return None
    if count == 1:
        return MovingType.TYPE_I
    return MovingType.TYPE_II if count <= 3 else MovingType.TYPE_III


def values(prompt: Prompt, tag: str) -> tuple[str, ...]:
    """Returns what a tag says of a prompt as texts, nothing if it has no such tag."""
    value = prompt.tags.get(tag, ())
    return tuple(value) if isinstance(value, (list, tuple)) else (str(value),)
