"""How many inputs a forward of a network takes.

The number follows from the frames' size and the kind of device alone, never from free memory.
Matrix kernels round differently for other shapes, so the shape is part of the number.
"""

from metrics.preprocess import Size

FORWARD_FRAMES = 16
"""Most frames in a forward of a network that sees single frames."""

FORWARD_PATCHES = 16_384
"""Patches in a forward, about, of a network that cuts frames of any size into patches."""

FORWARD_PAIRS = 8
"""Most pairs of frames in a forward of a network that sees two."""

PAIR_BYTES = {"cpu": 512 * 2**20, "cuda": 2**31}
"""Memory that the correlation volumes of a forward of pairs may take, about, by kind of device."""


def forward_frames(patches: int) -> int:
    """Frames in each forward, where each makes so many patches."""
    return max(1, min(FORWARD_FRAMES, FORWARD_PATCHES // patches))


def forward_pairs(size: Size, device: str, volumes: int) -> int:
    """Pairs of frames in each forward.

    Args:
        size: Of the frames.
        device: Kind of device.
        volumes: Correlation volumes of a pair. Each holds a number for each two pixels at 1/8 of
            the size, and a third more in its pyramid.
    """
    pixels = -(-size.height // 8) * -(-size.width // 8)
    budget = PAIR_BYTES.get(device, PAIR_BYTES["cpu"])
    return max(1, min(FORWARD_PAIRS, budget // (pixels**2 * 4 * volumes * 4 // 3)))
