"""MUSIQ, the image quality network of imaging quality.

Source: Ke, Wang, Wang, Milanfar and Yang, "MUSIQ: Multi-scale Image Quality Transformer", ICCV
2021; the network and the published weights, trained on SPAQ, are those of pyiqa.

A picture is cut into patches at its own size and at two smaller ones, so that a picture of any
size and shape is judged as it is. pyiqa is imported where it is used: it takes seconds.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metrics.backbones import published
from metrics.backbones.card import Card, Preprocessing, Shipped
from metrics.backbones.loading import read_card
from metrics.backbones.padding import check_proportions
from mora.checkpoints.tensors import filled

LIMIT = 512
"""Side in pixels to which `scores` shrinks what is longer."""

PATCHES = 1024
"""Patches that are embedded at once; each takes 0.2 MB meanwhile."""

Resize = Literal["longer", "shorter", "none"]
"""Which side is shrunk to `LIMIT` where it exceeds it, the aspect ratio kept."""


@dataclass(frozen=True)
class MusiqSettings:
    """Sizes of the network, under the names of pyiqa's arguments. The defaults are the published.

    Attributes:
        patch_size: Side of a patch in pixels.
        hidden_size: Width of the transformer.
        mlp_dim: Hidden width of its feed-forward layers.
        num_heads: Attention heads.
        num_layers: Transformer blocks.
        spatial_pos_grid_size: Side of the grid that patch positions are spread over.
        longer_side_lengths: Longer sides of the two resized copies, in pixels.
    """

    patch_size: int = 32
    hidden_size: int = 384
    mlp_dim: int = 1152
    num_heads: int = 6
    num_layers: int = 14
    spatial_pos_grid_size: int = 10
    longer_side_lengths: tuple[int, int] = (224, 384)


OFFICIAL = published.MUSIQ.card(
    settings=MusiqSettings(),
    preprocessing=Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3),
)

MINI = Card(
    name="musiq_mini",
    weights="mini",
    settings=MusiqSettings(
        patch_size=16,
        hidden_size=64,
        mlp_dim=128,
        num_heads=4,
        num_layers=3,
        longer_side_lengths=(64, 96),
    ),
    preprocessing=Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3),
    origin=Shipped("musiq/musiq.safetensors"),
    licence="Apache-2.0",
    source="trained by lab/train/musiq.py on damage of known strength",
)


def build(settings: MusiqSettings) -> nn.Module:
    """Builds pyiqa's MUSIQ with random weights; nothing is fetched.

    The network takes (N, 3, H, W) in [0, 1] in eval mode, and patches in train mode.
    """
    from pyiqa.archs.musiq_arch import MUSIQ

    network: nn.Module = MUSIQ(**asdict(settings), pretrained=False)
    return network


def load(card: Card[MusiqSettings], path: Path, device: torch.device) -> nn.Module:
    """Loads the network of `card` with the weights in the file `path`, ready to infer.

    Raises:
        WeightsError: The file is absent, unreadable, another one, or does not fit.
    """
    tensors = read_card(card, path)
    return lean(filled(partial(build, card.settings), tensors, path, device))


def lean(network: Any) -> nn.Module:
    """Gives pyiqa's blocks the attention that needs less memory."""
    for block in network.transformer_encoder.transformer.values():
        block.attention = Attention(block.attention)
    quality: nn.Module = network
    return quality


class Attention(nn.Module):
    """The attention of pyiqa's blocks, without the matrix of all pairs of tokens in memory.

    A frame of 3840 x 2160 has 8,354 tokens, whose pairs would take 1.7 GB several times over. All
    tokens are looked at: there is no padding among them.

    Args:
        theirs: pyiqa's module, which gives its layers.
    """

    def __init__(self, theirs: Any) -> None:
        super().__init__()
        self.query, self.key, self.value = theirs.query, theirs.key, theirs.value
        self.out = theirs.out
        self.heads: int = theirs.num_heads

    def forward(self, x: Tensor, _mask: None) -> Tensor:
        """Tokens (B, N, C) look at each other."""
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        seen = F.scaled_dot_product_attention(query, key, value)
        attended: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return attended


@torch.inference_mode()
def scores(model: nn.Module, frames: Tensor, resize: Resize = "longer") -> Tensor:
    """Quality of frames of one size.

    Args:
        model: The network.
        frames: uint8 (N, 3, H, W), RGB.
        resize: What is shrunk to 512 pixels: VBench's `longer` (its default since 2024-04) or
            `shorter` side, or `none`, as in the paper's tables.

    Returns:
        float32 (N,), about 0 (bad) to 100 (good) with trained weights, not clamped.

    Raises:
        FrameTooSmallError: The frames are too narrow.
    """
    height, width = frames.shape[-2:]
    check_proportions(height, width)
    device = next(model.parameters()).device
    pictures = torch.cat([resized(frame.to(device).float(), resize) for frame in frames.split(1)])
    return _quality(model, pictures / 255).float()


