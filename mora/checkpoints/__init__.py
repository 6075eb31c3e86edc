"""Weights on this machine: where they lie, how they come here, and what they are, as a hash.

This file is light: it says where weights are. Fetching is in `pull`, checking in `check`.
"""

import hashlib
import os
from pathlib import Path

from mora.records import content_hash

CHUNK = 1 << 20

WEIGHTS_VARIABLE = "MORA_WEIGHTS"
"""Environment variable that names the folder of official weights."""


class CheckpointError(FileNotFoundError):
    """Weights that were asked for are not where they should be."""


def mini_weights() -> Path:
    """Returns the folder of the miniature weights, `lab/weights` beside the package `mora`.

    The place is the same in a checkout and in an installed wheel.

    Raises:
        CheckpointError: The folder is missing.
    """
    folder = Path(__file__).resolve().parents[2] / "lab" / "weights"
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: the miniature weights are not there. They come with the project: "
            "check out the folder lab/weights, or install mora-bench again."
        )
    return folder


def official_weights() -> Path:
    """Returns the folder of the official weights that metrics use; it need not be there yet.

    It is what the environment's MORA_WEIGHTS names, else `mora/weights` in the user's cache.
    Weights of agents lie in the Hugging Face hub's own cache.
    """
    named = os.environ.get(WEIGHTS_VARIABLE)
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "mora" / "weights"


def file_sha256(path: Path) -> str:
    """Returns the sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def folder_sha256(folder: Path) -> str:
    """Returns one sha256 for all that a folder holds: the files' names and bytes, in hex.

    Hidden files and folders are left out, since tools write their caches there.

    Raises:
        CheckpointError: The folder is missing or holds no file.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not files:
        raise CheckpointError(
            f"{folder}: expected a folder of weights, found "
            + ("no file in it." if folder.is_dir() else "no such folder.")
        )
    return content_hash(
        [[path.relative_to(folder).as_posix(), file_sha256(path)] for path in files]
    )
