"""Writes a run's ledger: one process at a time, one transaction a call."""

import fcntl
import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np

from eval.ledger import schema
from eval.ledger.errors import LedgerBusyError, LedgerError
from eval.ledger.reading import LedgerReader, open_to_read
from eval.ledger.schema import FILE_NAME
from eval.ledger.settings import HARMLESS, compare, flatten
from eval.sqlite import PATIENCE, transaction, write_ahead
from mora.records import Artifact, Fingerprint, Json, Request, Score, Video

LOCK_NAME: Final = "ledger.lock"
CAPTION: Final = "caption"
"""Stage of the artifacts that are captions; they belong to no request."""


class Ledger(LedgerReader):
    """Writes the ledger of one run, and reads it.

    Get one from `Ledger.open`; use it as a context manager, or call `close`. A ledger belongs to
    the thread that opened it, which holds the run's lock until it is closed.
    """

    def __init__(self, run: Path, connection: sqlite3.Connection, lock: int) -> None:
        super().__init__(run, connection)
        self._lock: int | None = lock

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
            raise schema.no_ledger(run)
        run.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(run)
        ledger = cls(run, sqlite3.connect(path, timeout=PATIENCE, isolation_level=None), lock)
        try:
            ledger._prepare()
            if settings is not None:
                ledger._settle(flatten(settings), harmless)
        except BaseException:
            ledger.close()
            raise
        return ledger

    @staticmethod
    def read(run: Path | str) -> LedgerReader:
        """Opens a run's ledger to read, also while another process writes to it.

        Args:
            run: Folder of the run, or the ledger file itself.

        Raises:
            LedgerError: There is no ledger, or it is not one, or of another version.
        """
        return open_to_read(Path(run))

    def close(self) -> None:
        """Closes the file and lets go of the lock. Closing twice is fine."""
        super().close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- what was asked for, and what the stages made -----------------------------------------

    def add_requests(self, requests: Iterable[Request]) -> None:
        """Adds requests in their order. Those that are there already stay as they are."""
        with transaction(self._connection) as sql:
            sql.executemany(
                "INSERT INTO requests (id, record) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
                [(request.id, request.model_dump_json()) for request in requests],
            )

    def record_artifact(self, request_id: str, artifact: Artifact) -> None:
        """Stores what a stage made and links it to the request it was made for.

        What was made once stays: a second artifact of the same key is ignored, unless the first
        is a failure.

        Raises:
            LedgerError: The request is not in the ledger.
        """
        with transaction(self._connection) as sql:
            sql.execute(
                "INSERT INTO artifacts (key, record) VALUES (?, ?) ON CONFLICT (key) "
                "DO UPDATE SET record = excluded.record WHERE artifacts.failure IS NOT NULL",
                (artifact.key, artifact.model_dump_json()),
            )
            self._link(sql, request_id, artifact.key)

    def keep_caption(self, key: str, text: str, captioner: str) -> None:
        """Keeps what a captioner said, for `caption` to give back; the first text of a key stays.

        Args:
            key: Hash of all that the caption depends on.
            text: The caption.
            captioner: Who said it.
        """
        caption = Artifact(key=key, stage=CAPTION, model=captioner, text=text)
        with transaction(self._connection) as sql:
            sql.execute(
                "INSERT INTO artifacts (key, record) VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
                (key, caption.model_dump_json()),
            )

    def link(self, request_id: str, key: str) -> None:
        """Says that the stage which made artifact `key` gives it to this request, too.

        Raises:
            LedgerError: The ledger has no such request, or no such artifact.
        """
        with transaction(self._connection) as sql:
            self._link(sql, request_id, key)

    # -- videos and their scores --------------------------------------------------------------

    def add_videos(self, videos: Iterable[Video]) -> None:
        """Adds videos in their order; their place in that order is their ordinal.

        Those that are there already stay as they are, except that a failure is replaced by a
        video (or by another failure); the scores of that failure go with it.

        Raises:
            LedgerError: A video is there already with other content.
        """
        with transaction(self._connection) as sql:
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

    def add_fingerprints(self, fingerprints: Iterable[Fingerprint]) -> None:
        """Adds fingerprints, which scores refer to. Those that are there already stay."""
        with transaction(self._connection) as sql:
            sql.executemany(
                "INSERT INTO fingerprints (id, record) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
                [(each.id, each.model_dump_json()) for each in fingerprints],
            )

    def record_scores(self, scores: Sequence[Score]) -> None:
        """Stores scores, all or none of them.

        A value that is recorded under the same fingerprint stays; a failure is replaced.

        Raises:
            LedgerError: A score names a video or a fingerprint that is not in the ledger, or
                another metric than its fingerprint, or its value or series is not finite.
        """
        with transaction(self._connection) as sql:
            metrics = dict(sql.execute("SELECT id, metric FROM fingerprints"))
            for score in scores:
                self._record_score(sql, score, metrics)

    # -- inside -------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Sets up the connection, and the tables if the file is new."""
        path = self.run / FILE_NAME
        new = schema.is_empty(self._connection, path)
        if not new:
            schema.check(self._connection, path)
        write_ahead(self._connection)
        self._connection.execute("PRAGMA foreign_keys = ON")
        if new:
            schema.create(self._connection)

    def _settle(self, settings: Mapping[str, Json], harmless: Collection[str]) -> None:
        """Stores the settings of a new run, or compares those of an old one."""
        stored = self.settings()
        if stored:
            compare(self.run, stored, settings, harmless)
            return
        with transaction(self._connection) as sql:
            sql.executemany(
                "INSERT INTO meta (name, value) VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in settings.items()],
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


def _other_content(run: Path, stored: Video, video: Video) -> str:
    which = f"{run}: video {stored.prompt_id or stored.id} of {stored.model}"
    if video.failure is not None:
        return (
            f"{which} was there when it was recorded, and now it is not: {video.failure.message}. "
            "Put it back, or use another folder for the run."
        )
    before, after = stored.model_dump(mode="json"), video.model_dump(mode="json")
    field = next(name for name in before if before[name] != after[name])
    return (
        f"{which} is recorded with {field} = {before[field]!r}, now it is {after[field]!r}. "
        "A run keeps what it scored; use another folder for the run."
    )
