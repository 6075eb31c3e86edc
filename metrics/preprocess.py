"""From decoded frames to what a network takes: frames picked, resized, cropped, normalised.

The published metrics feed networks of one size through different resizes, and the numbers depend
on which. The three here are named by what sets them apart:

- `unrounded`: on float frames without antialiasing. A bicubic filter overshoots 0..255 there, and
  the overshoot is kept (DINO, CLIP of background consistency and of aesthetic quality);
- `rounded`: on uint8 frames without antialiasing, so values are clamped and rounded (ViCLIP);
- `antialiased`: as Pillow resizes pictures, whose filter widens when it shrinks, whatever is asked
  of it (CLIP of appearance style).

All take frames as uint8 `(T, 3, H, W)` and give float32 `(T, 3, height, width)` on the same device,
as the card's `Preprocessing` says: the shorter side to `side` pixels, the longer one truncated to
an integer, the centre cut out if `crop`, then `(x / 255 - mean) / std`.

All raise `ValueError` where `frames` are no uint8 frames or the card asks for another kind of
resize, and `FrameTooSmallError` where frames are too narrow.

Source: the reference programs of VBench (arXiv:2311.17982), torchvision's resize.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from metrics import pillow
from metrics.backbones.card import Preprocessing
from metrics.backbones.padding import check_proportions

AT_ONCE = 2**24
"""Numbers of frames, as floats, that are resized at once, about: 64 MB."""


def unrounded(frames: Tensor, how: Preprocessing) -> Tensor:
    """Resizes as floats without antialiasing; values beyond 0..255 are kept."""
    return _prepared(frames, how, partial(_interpolated, mode=how.interpolation))


def rounded(frames: Tensor, how: Preprocessing) -> Tensor:
    """Resizes without antialiasing, then clamps and rounds to whole levels 0..255."""

    def resize(frames: Tensor, size: Size) -> Tensor:
        return _interpolated(frames, size, how.interpolation).clamp(0, 255).round()

    return _prepared(frames, how, resize)


def antialiased(frames: Tensor, how: Preprocessing) -> Tensor:
    """Resizes each frame as a PIL picture."""

    def resize(frames: Tensor, size: Size) -> Tensor:
        return pillow.resize(frames, size.height, size.width, how.interpolation)

    return _prepared(frames, how, resize)


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int


def resized(height: int, width: int, side: int) -> Size:
    """Returns the size after the shorter side became `side`, the longer one truncated."""
    if height <= width:
        return Size(side, int(side * width / height))
    return Size(int(side * height / width), side)


def middle_frames(count: int, samples: int) -> list[int]:
    """Picks the middle frame of each of `samples` equal intervals.

    The intervals' borders are truncated to whole frames. A video of fewer frames than samples
    gives each of its frames once and then repeats the last.

    Args:
        count: Frames of the video.
        samples: Frames to pick.

    Returns:
        `samples` frame numbers from 0, rising.

    Raises:
        ValueError: The video has no frames.
    """
    if count < 1:
        raise ValueError(f"cannot pick {samples} frames of a video of {count}; it needs at least 1")
    borders = np.linspace(0, count, min(samples, count) + 1).astype(int).tolist()
    picked = [(start + end - 1) // 2 for start, end in pairwise(borders)]
    return picked + picked[-1:] * (samples - len(picked))


def _prepared(
    frames: Tensor, how: Preprocessing, resize: Callable[[Tensor, Size], Tensor]
) -> Tensor:
    """Resizes, crops and normalises frames.

    As floats, all frames of a large video would take gigabytes, so they go in pieces. On a CPU one
    by one is fastest, since a frame stays in its caches. Numbers do not depend on it.

    Args:
        frames: uint8 `(T, 3, H, W)`.
        how: Side, filter, crop, mean and standard deviation.
        resize: Takes frames `(N, 3, H, W)` and a size; gives float32 on the scale 0..255.
    """
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] != 3 or not len(frames):
        raise ValueError(
            f"expected frames as uint8 (T, 3, H, W) with T at least 1, "
            f"found {frames.dtype} {tuple(frames.shape)}"
        )
    if how.side is None or how.fit != "shorter" or how.multiple != 1:
        raise ValueError(
            "these resizes bring the shorter side to a given length and do not pad; "
            f"the card asks for side={how.side}, fit={how.fit!r}, multiple={how.multiple}"
        )
    height, width = frames.shape[-2:]
    check_proportions(height, width)
    size = resized(height, width, how.side)
    pieces = frames.split(at_once(height, width, frames.device))
    levels = torch.cat([_cropped(resize(piece, size), how) for piece in pieces])
    mean = levels.new_tensor(how.mean)[:, None, None]
    std = levels.new_tensor(how.std)[:, None, None]
    return (levels / 255 - mean) / std


def at_once(height: int, width: int, device: torch.device) -> int:
    """Frames of this size that are resized at once."""
    return 1 if device.type == "cpu" else max(1, AT_ONCE // (3 * height * width))


def _interpolated(frames: Tensor, size: Size, mode: str) -> Tensor:
    return F.interpolate(frames.float(), size, mode=mode, align_corners=False)


def _cropped(frames: Tensor, how: Preprocessing) -> Tensor:
    """Cuts the centre out, if the card asks for it."""
    if not how.crop or how.side is None:
        return frames
    # Halves go to the even neighbour, as Python rounds: the reference's crop does so too.
    top, left = (round((side - how.side) / 2) for side in frames.shape[-2:])
    return frames[..., top : top + how.side, left : left + how.side]
