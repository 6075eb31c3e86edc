"""The cache's file: where it is, how it is opened, and how it is told from other files."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from eval.sqlite import PATIENCE, OpenFile, transaction, write_ahead

FILE_NAME: Final = "scores.sqlite"
VERSION: Final = 1
APPLICATION_ID: Final = 0x4D6F7243
"""`MorC` in ASCII, in the file's header: tells a cache from any other SQLite file."""

_TABLES: Final = (
    """
    CREATE TABLE scores (
        key BLOB PRIMARY KEY,
        value REAL,
        per_frame BLOB NOT NULL,
        failure TEXT,
        message TEXT,
        CHECK ((value IS NULL) <> (failure IS NULL)),
        CHECK ((failure IS NULL) = (message IS NULL))
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE rates (
        ordinal INTEGER PRIMARY KEY,
        place TEXT NOT NULL,
        quantity TEXT NOT NULL,
        units REAL NOT NULL CHECK (units > 0),
        amount REAL NOT NULL CHECK (amount >= 0)
    ) STRICT
    """,
    "CREATE INDEX rates_of ON rates (place, quantity, ordinal)",
)


class CacheError(RuntimeError):
    """The cache cannot be used; the message names the file and says what to do."""


def cache_path() -> Path:
    """Returns where the cache is if nothing else is said: `mora/scores.sqlite` in the user's."""
    folder = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(folder).expanduser() / "mora" / FILE_NAME


class Cache(OpenFile):
    """The open file.

    Get one from `Cache.open`; use it as a context manager, or call `close`. It belongs to the
    thread that opened it.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens the file, and creates it and its folder where there are none.

        Raises:
            CacheError: The file cannot be made or written, or is not a cache of this version.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(path, error) from error
        cache = cls(path, connection)
        try:
            cache._prepare()
        except BaseException:
            cache.close()
            raise
        return cache

    @property
    def size(self) -> int:
        """Bytes on the disk, with what SQLite keeps beside the file."""
        beside = (self.path.with_name(self.path.name + end) for end in ("", "-wal", "-shm"))
        return sum(each.stat().st_size for each in beside if each.exists())

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a query gives.

        Raises:
            CacheError: The file is damaged, or cannot be read.
        """
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Writes all that is executed on the connection, or nothing of it.

        Raises:
            CacheError: The file is damaged, or cannot be written.
        """
        try:
            with transaction(self._connection) as sql:
                yield sql
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error

    def _prepare(self) -> None:
        """Sets up the connection, and the tables if the file is new."""
        self._check()  # nothing is written into a file of something else
        try:
            write_ahead(self._connection)
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error
        with self.transaction() as sql:
            if self._check():
                return  # another process was quicker, or the file is not new
            for table in _TABLES:
                sql.execute(table)
            sql.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            sql.execute(f"PRAGMA user_version = {VERSION}")

    def _check(self) -> bool:
        """Whether the file is a cache; `False` for an empty one.

        Raises:
            CacheError: It is something else.
        """
        # One query sees one state of the file, whatever other processes do meanwhile.
        [(application, version, tables)] = self.rows(
            "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) "
            "FROM pragma_application_id, pragma_user_version"
        )
        if not (application or version or tables):
            return False
        if application != APPLICATION_ID:
            raise CacheError(
                f"{self.path} is an SQLite file of something else than Mora bench's cache. Name "
                "another file with cache=PATH, or none with cache=none."
            )
        if version != VERSION:
            raise CacheError(
                f"{self.path} is a cache of version {version}, this program reads version "
                f"{VERSION}. Remove it, and scores are computed again; or name another file with "
                "cache=PATH."
            )
        return True


def _unusable(path: Path, error: Exception) -> CacheError:
    # SQLite's operational errors are of the disk, of rights and of locks; others are of the file.
    damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.OperationalError
    )
    remedy = (
        f"Remove it and, where there are, {path.name}-wal and {path.name}-shm beside it, and "
        "scores are computed again; or name another file with cache=PATH."
        if damaged
        else "Put that right, name another file with cache=PATH, or none with cache=none."
    )
    return CacheError(f"{path}: the cache of scores cannot be used ({error}). {remedy}")
