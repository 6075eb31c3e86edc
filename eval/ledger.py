"""The ledger of a run: one SQLite file that says what was asked, made and scored.

One process writes, any number read while it does. Each call that writes is one transaction, so
whatever a killed run left is a consistent prefix of what it would have written, and the same
command run again goes on from there. No time of day is stored: two runs that asked for the same
things and got the same numbers hold the same rows.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mora.records import Artifact, Failure, Fingerprint, Json, Request, Score, Video

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
APPLICATION_ID = 0x4D6F7261
"""`Mora` in ASCII, in the file's header: tells a ledger from any other SQLite file."""

FILE_NAME = "ledger.sqlite"
LOCK_NAME = "ledger.lock"

HARMLESS = ("device", "executor", "batch_size", "workers", "progress", "verbose")
"""Settings (or groups of settings) that no result depends on: a run may go on with others."""

_SCHEMA = """
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

_LONG = """
SELECT v.ordinal, v.id AS video_id, v.model, f.protocol, f.metric, f.id AS fingerprint,
       s.value, s.failure, s.message, s.seconds
FROM scores AS s
JOIN videos AS v ON v.id = s.video_id
JOIN fingerprints AS f ON f.id = s.fingerprint_id
ORDER BY v.ordinal, f.ordinal
"""

_RECORDS = """
SELECT v.id, f.metric, f.id, s.value, p.per_frame, s.seconds, s.failure, s.message
FROM scores AS s
JOIN videos AS v ON v.id = s.video_id
JOIN fingerprints AS f ON f.id = s.fingerprint_id
LEFT JOIN series AS p ON p.video_id = s.video_id AND p.fingerprint_id = s.fingerprint_id
"""


class LedgerError(RuntimeError):
    """The ledger cannot be opened, or cannot take what it was given."""


class LedgerBusyError(LedgerError):
    """Another process writes to the run."""


class SettingsDifferError(LedgerError):
    """The run was asked for with other settings than those it is to go on with."""


class Ledger:
    """Reads and, where opened for it, writes the ledger of one run.

    Get one from `Ledger.open` (to write) or `Ledger.read`; use it as a context manager, or call
    `close`. A ledger belongs to the thread that opened it.

    Attributes:
        run: Folder of the run.
        writable: Whether this process holds the run's lock.
    """

    def __init__(self, run: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.run = run
        self.writable = lock is not None
        self._connection = connection
        self._lock = lock

    # -- opening and closing ------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        run: Path | str,
        settings: Mapping[str, Json] | None = None,
        *,
        harmless: Collection[str] = HARMLESS,
    ) -> Self:
        """Opens a run's ledger to write, and creates folder and file where there are none.

        Args:
            run: Folder of the run.
            settings: What was asked for, nested as in the configuration. They are stored with a
                new run and compared with those of an old one. `None` goes on with an existing run
                whatever was asked, for example to score its videos.
            harmless: Names of settings, or of groups of them, that may differ from the run's.

        Raises:
            LedgerBusyError: Another process, or another ledger in this one, writes to the run.
            SettingsDifferError: A setting that matters differs from the run's.
            LedgerError: The file is not a ledger or of another version, or `settings` is `None`
                and there is no ledger.
        """
        run = Path(run)
        path = run / FILE_NAME
        if settings is None and not path.exists():
            raise LedgerError(_no_ledger(run))
        run.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(run)
        ledger = cls(run, sqlite3.connect(path, timeout=30, isolation_level=None), lock)
        try:
            ledger._prepare()
            if settings is not None:
                ledger._settle(flatten(settings), harmless)
        except BaseException:
            ledger.close()
            raise
        return ledger

    @classmethod
    def read(cls, run: Path | str) -> Self:
        """Opens a run's ledger to read, also while another process writes to it.

        Args:
            run: Folder of the run, or the ledger file itself.

        Raises:
            LedgerError: There is no ledger, or it is not one, or of another version.
        """
        run = Path(run)
        if run.name == FILE_NAME and not run.is_dir():
            run = run.parent
        path = run / FILE_NAME
        if not path.exists():
            raise LedgerError(_no_ledger(run))
        # SQLite shares a WAL file's index through a file beside it. Where the folder cannot be
        # written and no writer left a WAL, the ledger cannot change and needs none.
        still = not os.access(run, os.W_OK) and not (run / f"{FILE_NAME}-wal").exists()
        uri = f"{path.resolve().as_uri()}?{'immutable=1' if still else 'mode=ro'}"
        connection = sqlite3.connect(uri, timeout=30, isolation_level=None, uri=True)
        ledger = cls(run, connection, None)
        ledger._check_version()
        return ledger

    def close(self) -> None:
        """Closes the file and lets go of the lock. Closing twice is fine."""
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self.writable = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- what was asked for -------------------------------------------------------------------

    def settings(self) -> dict[str, Json]:
        """The run's settings by dotted name, sorted by name."""
        rows = self._connection.execute("SELECT name, value FROM meta ORDER BY name")
        return {name: json.loads(value) for name, value in rows}

    def add_requests(self, requests: Iterable[Request]) -> None:
        """Adds requests in their order. Those that are there already stay as they are."""
        with self._transaction() as sql:
            sql.executemany(
                "INSERT INTO requests (id, record) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
                [(request.id, request.model_dump_json()) for request in requests],
            )

    def requests(self) -> list[Request]:
        """All requests in the order in which they were added."""
        rows = self._connection.execute("SELECT record FROM requests ORDER BY ordinal")
        return [Request.model_validate_json(record) for (record,) in rows]

    # -- what the stages made -----------------------------------------------------------------

    def record_artifact(self, request_id: str, artifact: Artifact) -> None:
        """Stores what a stage made and links it to the request it was made for.

        What was made once stays: a second artifact of the same key is ignored, unless the first
        is a failure.

        Raises:
            LedgerError: The request is not in the ledger.
        """
        with self._transaction() as sql:
            sql.execute(
                "INSERT INTO artifacts (key, record) VALUES (?, ?) ON CONFLICT (key) "
                "DO UPDATE SET record = excluded.record WHERE artifacts.failure IS NOT NULL",
                (artifact.key, artifact.model_dump_json()),
            )
            self._link(sql, request_id, artifact.key)

    def artifact(self, key: str) -> Artifact | None:
        """The artifact of this key, whichever request it was made for; `None` if there is none."""
        row = self._connection.execute(
            "SELECT record FROM artifacts WHERE key = ?", (key,)
        ).fetchone()
        return Artifact.model_validate_json(row[0]) if row else None

    def link(self, request_id: str, key: str) -> None:
        """Says that the stage which made artifact `key` gives it to this request, too.

        Raises:
            LedgerError: The ledger has no such request, or no such artifact.
        """
        with self._transaction() as sql:
            self._link(sql, request_id, key)

    def artifacts(self, request_id: str) -> dict[str, Artifact]:
        """What each stage made for a request, by stage, in the order in which it was made."""
        rows = self._connection.execute(
            "SELECT l.stage, a.record FROM links AS l JOIN artifacts AS a ON a.key = l.artifact_key"
            " WHERE l.request_id = ? ORDER BY l.rowid",
            (request_id,),
        )
        return {stage: Artifact.model_validate_json(record) for stage, record in rows}

    # -- videos and their scores --------------------------------------------------------------

    def add_videos(self, videos: Iterable[Video]) -> None:
        """Adds videos in their order; their place in that order is their ordinal.

        Those that are there already stay as they are, except that a failure is replaced by a
        video (or by another failure); the scores of that failure go with it.

        Raises:
            LedgerError: A video is there already with other content.
        """
        with self._transaction() as sql:
            for video in videos:
                record = video.model_dump_json()
                row = sql.execute("SELECT record FROM videos WHERE id = ?", (video.id,)).fetchone()
                if row is None:
                    sql.execute("INSERT INTO videos (id, record) VALUES (?, ?)", (video.id, record))
                    continue
                stored = Video.model_validate_json(row[0])
                if stored == video:
                    continue
                if stored.media is not None:
                    raise LedgerError(_other_content(self.run, stored, video))
                sql.execute("DELETE FROM scores WHERE video_id = ?", (video.id,))
                sql.execute("UPDATE videos SET record = ? WHERE id = ?", (record, video.id))

    def videos(self) -> list[Video]:
        """All videos, failures included, in the order in which they were added."""
        rows = self._connection.execute("SELECT record FROM videos ORDER BY ordinal")
        return [Video.model_validate_json(record) for (record,) in rows]

    def add_fingerprints(self, fingerprints: Iterable[Fingerprint]) -> None:
        """Adds fingerprints, which scores refer to. Those that are there already stay."""
        with self._transaction() as sql:
            sql.executemany(
                "INSERT INTO fingerprints (id, record) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
                [(each.id, each.model_dump_json()) for each in fingerprints],
            )

    def fingerprints(self) -> list[Fingerprint]:
        """All fingerprints in the order in which they were added."""
        rows = self._connection.execute("SELECT record FROM fingerprints ORDER BY ordinal")
        return [Fingerprint.model_validate_json(record) for (record,) in rows]

    def pending(
        self,
        video_ids: Sequence[str],
        fingerprints: Sequence[Fingerprint],
        *,
        retry_failures: bool = False,
    ) -> dict[str, list[str]]:
        """What is left to score.

        Args:
            video_ids: Videos to score, in the order in which the answer has them.
            fingerprints: Fingerprint of each metric that is wanted.
            retry_failures: Whether a recorded failure counts as left to do.

        Returns:
            Ids of videos that lack a score, each with the names of the metrics that it lacks.
        """
        query = "SELECT video_id, fingerprint_id FROM scores"
        if retry_failures:
            query += " WHERE failure IS NULL"
        done = set(self._connection.execute(query))
        lacking = {
            video_id: [f.metric for f in fingerprints if (video_id, f.id) not in done]
            for video_id in video_ids
        }
        return {video_id: metrics for video_id, metrics in lacking.items() if metrics}

    def record_scores(self, scores: Sequence[Score]) -> None:
        """Stores scores, all or none of them.

        A value that is recorded under the same fingerprint stays; a failure is replaced.

        Raises:
            LedgerError: A score names a video or a fingerprint that is not in the ledger, or
                another metric than its fingerprint, or its value or series is not finite.
        """
        with self._transaction() as sql:
            metrics = dict(sql.execute("SELECT id, metric FROM fingerprints"))
            for score in scores:
                self._record_score(sql, score, metrics)

    def score(self, video_id: str, fingerprint_id: str) -> Score | None:
        """One score with its series, `None` if it is not recorded."""
        rows = self._connection.execute(
            f"{_RECORDS} WHERE s.video_id = ? AND s.fingerprint_id = ?", (video_id, fingerprint_id)
        )
        return next(map(_score, rows), None)

    def all_scores(self) -> list[Score]:
        """All scores with their series, by video's and fingerprint's ordinal."""
        rows = self._connection.execute(f"{_RECORDS} ORDER BY v.ordinal, f.ordinal")
        return [_score(row) for row in rows]

    def scores(self) -> "pd.DataFrame":
        """All scores, one row each, by video's and fingerprint's ordinal.

        Returns:
            Frame with columns ordinal, video_id, model, protocol, metric, fingerprint, value
            (NaN where the score is a failure), failure (its kind), message, seconds.
        """
        import pandas as pd

        cursor = self._connection.execute(_LONG)
        columns = [column[0] for column in cursor.description]
        frame = pd.DataFrame(cursor.fetchall(), columns=columns)
        return frame.astype({"value": "float64", "seconds": "float64", "ordinal": "int64"})

    def wide(self, protocol: str | None = None) -> "pd.DataFrame":
        """All videos, one row each, with a column for each metric.

        Args:
            protocol: Only scores of this protocol; `None` takes all.

        Returns:
            Frame indexed by video id, in the videos' order, with the column model and one column
            a metric; NaN where there is no value.

        Raises:
            LedgerError: A metric was scored under several fingerprints.
        """
        import pandas as pd

        scores = self.scores()
        if protocol is not None:
            scores = scores[scores["protocol"] == protocol]
        for metric, prints in scores.groupby("metric")["fingerprint"].unique().items():
            if len(prints) > 1:
                raise LedgerError(
                    f"{self.run}: {metric} was scored under {len(prints)} fingerprints "
                    f"({', '.join(sorted(prints))}), which one column cannot hold. "
                    "Name a protocol, or use the long form."
                )
        videos = self.videos()
        index = pd.Index([video.id for video in videos], name="video_id")
        models = pd.DataFrame({"model": [video.model for video in videos]}, index=index)
        order = list(dict.fromkeys(print_.metric for print_ in self.fingerprints()))
        values = scores.pivot(index="video_id", columns="metric", values="value")
        values = values.reindex(columns=[m for m in order if m in values.columns])
        values.columns.name = None
        return models.join(values)

    # -- inside -------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if not self.writable:
            raise LedgerError(
                f"{self.run / FILE_NAME} is open for reading only. Open it with Ledger.open."
            )
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _prepare(self) -> None:
        """Sets up a writing connection, and the tables if the file is new."""
        version = self._user_version()
        tables = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if version or tables:
            self._check_version()
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may lose the last transactions, never the order or the wholeness of the rest.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        if not version:
            with self._transaction() as sql:
                for statement in _SCHEMA.split(";\n\n"):
                    sql.execute(statement)
                sql.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                sql.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _check_version(self) -> None:
        path = self.run / FILE_NAME
        version = self._user_version()
        kind = self._connection.execute("PRAGMA application_id").fetchone()[0]
        if kind != APPLICATION_ID:
            self._connection.close()
            raise LedgerError(
                f"{path} is an SQLite file of something else than Mora bench. "
                "Name another folder for the run."
            )
        if version != SCHEMA_VERSION:
            self._connection.close()
            raise LedgerError(
                f"{path} has schema version {version}, this program reads version "
                f"{SCHEMA_VERSION}. Use the program that made it, or make the run again."
            )

    def _user_version(self) -> int:
        try:
            return int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise LedgerError(
                f"{self.run / FILE_NAME} is not a ledger ({error}). "
                "Name another folder for the run, or remove the file."
            ) from error

    def _settle(self, settings: Mapping[str, Json], harmless: Collection[str]) -> None:
        """Stores the settings of a new run, or compares those of an old one."""
        stored = self.settings()
        if not stored:
            with self._transaction() as sql:
                sql.executemany(
                    "INSERT INTO meta (name, value) VALUES (?, ?)",
                    [(name, json.dumps(value)) for name, value in settings.items()],
                )
            return
        for name in sorted(stored.keys() | settings.keys()):
            if any(name == each or name.startswith(f"{each}.") for each in harmless):
                continue
            if (name in stored, stored.get(name)) != (name in settings, settings.get(name)):
                raise SettingsDifferError(
                    f"{self.run} was asked for with {_said(name, stored)}, now it is "
                    f"{_said(name, settings)}. Go on with the same settings, or name another "
                    "folder for the run."
                )

    def _link(self, sql: sqlite3.Connection, request_id: str, key: str) -> None:
        try:
            linked = sql.execute(
                "INSERT INTO links (request_id, stage, artifact_key) "
                "SELECT ?, stage, key FROM artifacts WHERE key = ? "
                "ON CONFLICT (request_id, stage) DO UPDATE SET artifact_key = excluded.artifact_key"
                " RETURNING 1",
                (request_id, key),
            ).fetchall()
        except sqlite3.IntegrityError as error:
            raise LedgerError(
                f"{self.run}: request {request_id} is not in the ledger. Add requests before "
                "their artifacts."
            ) from error
        if not linked:
            raise LedgerError(f"{self.run}: there is no artifact {key} to link.")

    def _record_score(
        self, sql: sqlite3.Connection, score: Score, metrics: Mapping[str, str]
    ) -> None:
        where = f"{self.run}: score of {score.metric} for video {score.video_id}"
        if metrics.get(score.fingerprint) != score.metric:
            found = metrics.get(score.fingerprint)
            raise LedgerError(
                f"{where}: fingerprint {score.fingerprint} is "
                f"{'of ' + found if found else 'not in the ledger'}. Add the metric's own first."
            )
        series = np.asarray(score.per_frame, dtype="<f8")
        value = 0.0 if score.value is None else score.value
        if not (np.isfinite(value) and np.isfinite(series).all()):
            raise LedgerError(f"{where} is not finite. Record a failure of kind not_finite.")
        ids = (score.video_id, score.fingerprint)
        failure = score.failure
        try:
            sql.execute(
                "DELETE FROM scores WHERE video_id = ? AND fingerprint_id = ? "
                "AND failure IS NOT NULL",
                ids,
            )
            written = sql.execute(
                "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (video_id, fingerprint_id) DO NOTHING RETURNING 1",
                (
                    *ids,
                    score.value,
                    failure.kind if failure else None,
                    failure.message if failure else None,
                    score.seconds,
                ),
            ).fetchall()
        except sqlite3.IntegrityError as error:
            raise LedgerError(f"{where}: the video is not in the ledger. Add it first.") from error
        if written and series.size:
            sql.execute("INSERT INTO series VALUES (?, ?, ?)", (*ids, series.tobytes()))


