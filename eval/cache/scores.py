"""Scores by the content that they are of: what was scored once, in whichever run, is known.

A score's key holds all that it depends on and nothing else, so that what is found is what would be
computed, to the last bit: the video, the texts and companions that the metric reads, its
fingerprint, and the environment that computes.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from eval.cache.file import Cache
from eval.plan import Plan
from metrics.metric import Metric
from mora.records import (
    Failure,
    FailureKind,
    Json,
    MediaRef,
    Score,
    Video,
    content_hash,
)

KEPT_FAILURES: Final = frozenset(
    {
        FailureKind.TOO_FEW_FRAMES,
        FailureKind.TOO_SMALL,
        FailureKind.NO_PROMPT,
        FailureKind.NOT_STATED,
        FailureKind.NOT_APPLICABLE,
        FailureKind.NOT_FINITE,
    }
)
"""Failures that follow from what is in the key, and so are there for good. The others come from a
file, a service or a program, and may be gone the next time."""

VIDEOS: Final = 256
"""Videos that are looked up at once, and go into the ledger in one transaction."""

_SELECT: Final = "SELECT key, value, per_frame, failure, message FROM scores WHERE key IN"
_INSERT: Final = """
INSERT INTO scores (key, value, per_frame, failure, message) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, per_frame = excluded.per_frame,
    failure = excluded.failure, message = excluded.message
    WHERE scores.failure IS NOT NULL
"""


class ScoreCache:
    """Scores of all runs, by content.

    Args:
        cache: The open file.
        environment: What computes, as `eval.cache.machine.environment` names it.
    """

    def __init__(self, cache: Cache, environment: str) -> None:
        self._cache = cache
        self._environment = environment

    def known(self, work: Plan, *, failures: bool = True) -> Iterator[list[Score]]:
        """Looks up what a plan lacks.

        Args:
            work: The plan.
            failures: Whether failures count as known.

        Returns:
            Scores that are known, of up to `VIDEOS` videos at a time, in the plan's order of
            videos. `seconds` is 0: they cost nothing here.

        Raises:
            CacheError: The file cannot be read.
        """
        prints = {name: each.id for name, each in work.fingerprints.items()}
        for start in range(0, len(work.videos), VIDEOS):
            asked: dict[bytes, list[tuple[Video, Metric]]] = defaultdict(list)
            for video in work.videos[start : start + VIDEOS]:
                for metric in work.metrics[video.id]:
                    key = self._key(video, work.styles.get(video.id), metric, prints[metric.name])
                    if key is not None:
                        asked[key].append((video, metric))
            marks = ",".join("?" * len(asked))
            found = {row[0]: row for row in self._cache.rows(f"{_SELECT} ({marks})", list(asked))}
            yield [
                _score(video, metric, prints[metric.name], found[key])
                for key, places in asked.items()
                if key in found and (failures or found[key][3] is None)
                for video, metric in places
            ]

    def keep(self, work: Plan, video: Video, scores: Sequence[Score]) -> None:
        """Keeps scores that were computed; of a key's values the first stays.

        Args:
            work: The plan that they were computed after.
            video: What they are of.
            scores: Values and failures; failures that may pass are left out.

        Raises:
            CacheError: The file cannot be written.
        """
        metrics = {metric.name: metric for metric in work.metrics[video.id]}
        style = work.styles.get(video.id)
        rows = []
        for score in scores:
            if score.failure is not None and score.failure.kind not in KEPT_FAILURES:
                continue
            key = self._key(video, style, metrics[score.metric], score.fingerprint)
            if key is not None:
                rows.append((key, *_columns(score)))
        if rows:
            with self._cache.transaction() as sql:
                sql.executemany(_INSERT, rows)

    def __len__(self) -> int:
        [(count,)] = self._cache.rows("SELECT count(*) FROM scores")
        return int(count)

    def _key(
        self, video: Video, style: str | None, metric: Metric, fingerprint: str
    ) -> bytes | None:
        """Key of a score; `None` where it depends on what has no content that could be named."""
        media = video.media
        if media is None or any(feature.captioned for feature in metric.features):
            return None
        companions: dict[str, Json] = {}
        for role in metric.companions:
            companion = video.companions.get(role)
            if isinstance(companion, Failure):
                return None
            companions[role.value] = None if companion is None else _content(companion)
        texts = {"prompt": video.text, "style": style}
        read = {feature.text for feature in metric.features if feature.text is not None}
        # Frames can only be given by what a video was made from, so metrics that read no
        # companion do not ask which they are.
        given = video.given if companions else None
        depends: Mapping[str, Json] = {
            "environment": self._environment,
            "fingerprint": fingerprint,
            "video": _content(media),
            "texts": {which: texts[which] for which in sorted(read)},
            "companions": companions,
            "given": None if given is None else [given.start, given.end],
        }
        return bytes.fromhex(content_hash(depends))


def _content(media: MediaRef) -> list[Json]:
    """What a medium is. A folder of pictures does not say its rate, so that it counts."""
    return [media.sha256, media.kind, media.fps]


def _columns(score: Score) -> tuple[object, ...]:
    series = np.asarray(score.per_frame, dtype="<f8").tobytes()
    if score.failure is None:
        return score.value, series, None, None
    return None, series, score.failure.kind.value, score.failure.message


def _score(video: Video, metric: Metric, fingerprint: str, row: tuple[Any, ...]) -> Score:
    _, value, series, failure, message = row
    return Score(
        video_id=video.id,
        metric=metric.name,
        fingerprint=fingerprint,
        value=value,
        per_frame=tuple(np.frombuffer(series, dtype="<f8").tolist()),
        failure=None if failure is None else Failure(kind=failure, message=message),
    )
