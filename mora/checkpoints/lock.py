"""The lock file: digests that no publisher states, as they were when a file first came here.

Trust on first use: the first download is believed, and every later one must be the same.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock
from pydantic import Field, ValidationError

from mora.checkpoints import CheckpointError
from mora.records import Record

NAME: Final = "checkpoints.lock.json"
"""Name of the lock file in the folder of official weights."""


class Entry(Record):
    """What a file was when it first came here."""

    origin: str
    """Address or hub id that it came from."""
    size: int
    """Its bytes."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Its digest in hex."""
    recorded: str
    """The day, as `2026-01-31`."""


class Entries(Record):
    """The whole of a lock file."""

    files: dict[str, Entry] = Field(default_factory=dict)
    """By name: a checkpoint's, or `owner/name@commit/file` for a file of a pipeline."""


class Lock:
    """A lock file.

    Args:
        folder: Folder of the official weights, which holds it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def read(self) -> dict[str, Entry]:
        """Returns all entries; none where there is no lock file yet.

        Raises:
            CheckpointError: The file is not a lock file.
        """
        if not self.path.is_file():
            return {}
        try:
            return dict(Entries.model_validate_json(self.path.read_bytes()).files)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise CheckpointError(
                f"{self.path}: expected a lock file of mora models, found {place}: {first['msg']}. "
                "Put back the copy that you trust, or delete it to trust what comes next."
            ) from None

    def compare(self, name: str, *, size: int, sha256: str) -> bool:
        """Compares a file with its entry.

        Args:
            name: Name of the entry.
            size: Bytes of the file.
            sha256: Its digest.

        Returns:
            Whether there is an entry, which is then the same.

        Raises:
            CheckpointError: The entry is another one.
        """
        entry = self.read().get(name)
        if entry is None:
            return False
        if (entry.size, entry.sha256) != (size, sha256):
            raise CheckpointError(
                f"{name}: found {size:,} bytes with sha256 {sha256}, expected {entry.size:,} bytes "
                f"with sha256 {entry.sha256} as recorded on {entry.recorded}; either this copy is "
                "damaged or what is published has changed. If you trust the new file, remove "
                f"{name} from {self.path} and pull again."
            )
        return True

    def record(self, name: str, *, origin: str, size: int, sha256: str) -> None:
        """Compares a file with its entry, or makes one.

        Raises:
            CheckpointError: There is another entry.
        """
        # mora.media brings the video libraries along, which only who writes needs to wait for.
        from mora.media.atomic import writing

        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):
            if self.compare(name, size=size, sha256=sha256):
                return
            today = datetime.now(UTC).date().isoformat()
            entry = Entry(origin=origin, size=size, sha256=sha256, recorded=today)
            entries = Entries(files=dict(sorted((self.read() | {name: entry}).items())))
            with writing(self.path) as temporary:
                temporary.write_text(entries.model_dump_json(indent=1) + "\n")
