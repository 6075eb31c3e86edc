"""A card's weights: read where they are the ones that it states, known by their sha256."""

from functools import lru_cache
from pathlib import Path

from torch import Tensor

from metrics.backbones.card import Card, Settings
from mora import checkpoints
from mora.checkpoints.tensors import WeightsError, read_tensors


def read_card(card: Card[Settings], path: Path) -> dict[str, Tensor]:
    """Reads the file that `card` describes, after checking the sha256 that the card states.

    Raises:
        WeightsError: As `read_tensors`, or the digest is another one.
    """
    if card.sha256 is not None and path.is_file():
        found = file_sha256(path)
        if not found.startswith(card.sha256):
            raise WeightsError(
                f"{path}: expected the weights {card.name} with sha256 {card.sha256}, "
                f"found {found}; delete the file and fetch it again"
            )
    return read_tensors(path, card.key)


def file_sha256(path: Path) -> str:
    """Returns the sha256 of a file in hex, remembered while path, size and time stay the same."""
    status = path.stat()
    return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, modified: int) -> str:  # noqa: ARG001  they key the cache
    return checkpoints.file_sha256(path)
