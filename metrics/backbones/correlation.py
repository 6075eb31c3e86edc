"""The correlation of two frames that RAFT and AMT look at: how alike any two of their pixels are.

Of small frames the products of all pairs of pixels are computed once, as in the papers. Their
number grows with the fourth power of a frame's side: at 3840 x 2160 they would take 90 GB. Of
frames with more than `MOST_PIXELS` only those products are computed that are looked at, each time
anew. Averaging is linear, so the averages of products that the coarser levels hold are products
with averaged features, and both ways give the same numbers but for rounding.

Source: Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020,
section 3.2.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

LookUp = Callable[[Tensor], Tensor]
"""Takes places (B, 2, H, W), where each pixel looks in the other frame, x then y; gives
(B, levels * (2 * radius + 1)^2, H, W). In each window the slow axis moves x and the fast axis moves
y: the published weights want it so. What lies outside the other frame counts as zero."""

MOST_PIXELS = 12_288
"""Pixels of features (1/8 of the frame's sides) up to which all pairs are computed: 0.8 GB."""

GATHERED = 2**22
"""Numbers that are gathered at once where products are computed on demand: 16 MB."""


def coordinates(height: int, width: int, device: torch.device) -> Tensor:
    """Returns each pixel's own place: (1, 2, height, width), x then y."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device, dtype=torch.float32),
        torch.arange(width, device=device, dtype=torch.float32),
        indexing="ij",
    )
    return torch.stack([x, y])[None]


def large(height: int, width: int) -> bool:
    """Says whether frames whose features have this size are too large for all pairs."""
    return height * width > MOST_PIXELS


def one_way(features0: Tensor, features1: Tensor, levels: int, radius: int) -> LookUp:
    """Lets the pixels of one frame look at the other.

    Args:
        features0: (B, C, H, W), the pixels that ask.
        features1: (B, C, H, W), the pixels that are looked at.
        levels: Levels of the pyramid; each halves the size.
        radius: Windows have (2 * radius + 1)^2 places.
    """
    if large(*features0.shape[-2:]):
        return OnDemand(features0, features1, levels, radius)
    return AllPairs(correlate(features0, features1), levels, radius)


def two_way(
    features0: Tensor, features1: Tensor, levels: int, radius: int
) -> tuple[LookUp, LookUp]:
    """Lets the pixels of each frame look at the other: like `one_way`, forth and back."""
    if large(*features0.shape[-2:]):
        forth = OnDemand(features0, features1, levels, radius)
        return forth, OnDemand(features1, features0, levels, radius)
    volume = correlate(features0, features1)
    back = AllPairs(volume.permute(0, 3, 4, 1, 2), levels, radius)
    return AllPairs(volume, levels, radius), back


def correlate(features0: Tensor, features1: Tensor) -> Tensor:
    """Dot products of all pairs of pixels, divided by the square root of the channels.

    Args:
        features0: (B, C, H, W), the pixels that ask.
        features1: (B, C, H, W), the pixels that are looked at.

    Returns:
        (B, H, W, H, W), the asking pixel first, in float32 whatever the precision around.
    """
    batch, channels, height, width = features0.shape
    with torch.autocast(features0.device.type, enabled=False):
        volume = features0.float().flatten(2).transpose(1, 2) @ features1.float().flatten(2)
    return volume.view(batch, height, width, height, width) / channels**0.5


class AllPairs:
    """Looks up products that were all computed before: a `LookUp`.

    Args:
        volume: (B, H, W, H, W), as `correlate` gives it.
        levels: Levels of the pyramid over the last two axes.
        radius: Radius of the windows.
    """

    def __init__(self, volume: Tensor, levels: int, radius: int) -> None:
        batch, height, width = volume.shape[:3]
        level = volume.reshape(batch * height * width, 1, height, width)
        self.levels = [level]
        for _ in range(levels - 1):
            level = F.avg_pool2d(level, 2)
            self.levels.append(level)
        self.radius = radius

    def __call__(self, places: Tensor) -> Tensor:
        """Samples each level bilinearly, corners aligned."""
        batch, _, height, width = places.shape
        steps = torch.arange(
            -self.radius, self.radius + 1, device=places.device, dtype=torch.float32
        )
        window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
        centres = places.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
        samples = []
        for level in self.levels:
            rows, columns = level.shape[-2:]
            x, y = (centres + window).unbind(dim=-1)
            grid = torch.stack([2 * x / (columns - 1) - 1, 2 * y / (rows - 1) - 1], dim=-1)
            sampled = F.grid_sample(level, grid, mode="bilinear", align_corners=True)
            samples.append(sampled.view(batch, height, width, -1))
            centres = centres / 2
        return torch.cat(samples, dim=-1).permute(0, 3, 1, 2).contiguous()


class OnDemand:
    """Computes the products that are looked up, each time: a `LookUp` whose memory is bounded.

    Args:
        features0: (B, C, H, W), the pixels that ask.
        features1: (B, C, H, W), the pixels that are looked at.
        levels: Levels of the pyramid.
        radius: Radius of the windows.
    """

    def __init__(self, features0: Tensor, features1: Tensor, levels: int, radius: int) -> None:
        self.asking = features0.float() / features0.shape[1] ** 0.5
        level = features1.float()
        self.levels = [level]
        for _ in range(levels - 1):
            level = F.avg_pool2d(level, 2)
            self.levels.append(level)
        self.radius = radius

    def __call__(self, places: Tensor) -> Tensor:
        """Computes the products around each place, and samples them bilinearly."""
        batch, _, height, width = places.shape
        window = (2 * self.radius + 1) ** 2
        found = places.new_empty(batch, len(self.levels), window, height * width)
        chunk = max(1, GATHERED // ((2 * self.radius + 2) ** 2 * self.asking.shape[1]))
        for sample in range(batch):
            asking, centres = self.asking[sample].flatten(1).T, places[sample].flatten(1).T
            for number, level in enumerate(self.levels):
                rows = level[sample].flatten(1).T.contiguous()
                size = level.shape[-2], level.shape[-1]
                for start in range(0, height * width, chunk):
                    some = slice(start, start + chunk)
                    # Into one tensor: small ones that outlive the large ones here would scatter
                    # over the heap, so that it could never be given back.
                    found[sample, number, :, some] = self._windows(
                        asking[some], rows, size, centres[some] / 2**number
                    ).T
        return found.view(batch, -1, height, width)

    def _windows(
        self, asking: Tensor, rows: Tensor, size: tuple[int, int], centres: Tensor
    ) -> Tensor:
        """Windows (N, (2 * radius + 1)^2) of pixels around places in one level.

        Args:
            asking: Features (N, C) of the pixels.
            rows: Features (height * width, C) of the level.
            size: Height and width of the level.
            centres: (N, 2), places in pixels of the level.
        """
        height, width = size
        side = 2 * self.radius + 2  # a window between whole places touches one more
        steps = torch.arange(side, device=rows.device) - self.radius
        whole = centres.floor()
        x, y = (whole.long()[:, :, None] + steps).unbind(dim=1)
        x_inside, y_inside = (x >= 0) & (x < width), (y >= 0) & (y < height)
        index = y.clamp(0, height - 1)[:, None, :] * width + x.clamp(0, width - 1)[:, :, None]
        products = (rows[index.flatten(1)] @ asking[:, :, None]).view(-1, side, side)
        products = products * (x_inside[:, :, None] & y_inside[:, None, :])
        right, down = (centres - whole)[:, :, None, None].unbind(dim=1)
        products = products[:, :-1] * (1 - right) + products[:, 1:] * right
        products = products[:, :, :-1] * (1 - down) + products[:, :, 1:] * down
        return products.flatten(1)
