"""From decoded frames to what a network takes: frames picked, resized, cropped, normalised.

The published metrics feed networks of one size through different resizes, and the numbers depend
on which. The three here are named by what sets them apart:

- `unrounded`: on float frames without antialiasing. A bicubic filter overshoots 0..255 there, and
  the overshoot is kept (DINO, CLIP of background consistency and of aesthetic quality);
- `rounded`: on uint8 frames without antialiasing, so values are clamped and rounded (ViCLIP);
- `antialiased`: on PIL pictures, whose filter widens when it shrinks, whatever is asked of it
  (CLIP of appearance style).

All take frames as uint8 `(T, 3, H, W)` and give float32 `(T, 3, height, width)` on the same device,
as the card's `Preprocessing` says: the shorter side to `side` pixels, the longer one truncated to
an integer, the centre cut out if `crop`, then `(x / 255 - mean) / std`.

Source: the reference programs of VBench (arXiv:2311.17982), torchvision's resize.
"""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from metrics.backbones.card import Preprocessing

_PIL_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def unrounded(frames: Tensor, how: Preprocessing) -> Tensor:
    """Resizes as floats without antialiasing; values beyond 0..255 are kept.

    Args:
        frames: uint8 `(T, 3, H, W)`.
        how: Side, filter, crop, mean and standard deviation.

    Returns:
        float32 `(T, 3, height, width)`, normalised.

    Raises:
        ValueError: `frames` are no uint8 frames, or `how` asks for another kind of resize.
    """
    side = _checked_side(frames, how)
    return _finished(_interpolated(frames, side, how.interpolation), side, how)


def rounded(frames: Tensor, how: Preprocessing) -> Tensor:
    """Resizes without antialiasing, then clamps and rounds to whole levels 0..255.

    Args:
        frames: uint8 `(T, 3, H, W)`.
        how: Side, filter, crop, mean and standard deviation.

    Returns:
        float32 `(T, 3, height, width)`, normalised.

    Raises:
        ValueError: `frames` are no uint8 frames, or `how` asks for another kind of resize.
    """
    side = _checked_side(frames, how)
    levels = _interpolated(frames, side, how.interpolation).clamp(0, 255).round()
    return _finished(levels, side, how)


def antialiased(frames: Tensor, how: Preprocessing) -> Tensor:
    """Resizes each frame as a PIL picture, on the CPU; the result is on the frames' device.

    Args:
        frames: uint8 `(T, 3, H, W)`.
        how: Side, filter, crop, mean and standard deviation.

    Returns:
        float32 `(T, 3, height, width)`, normalised.

    Raises:
        ValueError: `frames` are no uint8 frames, or `how` asks for another kind of resize.
    """
    side = _checked_side(frames, how)
    height, width = resized(frames.shape[-2], frames.shape[-1], side)
    pictures = [
        Image.fromarray(frame).resize((width, height), _PIL_FILTERS[how.interpolation])
        for frame in frames.permute(0, 2, 3, 1).cpu().numpy()
    ]
    levels = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
    return _finished(levels.permute(0, 3, 1, 2).to(frames.device).float(), side, how)


def resized(height: int, width: int, side: int) -> tuple[int, int]:
    """Returns height and width after the shorter side became `side`, the longer one truncated."""
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


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


def _checked_side(frames: Tensor, how: Preprocessing) -> int:
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
    return how.side


def _interpolated(frames: Tensor, side: int, interpolation: str) -> Tensor:
    size = resized(frames.shape[-2], frames.shape[-1], side)
    return F.interpolate(frames.float(), size, mode=interpolation, align_corners=False)


def _finished(levels: Tensor, side: int, how: Preprocessing) -> Tensor:
    """Crops and normalises resized frames on the scale 0..255."""
    if how.crop:
        # Halves go to the even neighbour, as Python rounds: the reference's crop does so too.
        top = round((levels.shape[-2] - side) / 2)
        left = round((levels.shape[-1] - side) / 2)
        levels = levels[..., top : top + side, left : left + side]
    mean = levels.new_tensor(how.mean)[:, None, None]
    std = levels.new_tensor(how.std)[:, None, None]
    return (levels / 255 - mean) / std
