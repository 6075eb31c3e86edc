"""Pillow's resize of pictures on any device, the same to the last level.

Pillow resizes 8-bit pictures along x, then along y, each time rounding to whole levels. Since 13.0
it begins with y where the height shrinks more than the width, which moves some levels by one, so
here it is told to do the one after the other: numbers do not depend on its version.

On other devices than a CPU each pass is a product with a matrix. Pillow's weights are whole numbers
of 22 binary digits, so that all sums are whole numbers below 2^53, which float64 holds exactly in
any order.

Source: Pillow's `Resample.c`.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Filter = Literal["bilinear", "bicubic"]

DIGITS = 22
"""Binary digits behind the point of a weight."""

_REACH = {"bilinear": 1.0, "bicubic": 2.0}
"""How far a filter reaches to each side, in pixels of the smaller of both sizes."""


_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def resize(frames: Tensor, height: int, width: int, kind: Filter) -> Tensor:
    """Resizes frames as Pillow does. Where a filter shrinks it widens, so that nothing is skipped.

    Args:
        frames: uint8 (T, C, H, W), C of 3 on a CPU.
        height: New height.
        width: New width.
        kind: The filter.

    Returns:
        Whole levels 0 to 255 as float32 (T, C, height, width), on the frames' device.
    """
    if frames.device.type != "cpu":
        return by_matrices(frames, height, width, kind)
    resized = np.empty((len(frames), height, width, 3), dtype=np.uint8)
    for frame, result in zip(frames.permute(0, 2, 3, 1).numpy(), resized, strict=True):
        picture = Image.fromarray(frame)
        across = picture.resize((width, picture.height), _FILTERS[kind])
        result[:] = np.asarray(across.resize((width, height), _FILTERS[kind]))
    return torch.from_numpy(resized).permute(0, 3, 1, 2).float()


def by_matrices(frames: Tensor, height: int, width: int, kind: Filter) -> Tensor:
    """Like `resize`, by products in float64 on the frames' own device."""
    across = weights(frames.shape[-1], width, kind).to(frames.device)
    down = weights(frames.shape[-2], height, kind).to(frames.device)
    rows = _levels(frames.double() @ across.T)
    return _levels(down @ rows).float()


@lru_cache(maxsize=32)
def weights(size: int, wanted: int, kind: Filter) -> Tensor:
    """Weights of `size` pixels in each of `wanted`: whole numbers, float64 (wanted, size)."""
    scale = size / wanted
    widened = max(scale, 1.0)
    reach = _REACH[kind] * widened
    centres = (np.arange(wanted) + 0.5) * scale
    first = (centres - reach + 0.5).astype(int).clip(min=0)
    last = (centres + reach + 0.5).astype(int).clip(max=size)
    rows = np.arange(wanted)
    matrix = np.zeros((wanted, size))
    total = np.zeros(wanted)
    for step in range(int((last - first).max())):
        there = first + step
        inside = there < last
        weight = _curve((there - centres + 0.5) * (1.0 / widened), kind) * inside
        total += weight  # one after the other, as Pillow does: sums of doubles depend on the order
        matrix[rows[inside], there[inside]] = weight[inside]
    matrix /= total[:, None]
    whole = np.trunc(matrix * 2**DIGITS + np.where(matrix < 0, -0.5, 0.5))
    return torch.from_numpy(whole)


def _curve(x: NDArray[np.float64], kind: Filter) -> NDArray[np.float64]:
    """The filter's weight at a distance in pixels."""
    x = np.abs(x)
    if kind == "bilinear":
        return np.where(x < 1, 1 - x, 0.0)
    sharpness = -0.5
    near = ((sharpness + 2) * x - (sharpness + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * sharpness
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _levels(sums: Tensor) -> Tensor:
    """Weighted sums as whole levels: half and more is rounded up."""
    return ((sums + 2 ** (DIGITS - 1)) * 2.0**-DIGITS).floor_().clamp_(0, 255)
