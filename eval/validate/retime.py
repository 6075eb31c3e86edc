"""Damages to time: which frame of the clip is seen when. Pixels stay as they are.

Each function takes the number of frames, a strength and a random generator, and returns the numbers
of the frames to show, in order. Strength 0 shows the clip as it is. With equal generators a greater
strength includes what a lesser one does.
"""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.intp]
"""Numbers of frames, (N,)."""


def shuffled(count: int, share: float, rng: np.random.Generator) -> Numbers:
    """Lets a share of the frames, chosen at random, change places, so that none keeps its own."""
    order = np.arange(count)
    chosen = rng.permutation(count)[: round(share * count)]
    order[chosen] = np.roll(chosen, 1)
    return order


def frozen(count: int, share: float, rng: np.random.Generator) -> Numbers:  # noqa: ARG001
    """Holds the last frame before the final share of the clip until its end."""
    last = max(0, count - 1 - round(share * count))
    return np.minimum(np.arange(count), last)


def faster(count: int, extra: float, rng: np.random.Generator) -> Numbers:  # noqa: ARG001
    """Skips frames, so that all goes on `1 + extra` times as fast, and the clip gets shorter."""
    return np.arange(0, count, 1 + extra).astype(np.intp)


def slower(count: int, extra: float, rng: np.random.Generator) -> Numbers:  # noqa: ARG001
    """Repeats frames, so that all goes on `1 + extra` times as slowly; the length stays."""
    return (np.arange(count) / (1 + extra)).astype(np.intp)


def dropped(count: int, share: float, rng: np.random.Generator) -> Numbers:
    """Leaves out a share of the frames, chosen at random; never the first."""
    lost = 1 + rng.permutation(count - 1)[: round(share * count)]
    return np.setdiff1d(np.arange(count), lost)
