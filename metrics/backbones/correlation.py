"""The correlation of two frames that RAFT and AMT look at: how alike any two of their pixels are.

Of small frames the products of all pairs of pixels are computed once, as in the papers. Their
number grows with the fourth power of a frame's side: at 3840 x 2160 they would take 90 GB. Of
frames with more than `MOST_PIXELS` only those products are computed that are looked at, each time
anew. The papers' coarser levels hold averages of products. Averaging is linear, so these are
products with averaged features, as which they are computed here: the same numbers but for rounding.

Source: Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020,
section 3.2.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

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
    looked_up_in = OnDemand if large(*features0.shape[-2:]) else AllPairs
    return looked_up_in(features0, features1, levels, radius)


class AllPairs:
    """Looks up products that are all computed before: a `LookUp`.

    All places of a window have the same fractions, so on a CPU its neighbourhood of whole places is
    fetched once and interpolated along x, then along y; `grid_sample`, made for any places, would
    fetch and weigh four numbers for each. On a GPU that is one kernel where the other way is ten.

    Args:
        features0: (B, C, H, W), the pixels that ask.
        features1: (B, C, H, W), the pixels that are looked at.
        levels: Levels of the pyramid.
        radius: Radius of the windows.
    """

    def __init__(self, features0: Tensor, features1: Tensor, levels: int, radius: int) -> None:
        self.radius = radius
        pyramid = _pyramid(features1, levels)
        self.sizes = [(level.shape[-2], level.shape[-1]) for level in pyramid]
        # y fast, as in the windows, so that neighbours are neighbours in memory.
        looked_at = [level.transpose(2, 3).flatten(2) for level in pyramid]
        asking = (features0.float() / features0.shape[1] ** 0.5).flatten(2).transpose(1, 2)
        with torch.autocast(features0.device.type, enabled=False):
            self.levels: Sequence[Tensor]
            if features0.is_cuda:
                self.levels = [asking @ level for level in looked_at]
            else:
                products = asking @ torch.cat(looked_at, dim=2)
                self.levels = products.split([height * width for height, width in self.sizes], 2)

    def __call__(self, places: Tensor) -> Tensor:
        """Samples each level bilinearly."""
        batch, _, height, width = places.shape
        centres = places.flatten(2).transpose(1, 2)
        look = self._sampled if places.is_cuda else self._gathered
        found = [
            look(level, size, centres / 2**number)
            for number, (level, size) in enumerate(zip(self.levels, self.sizes, strict=True))
        ]
        return torch.cat(found, dim=2).view(batch, height, width, -1).permute(0, 3, 1, 2)

    def _gathered(self, level: Tensor, size: tuple[int, int], centres: Tensor) -> Tensor:
        """Windows of a level, fetched whole: (B, H * W, places of a window)."""
        window = Window.around(centres, size, self.radius)
        products = level.gather(2, window.pixels.flatten(2)).view_as(window.pixels)
        return window.interpolated(products).flatten(2)

    def _sampled(self, level: Tensor, size: tuple[int, int], centres: Tensor) -> Tensor:
        """The same, place by place."""
        height, width = size
        steps = torch.arange(-self.radius, self.radius + 1, device=level.device)
        x, y = (centres[..., None] + steps).flatten(0, 1).unbind(dim=1)
        x, y = 2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1
        side = len(steps)
        grid = torch.stack(
            (y[:, None, :].expand(-1, side, -1), x[:, :, None].expand(-1, -1, side)), dim=-1
        )
        planes = level.view(-1, 1, width, height)
        sampled = F.grid_sample(planes, grid, mode="bilinear", align_corners=True)
        return sampled.view(*level.shape[:2], -1)


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
        self.levels = _pyramid(features1, levels)
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
                looked_at = level[sample].transpose(1, 2).flatten(1).T.contiguous()
                size = level.shape[-2], level.shape[-1]
                for start in range(0, height * width, chunk):
                    some = slice(start, start + chunk)
                    around = Window.around(centres[some] / 2**number, size, self.radius)
                    products = looked_at[around.pixels.flatten(1)] @ asking[some, :, None]
                    # Into one tensor: small ones that outlive the large ones here would scatter
                    # over the heap, so that it could never be given back.
                    found[sample, number, :, some] = (
                        around.interpolated(products.view_as(around.pixels)).flatten(1).T
                    )
        return found.view(batch, -1, height, width)


class Window(NamedTuple):
    """Windows in one level of the pyramid: what they touch, and how much each of it counts.

    Attributes:
        pixels: (..., side, side), pixels of the level that lie whole steps apart, x slow and y
            fast, numbered alike. What is outside is replaced by the nearest pixel.
        across: Weights (..., side - 1) of a pixel and (..., side - 1) of its neighbour along x;
            zero for what is outside.
        down: Likewise along y.
    """

    pixels: Tensor
    across: tuple[Tensor, Tensor]
    down: tuple[Tensor, Tensor]

    @classmethod
    def around(cls, centres: Tensor, size: tuple[int, int], radius: int) -> "Window":
        """Windows around places.

        Args:
            centres: (..., 2), x then y, in pixels of the level.
            size: Height and width of the level.
            radius: Radius of the windows. A window between whole places touches one more.
        """
        height, width = size
        whole = centres.floor()
        steps = torch.arange(-radius, radius + 2, device=centres.device)
        x, y = (whole.long()[..., None] + steps).unbind(dim=-2)
        fraction_x, fraction_y = (centres - whole)[..., None].unbind(dim=-2)
        columns, rows = x.clamp(0, width - 1), y.clamp(0, height - 1)
        return cls(
            pixels=(columns * height)[..., :, None] + rows[..., None, :],
            across=_weights(fraction_x, x == columns),
            down=_weights(fraction_y, y == rows),
        )

    def interpolated(self, found: Tensor) -> Tensor:
        """Interpolates what was found at `pixels`: (..., side - 1, side - 1)."""
        here, beyond = (weight[..., None] for weight in self.across)
        found = torch.addcmul(found[..., :-1, :] * here, found[..., 1:, :], beyond)
        here, beyond = (weight[..., None, :] for weight in self.down)
        return torch.addcmul(found[..., :-1] * here, found[..., 1:], beyond)


def _weights(fraction: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    return (1 - fraction) * inside[..., :-1], fraction * inside[..., 1:]


def _pyramid(features: Tensor, levels: int) -> list[Tensor]:
    """Features (B, C, H, W) in float32 and their averages at half the size, a quarter and so on."""
    pyramid = [features.float()]
    while len(pyramid) < levels:
        pyramid.append(F.avg_pool2d(pyramid[-1], 2))
    return pyramid
