"""What the files of SQLite share: whole transactions, and a journal that readers do not wait for.

Any number of processes may read and write such a file at once, and any of them may be killed at
any moment: the write-ahead log leaves whole transactions only.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

PATIENCE: Final = 60.0
"""Seconds to wait for other processes' transactions, each of which takes milliseconds."""


class OpenFile:
    """An open file, which is a context manager that closes it. It belongs to its thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        """Closes the file. Closing twice is fine."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Writes all that is executed on the connection meanwhile, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def write_ahead(connection: sqlite3.Connection) -> None:
    """Makes a file's journal a write-ahead log, which is kept with the file.

    The change asks for the file alone, and SQLite refuses it at once where another process is
    about it too, whatever the connection's timeout. So it is asked again, for `PATIENCE` seconds.

    Raises:
        sqlite3.Error: The file is damaged, cannot be written, or stayed in others' hands.
    """
    deadline = time.monotonic() + PATIENCE
    while _is_held(connection, last=time.monotonic() > deadline):
        time.sleep(0.01)
    # A power cut may lose the last transactions, never the order or the wholeness of the rest.
    connection.execute("PRAGMA synchronous = NORMAL")


def _is_held(connection: sqlite3.Connection, *, last: bool) -> bool:
    """Whether others kept the journal from being changed. The last try raises the error."""
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return True
    return False
