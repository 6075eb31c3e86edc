"""Reads a run's ledger, also while another process writes to it."""

import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from eval.ledger import schema
from eval.ledger.errors import LedgerError
from eval.ledger.schema import FILE_NAME
from eval.sqlite import PATIENCE, OpenFile
from mora.records import Artifact, Failure, Fingerprint, Json, Request, Score, Video

if TYPE_CHECKING:
    import pandas as pd

_LONG: Final = """
SELECT v.ordinal, v.id AS video_id, v.model, f.protocol, f.metric, f.id AS fingerprint,
       s.value, s.failure, s.message, s.seconds
FROM scores AS s
JOIN videos AS v ON v.id = s.video_id
JOIN fingerprints AS f ON f.id = s.fingerprint_id
ORDER BY v.ordinal, f.ordinal
"""

_RECORDS: Final = """
SELECT v.id, f.metric, f.id, s.value, p.per_frame, s.seconds, s.failure, s.message
FROM scores AS s
JOIN videos AS v ON v.id = s.video_id
JOIN fingerprints AS f ON f.id = s.fingerprint_id
LEFT JOIN series AS p ON p.video_id = s.video_id AND p.fingerprint_id = s.fingerprint_id
"""


class LedgerReader(OpenFile):
    """Reads the ledger of one run.

    Get one from `Ledger.read`; use it as a context manager, or call `close`. It belongs to the
    thread that opened it.

    Attributes:
        run: Folder of the run.
    """

    def __init__(self, run: Path, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.run = run

    def settings(self) -> dict[str, Json]:
        """The run's settings by dotted name, sorted by name."""
        rows = self._connection.execute("SELECT name, value FROM meta ORDER BY name")
        return {name: json.loads(value) for name, value in rows}

    def requests(self) -> list[Request]:
        """All requests in the order in which they were added."""
        rows = self._connection.execute("SELECT record FROM requests ORDER BY ordinal")
        return [Request.model_validate_json(record) for (record,) in rows]

    def artifact(self, key: str) -> Artifact | None:
        """The artifact of this key, whichever request it was made for; `None` if there is none."""
        row = self._connection.execute(
            "SELECT record FROM artifacts WHERE key = ?", (key,)
        ).fetchone()
        return Artifact.model_validate_json(row[0]) if row else None

    def caption(self, key: str) -> str | None:
        """The caption that `Ledger.keep_caption` kept under this key, if there is one."""
        kept = self.artifact(key)
        return None if kept is None else kept.text

    def artifacts(self, request_id: str) -> dict[str, Artifact]:
        """What each stage made for a request, by stage, in the order in which it was made."""
        rows = self._connection.execute(
            "SELECT l.stage, a.record FROM links AS l JOIN artifacts AS a ON a.key = l.artifact_key"
            " WHERE l.request_id = ? ORDER BY l.rowid",
            (request_id,),
        )
        return {stage: Artifact.model_validate_json(record) for stage, record in rows}

    def videos(self) -> list[Video]:
        """All videos, failures included, in the order in which they were added."""
        rows = self._connection.execute("SELECT record FROM videos ORDER BY ordinal")
        return [Video.model_validate_json(record) for (record,) in rows]

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
            retry_failures: Whether a recorded failure counts as left to do. That a metric does
                not apply is no failure.

        Returns:
            Ids of videos that lack a score, each with the names of the metrics that it lacks.
        """
        query = "SELECT video_id, fingerprint_id FROM scores"
        if retry_failures:
            query += " WHERE failure IS NULL OR failure = 'not_applicable'"
        done = set(self._connection.execute(query))
        lacking = {
            video_id: [f.metric for f in fingerprints if (video_id, f.id) not in done]
            for video_id in video_ids
        }
        return {video_id: metrics for video_id, metrics in lacking.items() if metrics}

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


def open_to_read(run: Path) -> LedgerReader:
    """Opens a run's ledger, see `Ledger.read`."""
    if run.name == FILE_NAME and not run.is_dir():
        run = run.parent
    path = run / FILE_NAME
    if not path.exists():
        raise schema.no_ledger(run)
    # SQLite shares a WAL file's index through a file beside it. Where the folder cannot be
    # written and no writer left a WAL, the ledger cannot change and needs none.
    still = not os.access(run, os.W_OK) and not (run / f"{FILE_NAME}-wal").exists()
    uri = f"{path.resolve().as_uri()}?{'immutable=1' if still else 'mode=ro'}"
    connection = sqlite3.connect(uri, timeout=PATIENCE, isolation_level=None, uri=True)
    try:
        schema.check(connection, path)
    except BaseException:
        connection.close()
        raise
    return LedgerReader(run, connection)


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
