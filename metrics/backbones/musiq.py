"""MUSIQ, the image quality network of imaging quality.

Source: Ke, Wang, Wang, Milanfar and Yang, "MUSIQ: Multi-scale Image Quality Transformer", ICCV
2021; the network and the published weights, trained on SPAQ, are those of pyiqa.

A picture is cut into patches at its own size and at two smaller ones, so that a picture of any
size and shape is judged as it is. pyiqa is imported where it is used: it takes seconds.
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metrics.backbones import published
from metrics.backbones.card import Card, Preprocessing, Shipped
from metrics.backbones.loading import filled, read_card

LIMIT = 512
"""Side in pixels to which `scores` shrinks what is longer."""

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
    return filled(partial(build, card.settings), read_card(card, path), path, device)


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
    """
    device = next(model.parameters()).device
    pictures = resized(frames.to(device).float(), resize) / 255
    values: Tensor = model(pictures)
    return values.flatten()


def resized(frames: Tensor, resize: Resize) -> Tensor:
    """Shrinks float frames (N, 3, H, W) as `resize` says: bilinear, not antialiased.

    The sides are truncated to whole pixels, as in VBench.
    """
    height, width = frames.shape[-2:]
    side = {"longer": max(height, width), "shorter": min(height, width), "none": 0}[resize]
    if side <= LIMIT:
        return frames
    scale = LIMIT / side
    size = (int(scale * height), int(scale * width))
    return F.interpolate(frames, size, mode="bilinear", align_corners=False, antialias=False)
