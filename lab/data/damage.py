"""Damage of known kind and strength, on the device.

Strength runs from 0, which leaves the picture as it is to the bit, to 1. The scales below were set
by eye and by structural similarity, so that one strength is about as bad in each kind. Each picture
of a batch has its own kind and strength. Shapes are fixed by the arguments and no value is looked
at, so that a training step may be captured as a CUDA graph.
"""

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

KINDS = ("blur", "noise", "jpeg", "downscale")
"""Names of the kinds; a kind's number is its place here."""

BLUR_SIGMA = (0.4, 4.0)
"""Standard deviation of the Gaussian in pixels, at strengths near 0 and at 1; linear between."""

NOISE_STD = 0.2
"""Standard deviation of the noise at strength 1, of pictures in [0, 1]; it grows as the square."""

JPEG_QUALITY = (75.0, 2.0)
"""Quality on libjpeg's scale, at strengths near 0 and at 1; geometric between."""

DOWNSCALE = (1.0, 7.0)
"""Factor of the downscaling, at strengths near 0 and at 1; linear between."""

_BLUR_RADIUS = 12
_BLOCK = 8

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Table K.1 of ITU-T T.81, quantisation of luminance."""

_CHROMA_CORNER = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
_CHROMA_REST = 99
"""Table K.2, of chrominance: its four lowest frequencies each way, and the value of all others."""

_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def damage(pictures: Tensor, kind: Tensor, strength: Tensor) -> Tensor:
    """Damages each picture in its own way.

    Args:
        pictures: (B, 3, H, W), RGB in [0, 1].
        kind: (B,), whole numbers, places in `KINDS`.
        strength: (B,), from 0 to 1.

    Returns:
        (B, 3, H, W) in [0, 1]; where the strength is 0, the picture itself.
    """
    best, worst = JPEG_QUALITY
    with torch.autocast(pictures.device.type, enabled=False):
        damaged = torch.stack(
            [
                blurred(pictures, BLUR_SIGMA[0] + (BLUR_SIGMA[1] - BLUR_SIGMA[0]) * strength),
                noisy(pictures, NOISE_STD * strength**2),
                compressed(pictures, best * (worst / best) ** strength),
                downscaled(pictures, DOWNSCALE[0] + (DOWNSCALE[1] - DOWNSCALE[0]) * strength),
            ]
        )
        chosen = damaged[kind, torch.arange(len(pictures), device=pictures.device)]
        return torch.where(strength[:, None, None, None] > 0, chosen, pictures)


def blurred(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with standard deviations `sigma` (B,) in pixels, the border repeated."""
    batch, channels, height, width = pictures.shape
    steps = torch.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1, device=pictures.device)
    kernel = torch.softmax(-0.5 * (steps / sigma.clamp(min=1e-3)[:, None]) ** 2, dim=1)
    kernel = kernel.repeat_interleave(channels, 0)[:, None]
    x = F.pad(pictures, (_BLUR_RADIUS,) * 4, mode="replicate").flatten(0, 1)[None]
    x = F.conv2d(x, kernel[..., None], groups=batch * channels)
    x = F.conv2d(x, kernel[..., None, :], groups=batch * channels)
    return x.view(batch, channels, height, width)


def noisy(pictures: Tensor, std: Tensor) -> Tensor:
    """White Gaussian noise of standard deviations `std` (B,), then a clamp to [0, 1]."""
    noise = torch.randn_like(pictures) * std[:, None, None, None]
    return (pictures + noise).clamp(0, 1)


