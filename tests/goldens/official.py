"""The official networks with golden weights, in files as their publishers' are."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from goldens import parity
from torch import Tensor

from metrics.backbones.card import Card
from metrics.networks import BACKBONES, Networks, weights_path

FOLDERS = {
    "dino": "dino_vitb16",
    "clip_b32": "clip_vitb32",
    "clip_l14": "clip_vitl14",
    "amt": "amt_s",
    "raft": "raft_things",
    "musiq": "musiq_spaq",
    "viclip": "viclip_l",
}
"""Networks and the folders of their cases. The aesthetic head is the published one."""


def card(name: str) -> Card[Any]:
    """The official card of a network, for a file whose sha256 is not the published one."""
    return replace(BACKBONES[name].official, sha256=None)


def write(name: str, folder: Path, seed: int = 0, *, as_scored: bool = False) -> Path:
    """Writes a checkpoint of golden weights with the published names, precisions and entries.

    Args:
        name: Network.
        folder: Folder of weights that it goes below.
        seed: Seed of the weights.
        as_scored: Whether to change them as `vbench_scores` was made with.
    """
    of = parity.read(FOLDERS[name])
    tensors = of.weights(seed)
    if as_scored:
        scores = json.loads((Path(__file__).parent / "vbench_scores" / "cases.json").read_text())
        changes = scores["weight_changes"].get(FOLDERS[name], {})
        for tensor, scale in changes.get("weight_scale", {}).items():
            tensors[tensor] = tensors[tensor] * scale
        for tensor, value in changes.get("set", {}).items():
            tensors[tensor] = torch.full_like(tensors[tensor], value)
    stored: dict[str, Tensor] = {
        tensor: values.to(getattr(torch, of.manifest["tensors"][tensor][1]))
        for tensor, values in tensors.items()
    }
    path = weights_path(card(name), folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    key = card(name).key
    torch.save({key: stored} if key else stored, path)
    return path


class GoldenNetworks(Networks):
    """The official networks as `vbench_scores` was made with.

    A file is written when a network is first looked for.

    Args:
        folder: Where the files go.
        device: Where the networks go.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        super().__init__("official", folder, device)

    def card(self, name: str) -> Card[Any]:
        """The official card, without the published sha256."""
        return card(name)

    def path(self, name: str) -> Path:
        """The file, which is there afterwards."""
        path = super().path(name)
        return path if path.is_file() else write(name, self.folder, as_scored=True)
