"""The networks that features are computed with: which there are, and their loaded weights."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.tokenizer import SimpleTokenizer
from tokenizers import Tokenizer

from metrics.backbones import aesthetic, amt, bert, bpe, clip, dino, fast, musiq, raft, viclip
from metrics.backbones.card import Address, Card, HubFile, Shipped
from metrics.backbones.loading import file_sha256
from metrics.captioners.captioner import Captions

Weights = Literal["official", "mini"]
Precision = Literal["exact", "fast"]
"""`exact` computes as the reference does, `fast` in half precision where that pays."""


class MissingWeightsError(FileNotFoundError):
    """Weights that a metric needs are not in the folder that was named."""


class MissingCaptionerError(ValueError):
    """A metric needs a captioner, and none was named."""


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


def _load_sentence_encoder(card: Card[Any], path: Path, device: torch.device) -> Any:
    """BERT, or with the miniature weights CLIP, whose text tower stands for it."""
    return (bert.load if card is bert.OFFICIAL else clip.load)(card, path, device)


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
    "sentence": Backbone(_load_sentence_encoder, bert.OFFICIAL, clip.MINI),
}
"""The networks by the names that features ask for. One miniature CLIP stands for both, and its text
tower for BERT."""


_WAYS: dict[str, fast.Name] = {name: name for name in fast.WAYS}
"""Networks that have a way to be fast; the others, which read texts once, are exact."""


def weights_path(card: Card[Any], folder: Path) -> Path:
    """Where the weights of a card lie below a folder of weights.

    Miniature weights have their place in the project. Published ones are in a folder of the
    card's name, under the name that their publisher gave them.
    """
    return card.path(folder)


class _File(NamedTuple):
    """A file that a network is read from."""

    path: Path
    name: str
    """In fingerprints."""
    address: str
    licence: str


class Networks:
    """A set of weights in a folder, and those of its networks that are loaded on a device.

    A network is loaded when it is first asked for, and stays.

    Args:
        weights: Which set.
        folder: Folder of the weights; `mora.checkpoints.mini_weights()` for the miniature ones.
        device: Where the networks go.
        captions: Who says what pictures and videos show; `None` where no metric asks.
        precision: How they compute.

    Attributes:
        seconds_loading: Time spent so far on loading networks.
    """

    def __init__(
        self,
        weights: Weights,
        folder: Path,
        device: torch.device,
        captions: Captions | None = None,
        precision: Precision = "exact",
    ) -> None:
        self.weights: Weights = weights
        self.precision: Precision = precision
        self.folder = folder
        self.device = device
        self._captions = captions
        self.seconds_loading = 0.0
        self._loaded: dict[str, Any] = {}

    @property
    def can_caption(self) -> bool:
        """Whether there is a captioner."""
        return self._captions is not None

    @property
    def captions(self) -> Captions:
        """Who says what pictures and videos show.

        Raises:
            MissingCaptionerError: There is nobody.
        """
        if self._captions is None:
            raise MissingCaptionerError(
                "a metric compares captions, and there is no captioner. Name one, such as "
                "captioner=llava or captioner=openai, or leave video_ti out."
            )
        return self._captions

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
        missing = {
            file.path: file
            for name in names
            for file in self._files(name)
            if not file.path.is_file()
        }
        if not missing:
            return
        lines = [
            f"  {path}\n    from {file.address}, licence {file.licence}"
            for path, file in missing.items()
        ]
        remedy = (
            "They come with the project: check out the folder lab/weights, or train them with "
            "`python -m lab.train`."
            if self.weights == "mini"
            else "Fetch them with `mora models pull metrics`, or use weights=mini."
        )
        raise MissingWeightsError(
            f"{len(missing)} files of the {self.weights} weights are missing:\n"
            + "\n".join(lines)
            + f"\n{remedy}"
        )

    def checkpoints(self, names: Iterable[str]) -> dict[str, str]:
        """Sha256 of the weights of networks, by the names of their cards; for fingerprints.

        A tokenizer that is a file of its own counts with them.
        """
        files = (file for name in names for file in self._files(name))
        return dict(sorted((file.name, file_sha256(file.path)) for file in files))

    def __getitem__(self, name: str) -> Any:
        """The network, in evaluation mode on the device.

        Raises:
            MissingWeightsError: Its weights are not there.
            WeightsError: They cannot be read, or belong to another network.
        """
        card = self.card(name)
        if card.name not in self._loaded:
            self.check([name])
            began = time.perf_counter()
            self._loaded[card.name] = BACKBONES[name].load(card, self.path(name), self.device)
            self.seconds_loading += time.perf_counter() - began
        return self._loaded[card.name]

    def ready(self, name: str, network: Any) -> Any:
        """Readies a loaded network for the precision that was asked for."""
        return fast.prepared(_WAYS[name], network) if self._fast(name) else network

    def computing(self, name: str) -> AbstractContextManager[None]:
        """What the forwards of the network `name` are computed in."""
        return fast.computing(_WAYS[name], self.device) if self._fast(name) else nullcontext()

    def _fast(self, name: str) -> bool:
        return self.precision == "fast" and name in _WAYS

    def tokens(self, name: str, text: str) -> torch.Tensor:
        """A text as the network `name` reads it: int64 `(1, context)` on the device."""
        return self._tokens(name, text).ids.to(self.device)

    def beginning(self, name: str, text: str) -> str | None:
        """What the network `name` reads of a text, if not all of it; else `None`."""
        tokens = self._tokens(name, text)
        if not tokens.cut[0]:
            return None
        read: str = self._tokenizer(name).decode(tokens.ids[0, 1:-1].tolist())
        return read.strip()

    def sentence(self, text: str, pooling: bert.Pooling) -> NDArray[np.float32]:
        """Embeds a text: float32 `(1, D)` of unit length.

        Args:
            text: Any text; what is too long for the network is cut off.
            pooling: How BERT's vectors of tokens become one. The miniature text tower has its own
                way.
        """
        settings = self.card("sentence").settings
        if isinstance(settings, bert.BertSettings):
            reader = _sentence_tokenizer(settings, settings.tokenizer.path(self.folder))
            tokens = bert.Tokens(*(each.to(self.device) for each in bert.tokenize(reader, [text])))
            embedding = bert.sentence_features(self["sentence"], tokens, pooling)
        else:
            with self.computing("clip_b32"):
                embedding = clip.text_features(self["clip_b32"], self.tokens("clip_b32", text))
        array: NDArray[np.float32] = embedding.cpu().numpy()
        return array

    def _tokens(self, name: str, text: str) -> bpe.Tokens:
        return bpe.tokenize(self._tokenizer(name), [text], self.card(name).settings.context)

    def _tokenizer(self, name: str) -> SimpleTokenizer:
        merges = self.card(name).settings.merges
        return _tokenizer(None if merges is None else self.folder / merges)

    def _files(self, name: str) -> Iterator[_File]:
        """What a network is read from: its weights, and a tokenizer that no library brings."""
        card = self.card(name)
        yield _File(self.path(name), card.name, _address(card.origin), card.licence)
        if isinstance(card.settings, bert.BertSettings):
            reader = card.settings.tokenizer
            path, address = reader.path(self.folder), _address(reader.origin)
            yield _File(path, reader.name, address, reader.licence)
        merges = getattr(card.settings, "merges", None)
        if merges is not None:
            yield _File(self.folder / merges, merges, f"lab/weights/{merges}", card.licence)


@cache
def _tokenizer(merges: Path | None) -> SimpleTokenizer:
    return bpe.tokenizer(merges)


@cache
def _sentence_tokenizer(settings: bert.BertSettings, path: Path) -> Tokenizer:
    return bert.tokenizer(settings, path)


def _address(origin: Shipped | HubFile | Address) -> str:
    match origin:
        case Shipped(path=path):
            return f"lab/weights/{path}"
        case HubFile() as hub:
            return hub.url
        case Address(url=url, member=member):
            return f"{url} ({member} in it)" if member else url
