"""Miniature metric networks with random weights, in files as the trained ones are."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from metrics.backbones import aesthetic, amt, clip, dino, musiq, raft, viclip
from metrics.networks import weights_path
from mora.checkpoints import mini_weights


def save_random_weights(folder: Path) -> Path:
    """Fills a folder of mini weights; the numbers are the same each time."""
    torch.manual_seed(0)
    networks: list[tuple[object, nn.Module]] = [
        (dino.MINI, dino.Dino(dino.MINI.settings)),
        (clip.MINI, clip.build(clip.MINI.settings)),
        (aesthetic.MINI, aesthetic.build(aesthetic.MINI.settings)),
        (amt.MINI, amt.Amt(amt.MINI.settings)),
        (raft.MINI, raft.Raft(raft.MINI.settings)),
        (musiq.MINI, musiq.build(musiq.MINI.settings)),
        (viclip.MINI, viclip.ViClip(viclip.MINI.settings)),
    ]
    for card, network in networks:
        tensors = {name: _half(value) for name, value in network.state_dict().items()}
        path = weights_path(card, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)
    shutil.copytree(mini_weights() / "vocabulary", folder / "vocabulary")
    return folder


def _half(value: torch.Tensor) -> torch.Tensor:
    return (value.half() if value.is_floating_point() else value).contiguous()