def flatten(settings: Mapping[str, Json], prefix: str = "") -> dict[str, Json]:
    """Nested settings by dotted name, as JSON gives them back: `{"a.b": 1}`."""
    flat: dict[str, Json] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.loads(json.dumps(value))
    return flat


def _take_lock(run: Path) -> int:
    """Takes the run's lock, which the kernel lets go of when the process ends, however it ends."""
    lock = os.open(run / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
        os.close(lock)
        raise LedgerBusyError(
            f"{run} is being written by another process{f' ({holder})' if holder else ''}. "
            "Wait for it to end, or name another folder for the run."
        ) from error
    os.truncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()}\n".encode(), 0)
    return lock


def _score(row: tuple[Any, ...]) -> Score:
    video_id, metric, fingerprint, value, series, seconds, failure, message = row
    return Score(
        video_id=video_id,
        metric=metric,
        fingerprint=fingerprint,
        value=value,
        per_frame=tuple(np.frombuffer(series or b"", dtype="<f8").tolist()),
        seconds=seconds,
        failure=Failure(kind=failure, message=message) if failure else None,
    )


def _no_ledger(run: Path) -> str:
    return (
        f"{run} holds no run: there is no {FILE_NAME} in it. "
        "Name the folder that `mora generate` or `mora evaluate` wrote."
    )


def _said(name: str, settings: Mapping[str, Json]) -> str:
    return f"{name} = {json.dumps(settings[name])}" if name in settings else f"{name} not set"


def _other_content(run: Path, stored: Video, video: Video) -> str:
    def what(each: Video) -> dict[str, Any]:
        return each.model_dump(mode="json")

    before, after = what(stored), what(video)
    field = next(name for name in before if before[name] != after[name])
    return (
        f"{run}: video {video.id} is recorded with {field} = {before[field]!r}, "
        f"now it is {after[field]!r}. A run keeps what it scored; use another folder for the run."
    )
