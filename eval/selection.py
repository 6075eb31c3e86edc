"""Which of a run's scores a table shows: one fingerprint for each metric, in all its runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eval.ledger import LedgerError, LedgerReader
from mora.records import Failure, Fingerprint, TaskName, Video


class MixedFingerprintsError(LedgerError):
    """Numbers that do not compare were asked for in one column."""


@dataclass(frozen=True)
class Scored:
    """A video's score of one metric.

    Attributes:
        value: The score, `None` if it failed.
        frames: Values that it was averaged from, at least 1.
        failure: Why it failed.
        weights: Set of weights that it was computed with.
    """

    value: float | None
    frames: int
    failure: Failure | None
    weights: str


@dataclass(frozen=True)
class Selection:
    """The scores of one metric that a table shows.

    Attributes:
        metric: Its name.
        fingerprints: What they were computed under: one, or several if mixing was allowed.
        scores: The scores by run's place and video's id. Videos that were not scored are absent.
    """

    metric: str
    fingerprints: tuple[Fingerprint, ...] = ()
    scores: Mapping[tuple[int, str], Scored] = field(default_factory=dict)

    @property
    def weighting(self) -> str:
        """What weighs alike in the mean: `videos` or `frames`."""
        return str(self.fingerprints[0].choices["weighting"]) if self.fingerprints else "videos"


def select(
    ledgers: Sequence[LedgerReader],
    metrics: Sequence[str],
    task: TaskName,
    *,
    protocol: str | None = None,
    weights: str | None = None,
    mix: bool = False,
) -> dict[str, Selection]:
    """Picks the scores of each metric that compare with each other.

    They have one fingerprint: of those under which every video of every run was scored, the one
    that was added last; if there is only one fingerprint, that one, complete or not.

    Args:
        ledgers: The runs.
        metrics: Names of metrics.
        task: Only videos of this task count.
        protocol: Only scores under this protocol; `None` takes the only one there is.
        weights: Only scores with this set of weights; `None` takes the only one there is.
        mix: Whether scores under several fingerprints may stand in for each other; the one added
            last counts for each video.

    Raises:
        MixedFingerprintsError: The scores have several fingerprints, and none covers all videos;
            or several protocols or sets of weights, and none was named.
    """
    videos = [[video for video in ledger.videos() if video.task == task] for ledger in ledgers]
    stored = [_stored(ledger) for ledger in ledgers]
    wanted = [
        each
        for each in _prints(ledgers)
        if each.metric in metrics
        and protocol in (None, each.protocol)
        and weights in (None, each.weights)
        and any(each.id in scores for scores in stored)
    ]
    _only_one("protocol", sorted({each.protocol for each in wanted}))
    if not mix:
        _only_one("weights", sorted({each.weights for each in wanted}))
    return {
        metric: _chosen(
            metric, [each for each in wanted if each.metric == metric], videos, stored, mix
        )
        for metric in metrics
    }


Stored = dict[str, dict[str, Scored]]
"""Scores by fingerprint's id and video's id."""


def _chosen(
    metric: str,
    prints: Sequence[Fingerprint],
    videos: Sequence[Sequence[Video]],
    stored: Sequence[Stored],
    mix: bool,
) -> Selection:
    complete = [
        each
        for each in prints
        if all(
            video.id in scores.get(each.id, {})
            for run, scores in zip(videos, stored, strict=True)
            for video in run
        )
    ]
    if complete:
        used = complete[-1:]
    elif len(prints) <= 1 or mix:
        used = list(prints)
    else:
        raise MixedFingerprintsError(
            f"{metric}: the runs' scores differ in {', '.join(differences(prints))}, and numbers "
            "compare only where these agree. Evaluate all runs in the same way, or say mix=true "
            "to have them in one column all the same."
        )
    scores: dict[tuple[int, str], Scored] = {}
    taken: set[str] = set()
    for place, (run, found) in enumerate(zip(videos, stored, strict=True)):
        for video in run:
            for each in reversed(used):
                if video.id in found.get(each.id, {}):
                    scores[place, video.id] = found[each.id][video.id]
                    taken.add(each.id)
                    break
    return Selection(metric, tuple(each for each in used if each.id in taken), scores)


def differences(prints: Sequence[Fingerprint]) -> list[str]:
    """Names of the fields in which fingerprints differ, with the values that each takes."""
    flat = [_flat(each) for each in prints]
    names = dict.fromkeys(name for each in flat for name in each)
    found = []
    for name in names:
        values = list(dict.fromkeys(json.dumps(each.get(name)) for each in flat))
        if len(values) > 1:
            found.append(f"{name} ({' or '.join(values)})")
    return found


def _flat(each: Fingerprint) -> dict[str, object]:
    fields = each.model_dump(mode="json")
    flat = {name: value for name, value in fields.items() if not isinstance(value, dict)}
    for group in ("choices", "checkpoints"):
        flat |= {f"{group}.{name}": value for name, value in fields[group].items()}
    return flat


def _stored(ledger: LedgerReader) -> Stored:
    weights = {each.id: each.weights for each in ledger.fingerprints()}
    stored: Stored = {}
    for score in ledger.all_scores():
        scored = Scored(
            value=score.value,
            frames=max(1, len(score.per_frame)),
            failure=score.failure,
            weights=weights[score.fingerprint],
        )
        stored.setdefault(score.fingerprint, {})[score.video_id] = scored
    return stored


def _prints(ledgers: Sequence[LedgerReader]) -> list[Fingerprint]:
    """The runs' fingerprints, each once; of equal place, those of later runs come later."""
    found: dict[str, Fingerprint] = {}
    for ledger in ledgers:
        for each in ledger.fingerprints():
            found.setdefault(each.id, each)
    return list(found.values())


def _only_one(what: str, values: Sequence[str]) -> None:
    if len(values) > 1:
        raise MixedFingerprintsError(
            f"the runs were scored with several {what}: {', '.join(values)}. "
            f"Say which one the table shows: {what}={values[0]}."
        )