def compressed(pictures: Tensor, quality: Tensor) -> Tensor:
    """What baseline JPEG with 4:2:0 chroma leaves of pictures, but for its rounding of pixels.

    Args:
        pictures: (B, 3, H, W), RGB in [0, 1].
        quality: (B,), libjpeg's scale from 1 to 100.
    """
    tables = _jpeg_tables(pictures.device)
    height, width = pictures.shape[-2:]
    padded = F.pad(pictures, (0, -width % 16, 0, -height % 16), mode="replicate")
    luma, chroma = _colours(tables.to_ycc, 255 * padded).tensor_split([1], dim=1)
    luma = _quantised(luma - 128, tables.luma, quality, tables.dct) + 128
    chroma = _quantised(F.avg_pool2d(chroma, 2), tables.chroma, quality, tables.dct)
    chroma = F.interpolate(chroma, scale_factor=2.0, mode="bilinear", align_corners=False)
    rgb = _colours(tables.to_rgb, torch.cat([luma, chroma], dim=1)) / 255
    return rgb[..., :height, :width].clamp(0, 1)


def downscaled(pictures: Tensor, factor: Tensor) -> Tensor:
    """Shrinks by averages over `factor` (B,) pixels each way, and enlarges bilinearly again."""
    height, width = pictures.shape[-2:]
    rows, columns = _there_and_back(height, factor), _there_and_back(width, factor)
    return rows[:, None] @ pictures @ columns[:, None].mT


def _there_and_back(size: int, factor: Tensor) -> Tensor:
    """Both steps along one axis as matrices (B, size, size), so that factors may be any number."""
    small = torch.arange(size, device=factor.device)[:, None]
    large = torch.arange(size, device=factor.device)
    factor = factor[:, None, None]
    left, right = small * factor, (small + 1) * factor
    averages = (torch.minimum(right, large + 1) - torch.maximum(left, large)).clamp(min=0)
    averages = averages / averages.sum(-1, keepdim=True).clamp(min=1e-6)
    last = torch.ceil(size / factor - 1e-4) - 1
    place = ((large + 0.5) / factor - 0.5).clamp(min=0).minimum(last).mT
    weights = (1 - (place - small.mT).abs()).clamp(min=0)
    return weights @ averages


class _Tables(NamedTuple):
    """JPEG's constants as tensors: quantisation, discrete cosine transform, colour spaces."""

    luma: Tensor
    chroma: Tensor
    dct: Tensor
    to_ycc: Tensor
    to_rgb: Tensor


@cache
def _jpeg_tables(device: torch.device) -> _Tables:
    """Copied from the host once a device: such a copy could not be captured in a CUDA graph."""
    frequency, place = torch.arange(_BLOCK)[:, None], torch.arange(_BLOCK)
    dct = torch.cos(math.pi * (place + 0.5) * frequency / _BLOCK) * math.sqrt(2 / _BLOCK)
    dct[0] /= math.sqrt(2)
    luma = torch.tensor(_LUMA, dtype=torch.float32)
    corner = torch.tensor(_CHROMA_CORNER, dtype=torch.float32)
    rest = _BLOCK - len(corner)
    chroma = F.pad(corner, (0, rest, 0, rest), value=_CHROMA_REST)
    matrices = (torch.tensor(matrix) for matrix in (_TO_YCC, _TO_RGB))
    return _Tables(*(tensor.to(device) for tensor in (luma, chroma, dct, *matrices)))


def _quantised(planes: Tensor, table: Tensor, quality: Tensor, dct: Tensor) -> Tensor:
    """Rounds the cosine coefficients of 8 x 8 blocks of `planes` (B, C, H, W)."""
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    steps = ((table * scale + 50) / 100).floor().clamp(1, 255)[:, None, None, None]
    blocks = planes.unfold(2, _BLOCK, _BLOCK).unfold(3, _BLOCK, _BLOCK)
    coefficients = dct @ blocks @ dct.mT
    coefficients = torch.round(coefficients / steps) * steps
    blocks = dct.mT @ coefficients @ dct
    return blocks.transpose(3, 4).reshape(planes.shape)


def _colours(matrix: Tensor, pictures: Tensor) -> Tensor:
    return torch.einsum("oc,bchw->bohw", matrix, pictures)
