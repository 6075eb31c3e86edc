"""Differences between pictures, from their pixels."""

import numpy as np
from numpy.typing import NDArray

CEILING = 60.0
"""Highest ratio in dB; equal pictures have no end."""


def psnr(picture: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two pictures of one shape, in dB, at most `CEILING`."""
    error = float(np.mean((picture.astype(np.float64) - truth) ** 2))
    return min(CEILING, 10 * float(np.log10(255**2 / max(error, 1e-9))))
