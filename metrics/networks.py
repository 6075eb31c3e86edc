"""The networks that features are computed with: which there are, and their loaded weights."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from open_clip.tokenizer import SimpleTokenizer

from metrics.backbones import aesthetic, amt, bpe, clip, dino, musiq, raft, viclip
from metrics.backbones.card import Address, Card, HubFile, Shipped
from metrics.backbones.loading import file_sha256

Weights = Literal["official", "mini"]


class MissingWeightsError(FileNotFoundError):
    """Weights that a metric needs are not in the folder that was named."""


@dataclass(frozen=True)
class Backbone:
    """One network with its two sets of weights.

    Attributes:
        load: Builds the network of a card and fills it with the weights in a file.
        official: Card of the published weights.
        mini: Card of the miniature ones.
        packaged: File of the official weights, where they come with this project.
    """

    load: Callable[[Card[Any], Path, torch.device], Any]
    official: Card[Any]
    mini: Card[Any]
    packaged: Path | None = None


BACKBONES: dict[str, Backbone] = {
    "dino": Backbone(dino.load, dino.OFFICIAL, dino.MINI),
    "clip_b32": Backbone(clip.load, clip.B32, clip.MINI),
    "clip_l14": Backbone(clip.load, clip.L14, clip.MINI),
    "aesthetic": Backbone(
        aesthetic.load, aesthetic.OFFICIAL, aesthetic.MINI, aesthetic.OFFICIAL_PATH
    ),
    "amt": Backbone(amt.load, amt.OFFICIAL, amt.MINI),
    "raft": Backbone(raft.load, raft.OFFICIAL, raft.MINI),
    "musiq": Backbone(musiq.load, musiq.OFFICIAL, musiq.MINI),
    "viclip": Backbone(viclip.load, viclip.OFFICIAL, viclip.MINI),
}
"""The networks by the names that features ask for. One miniature CLIP stands for both."""


def weights_path(card: Card[Any], folder: Path) -> Path:
    """Where the weights of a card lie below a folder of weights.

    Miniature weights have their place in the project. Published ones are in a folder of the
    card's name, under the name that their publisher gave them.
    """
    return card.path(folder)


class Networks:
    """A set of weights in a folder, and those of its networks that are loaded on a device.

    A network is loaded when it is first asked for, and stays.

    Args:
        weights: Which set.
        folder: Folder of the weights; `mora.checkpoints.mini_weights()` for the miniature ones.
        device: Where the networks go.
    """

    def __init__(self, weights: Weights, folder: Path, device: torch.device) -> None:
        self.weights: Weights = weights
        self.folder = folder
        self.device = device
        self._loaded: dict[str, Any] = {}

    def card(self, name: str) -> Card[Any]:
        """Card of a network's weights in this set."""
        backbone = BACKBONES[name]
        return backbone.official if self.weights == "official" else backbone.mini

    def path(self, name: str) -> Path:
        """File of a network's weights."""
        packaged = BACKBONES[name].packaged
        if self.weights == "official" and packaged is not None:
            return packaged
        return weights_path(self.card(name), self.folder)

    def check(self, names: Iterable[str]) -> None:
        """Looks whether the weights of all these networks are there.

        Raises:
            MissingWeightsError: Names each file that is not, and where it comes from.
        """
        missing = {self.path(name): self.card(name) for name in names if not self._found(name)}
        if not missing:
            return
        lines = [
            f"  {path}\n    from {_address(card)}, licence {card.licence}"
            for path, card in missing.items()
        ]
        remedy = (
            "They come with the project: check out the folder lab/weights, or train them with "
            "`python -m lab.train`."
            if self.weights == "mini"
            else "Put each file at its path, or use weights=mini."
        )
        raise MissingWeightsError(
            f"{len(missing)} files of the {self.weights} weights are missing:\n"
            + "\n".join(lines)
            + f"\n{remedy}"
        )

    def checkpoints(self, names: Iterable[str]) -> dict[str, str]:
        """Sha256 of the weights of networks, by the names of their cards; for fingerprints.

        A tokenizer that was learnt for the miniature weights counts with them.
        """
        found: dict[str, str] = {}
        for name in names:
            card = self.card(name)
            found[card.name] = file_sha256(self.path(name))
            merges = getattr(card.settings, "merges", None)
            if merges is not None:
                found[merges] = file_sha256(self.folder / merges)
        return dict(sorted(found.items()))

    def __getitem__(self, name: str) -> Any:
        """The network, in evaluation mode on the device.

        Raises:
            MissingWeightsError: Its weights are not there.
            WeightsError: They cannot be read, or belong to another network.
        """
        card = self.card(name)
        if card.name not in self._loaded:
            self.check([name])
            self._loaded[card.name] = BACKBONES[name].load(card, self.path(name), self.device)
        return self._loaded[card.name]

    def tokens(self, name: str, text: str) -> torch.Tensor:
        """A text as the network `name` reads it: int64 `(1, context)` on the device."""
        settings = self.card(name).settings
        merges = None if settings.merges is None else self.folder / settings.merges
        return bpe.tokenize(_tokenizer(merges), [text], settings.context).ids.to(self.device)

    def _found(self, name: str) -> bool:
        merges = getattr(self.card(name).settings, "merges", None)
        return self.path(name).is_file() and (merges is None or (self.folder / merges).is_file())


@cache
def _tokenizer(merges: Path | None) -> SimpleTokenizer:
    return bpe.tokenizer(merges)


def _address(card: Card[Any]) -> str:
    match card.origin:
        case Shipped(path=path):
            return f"lab/weights/{path}"
        case HubFile() as hub:
            return hub.url
        case Address(url=url, member=member):
            return f"{url} ({member} in it)" if member else url
