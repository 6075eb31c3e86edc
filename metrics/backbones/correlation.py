"""The all-pairs correlation volume of RAFT, which AMT shares.

Source: Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020,
section 3.2.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def coordinates(height: int, width: int, device: torch.device) -> Tensor:
    """Returns each pixel's own place: (1, 2, height, width), x then y."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    return torch.stack([x, y])[None]


def correlate(features0: Tensor, features1: Tensor) -> Tensor:
    """Dot products of all pairs of pixels, divided by the square root of the channels.

    Args:
        features0: (B, C, H, W), the pixels that ask.
        features1: (B, C, H, W), the pixels that are looked up.

    Returns:
        (B, H, W, H, W), the asking pixel first, in float32 whatever the precision around.
    """
    batch, channels, height, width = features0.shape
    with torch.autocast(features0.device.type, enabled=False):
        volume = features0.float().flatten(2).transpose(1, 2) @ features1.float().flatten(2)
    return volume.view(batch, height, width, height, width) / channels**0.5


def pyramid(volume: Tensor, levels: int) -> list[Tensor]:
    """Halves the last two axes of `volume` (B, H, W, H, W) by averages, `levels - 1` times.

    Returns:
        Levels of (B * H * W, 1, H / 2^level, W / 2^level).
    """
    batch, height, width = volume.shape[:3]
    level = volume.reshape(batch * height * width, 1, height, width)
    result = [level]
    for _ in range(levels - 1):
        level = F.avg_pool2d(level, 2)
        result.append(level)
    return result


def look_up(levels: list[Tensor], places: Tensor, radius: int) -> Tensor:
    """Samples a window around a place in each level of a correlation pyramid.

    Bilinear, corners aligned, zero outside. In each window the slow axis moves x and the fast
    axis moves y: the published weights want it so.

    Args:
        levels: What `pyramid` gave.
        places: (B, 2, H, W), where each pixel looks in the other frame, x then y.
        radius: Windows have (2 * radius + 1)^2 places.

    Returns:
        (B, levels * (2 * radius + 1)^2, H, W).
    """
    batch, _, height, width = places.shape
    steps = torch.arange(-radius, radius + 1, device=places.device, dtype=torch.float32)
    window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
    centres = places.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    samples = []
    for level in levels:
        rows, columns = level.shape[-2:]
        x, y = (centres + window).unbind(dim=-1)
        grid = torch.stack([2 * x / (columns - 1) - 1, 2 * y / (rows - 1) - 1], dim=-1)
        sampled = F.grid_sample(level, grid, mode="bilinear", align_corners=True)
        samples.append(sampled.view(batch, height, width, -1))
        centres = centres / 2
    return torch.cat(samples, dim=-1).permute(0, 3, 1, 2).contiguous()
