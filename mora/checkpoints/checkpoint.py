"""A checkpoint: what it is called, where its publisher offers it, and where it is kept here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

UNPINNED: Final = "unpinned"
"""In place of a commit, where settings leave it to their user to choose one."""


@dataclass(frozen=True)
class WebFile:
    """A file at its publisher's own address.

    Attributes:
        url: Address of the file, or of the zip archive that holds it.
        member: Path inside the archive; `None` where the address is the file itself.
    """

    url: str
    member: str | None = None


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

    def place(self, folder: Path) -> Path:
        """Where an agent's file is kept below the folder of official weights, by its commit."""
        return folder / self.repository.replace("/", "--") / self.revision[:12] / self.file


@dataclass(frozen=True)
class HubRepository:
    """What a repository of the hub holds: a pipeline of diffusers, or a model of transformers.

    It stands for the files that the library loads, not for all that lie in the repository.

    Attributes:
        repository: `owner/name`.
        revision: Commit, 40 digits in hex.
        variant: Variant of the weight files, such as `fp16`.
        without: Parts of a pipeline that are not loaded, such as `safety_checker`.
    """

    repository: str
    revision: str
    variant: str | None = None
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """Published weights.

    Attributes:
        name: What `mora models` calls it.
        origin: Where it is published.
        licence: Licence of the weights; `None` where nothing here states it.
        used_by: Metrics and agents' roles that use it.
        path: Where a single file is kept; `None` for a repository, which lies in the hub's cache.
        size: Bytes of a single file; `None` where they are not known.
        sha256: Digest of a single file in hex, or its first digits; `None` where it is not known.
        shipped: Whether the file comes with this project.
        of_settings: Whether settings name it, such as those of agents; else metrics use it.
    """

    name: str
    origin: WebFile | HubFile | HubRepository
    licence: str | None
    used_by: tuple[str, ...]
    path: Path | None = None
    size: int | None = None
    sha256: str | None = None
    shipped: bool = False
    of_settings: bool = False

    @property
    def pinned(self) -> bool:
        """Whether it is known which commit is meant, so that it can be fetched."""
        return isinstance(self.origin, WebFile) or self.origin.revision != UNPINNED

    @property
    def fully_known(self) -> bool:
        """Whether a single file's whole sha256 is known, so that none needs to be recorded."""
        return self.sha256 is not None and len(self.sha256) == 64
