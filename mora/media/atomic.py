"""Files appear under their name only when they are whole and on the disk."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_PREFIX = ".writing-"


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` to write to, then moves it to `path`.

    After a crash `path` is the old file, the new file or absent, never half of one. If the body
    raises, nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_in(path.parent, path.suffix) as temporary:
        yield temporary
        publish(temporary, path)


@contextmanager
def temporary_in(folder: Path, suffix: str) -> Iterator[Path]:
    """Gives a fresh path in `folder`; whatever is still there at the end is removed."""
    temporary = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{suffix}"
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path) -> None:
    """Flushes a finished file to the disk and moves it to its place on the same file system."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Waits until a file's content, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
