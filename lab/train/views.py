"""Random square views of pictures, cut out and resized on the device."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cut_views(pictures: Tensor, side: int, shares: tuple[float, float]) -> Tensor:
    """Cuts one square out of each picture, at a random place and of a random size.

    A view of the whole picture has the very pixels of the metrics' bicubic resize without
    antialiasing.

    Args:
        pictures: Square pictures (B, C, S, S); what shares a first index is cut in one place.
        side: Side of the views in pixels.
        shares: Least and greatest side of the square, as a share of S.

    Returns:
        Views (B, C, side, side).
    """
    batch, channels = pictures.shape[:2]
    low, high = shares
    share = low + (high - low) * torch.rand(batch, device=pictures.device)
    centre = (1 - share) * (2 * torch.rand(2, batch, device=pictures.device) - 1)
    none = torch.zeros_like(share)
    frames = torch.stack((share, none, centre[0], none, share, centre[1]), 1).view(-1, 2, 3)
    grid = F.affine_grid(frames, [batch, channels, side, side], align_corners=False)
    return F.grid_sample(pictures, grid, mode="bicubic", padding_mode="border", align_corners=False)
