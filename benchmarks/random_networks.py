"""The networks at their published or miniature sizes with random weights, made where they run.

Neither time nor memory depends on the weights' values, and none has to be fetched or read.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from metrics.backbones import aesthetic, amt, clip, dino, musiq, raft, viclip
from metrics.backbones.bands import in_bands
from metrics.backbones.layout import laid_out
from metrics.networks import Networks, Precision, Weights
from mora.checkpoints import mini_weights

BUILD: Mapping[str, Callable[[Any], nn.Module]] = {
    "dino": dino.Dino,
    "clip_b32": clip.build,
    "clip_l14": clip.build,
    "aesthetic": aesthetic.build,
    "amt": lambda settings: laid_out(in_bands(amt.Amt(settings))),
    "raft": lambda settings: laid_out(in_bands(raft.Raft(settings))),
    "musiq": lambda settings: musiq.lean(musiq.build(settings)),
    "viclip": viclip.ViClip,
}


class RandomNetworks(Networks):
    """Networks whose weights are random, the same in every process.

    Args:
        weights: Whose sizes.
        device: Where.
        precision: How they compute.
    """

    def __init__(
        self, weights: Weights, device: torch.device, precision: Precision = "exact"
    ) -> None:
        super().__init__(weights, mini_weights(), device, precision=precision)
        self._built: dict[str, Any] = {}

    def check(self, names: Iterable[str]) -> None:
        """Nothing can be missing."""

    def checkpoints(self, names: Iterable[str]) -> dict[str, str]:
        """Says that they are random."""
        return {self.card(name).name: "random" for name in names}

    def __getitem__(self, name: str) -> Any:
        """Builds the network when it is first asked for."""
        card = self.card(name)
        if card.name not in self._built:
            torch.manual_seed(0)
            with torch.device(self.device):
                network = BUILD[name](card.settings)
            network = network.eval().requires_grad_(requires_grad=False)
            self._built[card.name] = self.ready(name, network)
        return self._built[card.name]
