"""DINO: a vision transformer that learnt without labels; its class token says what is seen.

The network is timm's vision transformer, whose tensors carry the published names. Two things are
the reference's own: pictures of any size are taken by cutting off what fills no patch, and the
position embedding is resized in the reference's way, which shows in the numbers.

Source: "Emerging Properties in Self-Supervised Vision Transformers" (arXiv:2104.14294).
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from metrics.backbones import published
from metrics.backbones.card import Card, Preprocessing, Shipped
from metrics.backbones.loading import read_card
from mora.checkpoints.tensors import filled


@dataclass(frozen=True)
class DinoSettings:
    """Size of the network.

    Attributes:
        side: Side in pixels of the square pictures that the position embedding is made for.
        patch: Side of a patch in pixels.
        width: Numbers in a token, and in a feature.
        depth: Blocks.
        heads: Attention heads.
    """

    side: int
    patch: int
    width: int
    depth: int
    heads: int


OFFICIAL = published.DINO.card(
    settings=DinoSettings(side=224, patch=16, width=768, depth=12, heads=12),
    preprocessing=Preprocessing(
        side=224,
        interpolation="bilinear",
        mean=IMAGENET_DEFAULT_MEAN,
        std=IMAGENET_DEFAULT_STD,
    ),
)

MINI = Card(
    name="dino_mini",
    weights="mini",
    settings=DinoSettings(side=96, patch=8, width=96, depth=4, heads=3),
    preprocessing=Preprocessing(
        side=96,
        interpolation="bilinear",
        mean=IMAGENET_DEFAULT_MEAN,
        std=IMAGENET_DEFAULT_STD,
    ),
    origin=Shipped("dino/model.safetensors"),
    licence="Apache-2.0",
    source="lab/train/dino.py",
)


class Dino(VisionTransformer):
    """The network: pictures `(B, 3, H, W)`, at least a patch high and wide, to `(B, width)`.

    Args:
        settings: Size of the network.
    """

    def __init__(self, settings: DinoSettings) -> None:
        super().__init__(
            img_size=settings.side,
            patch_size=settings.patch,
            embed_dim=settings.width,
            depth=settings.depth,
            num_heads=settings.heads,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            num_classes=0,
            dynamic_img_size=True,
        )
        self.patch = settings.patch

    def forward(self, pixels: Tensor) -> Tensor:
        """Returns the class token after the last norm, `(B, width)`."""
        height, width = (side - side % self.patch for side in pixels.shape[-2:])
        return super().forward(pixels[..., :height, :width])

    def positions(self, rows: int, columns: int) -> Tensor:
        """Returns the position embedding `(1, 1 + rows * columns, width)` of a grid of patches.

        The learnt grid is resized bicubically at the scale (wanted + 0.1) / learnt. The tenth
        guards the reference's sizes against rounding, but the scale also decides where the grid
        is read, so it stays.
        """
        learnt_rows, learnt_columns = self.patch_embed.grid_size
        if (rows, columns) == (learnt_rows, learnt_columns):
            return self.pos_embed
        first, grid = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        grid = grid.unflatten(1, (learnt_rows, learnt_columns)).permute(0, 3, 1, 2)
        scale = ((rows + 0.1) / learnt_rows, (columns + 0.1) / learnt_columns)
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic")
        return torch.cat([first, grid.flatten(2).transpose(1, 2)], dim=1)

    def _pos_embed(self, x: Tensor) -> Tensor:
        """Puts the class token before patches `(B, rows, columns, width)` and adds positions."""
        batch, rows, columns, _ = x.shape
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1), x.flatten(1, 2)], dim=1)
        return tokens + self.positions(rows, columns)


def load(card: Card[DinoSettings], path: Path, device: torch.device) -> Dino:
    """Loads the network of `card` with the weights in the file `path`, ready to infer.

    Raises:
        WeightsError: The file is absent, unreadable, another one, or does not fit.
    """
    return filled(partial(Dino, card.settings), read_card(card, path), path, device)


@torch.inference_mode()
def features(model: Dino, pixels: Tensor) -> Tensor:
    """Says what pictures show.

    Args:
        model: The network.
        pixels: Normalised `(B, 3, H, W)`, each side at least a patch long.

    Returns:
        float32 `(B, width)` of unit length.
    """
    return F.normalize(model(pixels).float(), dim=-1)
