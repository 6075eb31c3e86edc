"""The ledger's file: its name, its tables, and how it is told from other files."""

import sqlite3
from pathlib import Path
from typing import Final

from eval.ledger.errors import LedgerError
from eval.sqlite import transaction

FILE_NAME: Final = "ledger.sqlite"
SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x4D6F7261
"""`Mora` in ASCII, in the file's header: tells a ledger from any other SQLite file."""

_TABLES: Final = """
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL CHECK (json_valid(value))
) STRICT;

CREATE TABLE requests (
    ordinal INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL,
    model TEXT AS (json_extract(record, '$.model')) VIRTUAL
) STRICT;

CREATE TABLE artifacts (
    ordinal INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL,
    stage TEXT AS (json_extract(record, '$.stage')) VIRTUAL,
    failure TEXT AS (json_extract(record, '$.failure.kind')) VIRTUAL
) STRICT;

CREATE TABLE links (
    request_id TEXT NOT NULL REFERENCES requests (id),
    stage TEXT NOT NULL,
    artifact_key TEXT NOT NULL REFERENCES artifacts (key),
    PRIMARY KEY (request_id, stage)
) STRICT;

CREATE TABLE videos (
    ordinal INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL,
    model TEXT AS (json_extract(record, '$.model')) VIRTUAL,
    failure TEXT AS (json_extract(record, '$.failure.kind')) VIRTUAL
) STRICT;

CREATE TABLE fingerprints (
    ordinal INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL,
    metric TEXT AS (json_extract(record, '$.metric')) VIRTUAL,
    protocol TEXT AS (json_extract(record, '$.protocol')) VIRTUAL
) STRICT;

CREATE TABLE scores (
    video_id TEXT NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
    fingerprint_id TEXT NOT NULL REFERENCES fingerprints (id),
    value REAL,
    failure TEXT,
    message TEXT,
    seconds REAL NOT NULL,
    PRIMARY KEY (video_id, fingerprint_id),
    CHECK ((value IS NULL) <> (failure IS NULL)),
    CHECK ((failure IS NULL) = (message IS NULL))
) STRICT;

CREATE TABLE series (
    video_id TEXT NOT NULL,
    fingerprint_id TEXT NOT NULL,
    per_frame BLOB NOT NULL,
    PRIMARY KEY (video_id, fingerprint_id),
    FOREIGN KEY (video_id, fingerprint_id)
        REFERENCES scores (video_id, fingerprint_id) ON DELETE CASCADE
) STRICT;
"""


def create(connection: sqlite3.Connection) -> None:
    """Makes the tables in an empty file, all of them or none."""
    statements = [
        *_TABLES.split(";\n\n"),
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {SCHEMA_VERSION}",
    ]
    with transaction(connection):
        for statement in statements:
            connection.execute(statement)


def is_empty(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether a file has neither tables nor a version, as one that was only just made.

    Raises:
        LedgerError: The file is not of SQLite.
    """
    version = _pragma(connection, "user_version", path)
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    return not version and not tables


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Sees to it that a file is a ledger of this version.

    Raises:
        LedgerError: It is not.
    """
    version = _pragma(connection, "user_version", path)
    if _pragma(connection, "application_id", path) != APPLICATION_ID:
        raise LedgerError(
            f"{path} is an SQLite file of something else than Mora bench. "
            "Name another folder for the run."
        )
    if version != SCHEMA_VERSION:
        raise LedgerError(
            f"{path} has schema version {version}, this program reads version "
            f"{SCHEMA_VERSION}. Use the program that made it, or make the run again."
        )


def no_ledger(run: Path) -> LedgerError:
    """The error that a folder has no ledger."""
    return LedgerError(
        f"{run} holds no run: there is no {FILE_NAME} in it. "
        "Name the folder that `mora generate` or `mora evaluate` wrote."
    )


def _pragma(connection: sqlite3.Connection, name: str, path: Path) -> int:
    try:
        return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise LedgerError(
            f"{path} is not a ledger ({error}). "
            "Name another folder for the run, or remove the file."
        ) from error
