"""How much alike the frames of a video are: the arithmetic of both consistency metrics."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.metric import Measurement


def consistency(features: ArrayLike) -> Measurement:
    r"""Mean likeness of each frame to the one before it and to the first.

    .. math:: \frac{1}{N-1} \sum_{i=1}^{N-1}
        \frac{\max(0, \cos(f_i, f_{i-1})) + \max(0, \cos(f_i, f_0))}{2}

    Args:
        features: One vector a frame, `(N, D)` with N of at least 2, of any length but 0.

    Returns:
        The mean, in [0, 1], and each frame's own likeness from the second frame on, `(N - 1,)`.

    Source: VBench (arXiv:2311.17982), subject and background consistency.
    """
    vectors = np.asarray(features, dtype=np.float64)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    to_previous = np.sum(vectors[1:] * vectors[:-1], axis=1)
    to_first = vectors[1:] @ vectors[0]
    likeness: NDArray[np.float64] = (np.maximum(0, to_previous) + np.maximum(0, to_first)) / 2
    return Measurement(float(likeness.mean()), likeness)
