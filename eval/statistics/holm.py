"""Holm's adjustment for asking about several metrics at once."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values, so that the chance of any false alarm among them stays below the level.

    Source: Holm, "A simple sequentially rejective multiple test procedure" (1979). It needs no
    independence of the metrics.

    Args:
        p_values: One of each metric, 0 to 1.

    Returns:
        Adjusted p-values in the same order, to be compared with the level itself.
    """
    order = np.argsort(p_values, kind="stable")
    count = len(p_values)
    adjusted = [1.0] * count
    greatest = 0.0
    for place, index in enumerate(order):
        greatest = max(greatest, min(1.0, (count - place) * p_values[index]))
        adjusted[index] = greatest
    return adjusted
