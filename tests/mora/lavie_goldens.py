"""What the parity cases of the LaVie family share: weights and noise that both sides recompute."""

import json
from pathlib import Path
from typing import Any

import torch
from goldens import golden
from torch import Tensor

from mora.models.lavie.blocks import UNetSettings

REDUCED = UNetSettings(channels=(96, 128, 192, 192), heads=2, text_width=64)
"""Sizes of SEINE's network in the cases."""


def checkpoint(model: str) -> dict[str, Tensor]:
    """Tensors of the reduced network of `goldens/MODEL`, by their published names."""
    manifest = json.loads((Path(golden.__file__).parent / model / "reduced.json").read_text())
    tensors = {name: torch.from_numpy(each) for name, each in golden.weights(manifest).items()}
    table = torch.tensor([10000 ** (-channel / 32) for channel in range(0, 32, 2)])
    fixed = {name: table for name in tensors if name.endswith("rotary_emb.freqs")}
    return tensors | fixed


def noise(recipe: dict[str, Any]) -> Tensor:
    """Noise that a case names."""
    drawn = golden.noise(recipe["noise"], tuple(recipe["shape"]), recipe["seed"])
    return recipe.get("scale", 1.0) * torch.from_numpy(drawn)
