"""The cosine of two embeddings."""

import numpy as np
from numpy.typing import ArrayLike


def cosine(first: ArrayLike, second: ArrayLike) -> float:
    """Cosine of the angle between two vectors, in float64.

    Args:
        first: `(1, D)`, of any length but 0.
        second: `(1, D)`, of any length but 0.

    Returns:
        In [-1, 1]: what rounding leaves beyond is cut off.
    """
    one, other = (np.asarray(each, dtype=np.float64)[0] for each in (first, second))
    value = np.sum(one * other) / (np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.clip(value, -1, 1))
