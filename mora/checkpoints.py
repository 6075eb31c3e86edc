"""Where the miniature weights are, and what a folder of weights holds, as a hash."""

import hashlib
from pathlib import Path

from mora.records import content_hash

CHUNK = 1 << 20


class CheckpointError(FileNotFoundError):
    """Weights that were asked for are not where they should be."""


def mini_weights() -> Path:
    """Returns the folder of the miniature weights, `lab/weights` beside the package `mora`.

    The place is the same in a checkout and in an installed wheel.

    Raises:
        CheckpointError: The folder is missing.
    """
    folder = Path(__file__).resolve().parent.parent / "lab" / "weights"
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: the miniature weights are not there. They come with the project: "
            "check out the folder lab/weights, or install mora-bench again."
        )
    return folder


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
