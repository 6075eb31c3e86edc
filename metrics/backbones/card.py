"""The card of a set of weights: what network they fill, what it is fed, where they come from.

Each backbone has two cards, `OFFICIAL` and `MINI`, for one and the same class of network. A card
is plain data. It opens no file and fetches nothing.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Generic, Literal, TypeVar

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Shipped:
    """Weights that this project trains and ships.

    Attributes:
        path: File, or folder in a library's own layout, relative to the folder of mini weights.
    """

    path: str


@dataclass(frozen=True)
class HubFile:
    """A file of a model repository on the Hugging Face hub.

    Attributes:
        repository: `owner/name`.
        file: Path inside the repository.
        revision: Commit, 40 digits in hex.
    """

    repository: str
    file: str
    revision: str

    @property
    def url(self) -> str:
        """Where a browser or `curl` finds the file."""
        return f"https://huggingface.co/{self.repository}/resolve/{self.revision}/{self.file}"


@dataclass(frozen=True)
class Address:
    """A file at its publisher's own address.

    Attributes:
        url: Address of the file, or of the zip archive that holds it.
        member: Path inside the archive; `None` where the address is the file itself.
    """

    url: str
    member: str | None = None


@dataclass(frozen=True)
class Preprocessing:
    """How RGB frames become the network's input. The steps happen in the order of the fields.

    Where metrics feed one network in several ways (rounded or not, antialiased or not), the
    metric's protocol names its way; the card holds what they share.

    Attributes:
        side: Side in pixels that frames are resized to; `None` keeps the native size.
        fit: Which side becomes `side`: the shorter, or both (a square, aspect ratio lost).
        interpolation: Filter of the resize.
        crop: Whether the centre `side` x `side` is cut out afterwards.
        multiple: Both sides are padded to multiples of this by repeating the border, centred.
        smallest: Smallest side after padding that the network takes, in pixels.
        mean: Per channel, subtracted from frames in [0, 1].
        std: Per channel, the divisor after `mean`.
    """

    side: int | None = None
    fit: Literal["shorter", "both"] = "shorter"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    crop: bool = False
    multiple: int = 1
    smallest: int = 1
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Card(Generic[Settings]):
    """One set of weights for one backbone.

    Attributes:
        name: Name in fingerprints and tables, for example `raft_things` or `raft_mini`.
        weights: `official`, as published by the network's authors, or `mini`, trained by `lab`.
        settings: Settings that the network is built with.
        preprocessing: How frames become its input.
        origin: Where the file is.
        licence: Licence of the weights (an SPDX name where there is one).
        source: Paper or project that they come from.
        sha256: Digest of the file in hex, or its first digits where no more is known; `None`
            where it could not be confirmed. Mini weights need none: the repository pins them.
        key: Entry of the file that holds the tensors; `None` where they lie at the top.
    """

    name: str
    weights: Literal["official", "mini"]
    settings: Settings
    preprocessing: Preprocessing
    origin: Shipped | HubFile | Address
    licence: str
    source: str
    sha256: str | None = None
    key: str | None = None

    def path(self, folder: Path) -> Path:
        """Where the file lies below a folder of weights of its kind, official or mini."""
        return _path(self.name, self.origin, folder)

    def shipped_path(self, mini_weights: Path) -> Path:
        """Path of mini weights below the folder `mini_weights`.

        Raises:
            ValueError: The weights are not shipped; they have to be fetched from `origin`.
        """
        if not isinstance(self.origin, Shipped):
            raise ValueError(  # noqa: TRY004  the value is at fault, not its type
                f"{self.name}: these weights are not shipped but published at {self.origin}; "
                "fetch them and give their path"
            )
        return mini_weights / self.origin.path


@dataclass(frozen=True)
class Published:
    """Weights as their publisher offers them: a card's facts, without the network.

    They are kept in `metrics.backbones.published`, apart from the networks, so that a list of them
    loads no network library.

    Attributes:
        name: As `Card.name`.
        origin: Where the file is.
        size: Bytes of the file.
        sha256: As `Card.sha256`.
        licence: As `Card.licence`.
        source: As `Card.source`.
        used_by: Metrics that need it.
        key: As `Card.key`.
        packaged: Path of the file in this project, relative to the package `metrics`, where the
            project ships it.
    """

    name: str
    origin: HubFile | Address
    size: int | None
    sha256: str | None
    licence: str
    source: str
    used_by: tuple[str, ...]
    key: str | None = None
    packaged: str | None = None

    def path(self, folder: Path) -> Path:
        """Where the file lies below a folder of official weights, or in this project."""
        if self.packaged is not None:
            return Path(__file__).resolve().parents[1] / self.packaged
        return _path(self.name, self.origin, folder)

    def card(self, settings: Settings, preprocessing: Preprocessing) -> Card[Settings]:
        """Completes the facts to a card with what the network needs."""
        return Card(
            name=self.name,
            weights="official",
            settings=settings,
            preprocessing=preprocessing,
            origin=self.origin,
            licence=self.licence,
            source=self.source,
            sha256=self.sha256,
            key=self.key,
        )


def _path(name: str, origin: Shipped | HubFile | Address, folder: Path) -> Path:
    """Mini weights have their place; published ones their own folder and their publisher's name."""
    match origin:
        case Shipped(path=path):
            return folder / path
        case HubFile(file=file):
            return folder / name / PurePosixPath(file).name
        case Address(url=url, member=member):
            return folder / name / PurePosixPath(member or url).name