def tokens(settings: MusiqSettings, height: int, width: int, resize: Resize = "longer") -> int:
    """Number of tokens that a frame makes: patches of its three sizes, and the class token."""
    grids = _grids(
        settings.longer_side_lengths, settings.patch_size, *shrunk(height, width, resize)
    )
    return 1 + sum(rows * columns for rows, columns in grids)


def _quality(model: Any, pictures: Tensor) -> Tensor:
    """The forward of pyiqa for pictures (N, 3, H, W) in [0, 1].

    pyiqa fills the patches of the smaller copies up to as many as a square picture would have, and
    masks them out again. Here none are made.
    """
    options = model.data_preprocess_opts
    patch, sides = model.patch_size, tuple(sorted(options["longer_side_lengths"]))
    height, width = pictures.shape[-2:]
    pixels = 2 * pictures - 1
    smaller = [
        F.interpolate(pixels, _scaled(height, width, side), mode="bicubic", align_corners=False)
        for side in sides
    ]
    patches = torch.cat([_cut(each, patch) for each in (*smaller, pixels)], dim=1).flatten(0, 1)
    embedded = torch.cat([_embedded(model, chunk) for chunk in patches.split(PATCHES)])
    grids = _grids(sides, patch, height, width)
    position, scale = _places(grids, options["hse_grid_size"], pictures.device)
    encoder = model.transformer_encoder
    x = embedded.view(len(pictures), -1, embedded.shape[-1])
    x = encoder.scaleembed_input(encoder.posembed_input(x, position), scale)
    x = torch.cat([encoder.cls.expand(len(x), -1, -1), x], dim=1)
    for block in encoder.transformer.values():
        x = block(x, None)
    values: Tensor = model.head(encoder.encoder_norm(x)[:, 0]).flatten()
    return values


def _scaled(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width of the copy whose longer side is `side`."""
    ratio = side / max(height, width)
    return round(height * ratio), round(width * ratio)


def _grids(
    sides: Sequence[int], patch: int, height: int, width: int
) -> tuple[tuple[int, int], ...]:
    """Rows and columns of patches of each copy, and of the picture itself."""
    sizes = [*(_scaled(height, width, side) for side in sorted(sides)), (height, width)]
    return tuple((math.ceil(rows / patch), math.ceil(columns / patch)) for rows, columns in sizes)


@lru_cache(maxsize=64)
def _places(
    grids: tuple[tuple[int, int], ...], side: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Where each patch lies, in a grid of `side` squared places, and in which copy: both (1, N)."""
    from pyiqa.data.multiscale_trans_util import get_hashed_spatial_pos_emb_index

    position = torch.cat([get_hashed_spatial_pos_emb_index(side, *grid) for grid in grids], dim=1)
    counts = torch.tensor([rows * columns for rows, columns in grids])
    scale = torch.arange(len(grids)).repeat_interleave(counts)[None]
    return position.long().to(device), scale.to(device)


def _cut(pictures: Tensor, side: int) -> Tensor:
    """Cuts pictures (N, 3, H, W) into patches (N, P, 3, `side`, `side`), row by row.

    What the last ones lack is zero, half of it before the first and half behind the last.
    """
    rows, columns = (math.ceil(length / side) for length in pictures.shape[-2:])
    below, beside = rows * side - pictures.shape[-2], columns * side - pictures.shape[-1]
    around = (beside // 2, beside - beside // 2, below // 2, below - below // 2)
    grid = F.pad(pictures, around).unflatten(3, (columns, side)).unflatten(2, (rows, side))
    return grid.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def _embedded(model: Any, patches: Tensor) -> Tensor:
    """Tokens (N, hidden_size) of patches (N, 3, patch_size, patch_size) in [-1, 1]."""
    features = model.block1(model.root_pool(model.gn_root(model.conv_root(patches))))
    embedded: Tensor = model.embedding(features.permute(0, 2, 3, 1).flatten(1))
    return embedded


def resized(frames: Tensor, resize: Resize) -> Tensor:
    """Shrinks float frames (N, 3, H, W) as `resize` says: bilinear, not antialiased.

    The sides are truncated to whole pixels, as in VBench.
    """
    height, width = frames.shape[-2:]
    size = shrunk(height, width, resize)
    if size == (height, width):
        return frames
    return F.interpolate(frames, size, mode="bilinear", align_corners=False, antialias=False)


def shrunk(height: int, width: int, resize: Resize) -> tuple[int, int]:
    """Height and width that frames are brought to; what is within the limit stays."""
    side = {"longer": max(height, width), "shorter": min(height, width), "none": 0}[resize]
    if side <= LIMIT:
        return height, width
    scale = LIMIT / side
    return int(scale * height), int(scale * width)
