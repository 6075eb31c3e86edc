"""Scores the videos of a run: plan, decode, features, scores, into the ledger.

What a video's metrics gave is stored in one transaction, so that a killed evaluation goes on with
the videos that are left. What is known from other runs is not computed again (`eval.cache`). Where
the work is done is the executor's affair (`eval.executors`), what is done `eval.scoring`'s; here
the plan is made and what comes back is recorded.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from eval.cache import ScoreCache
from eval.executors import Executor, Local
from eval.ledger import Ledger
from eval.plan import Plan, left_out, make_plan
from metrics.networks import Networks
from metrics.protocol import Protocol
from metrics.registry import METRICS, make_metrics
from mora.records import Video


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is.

    Attributes:
        done: Videos that were gone through, those of earlier sessions included.
        total: Videos of the run.
        failed: Scores that failed in this session.
        video: The video that was gone through last, `None` at the start.
        unscored: Videos, by id, that lack scores because memory ran out, and what was said.
        cached: Scores that were known from other runs.
    """

    done: int
    total: int
    failed: int
    video: Video | None
    unscored: Mapping[str, str] = field(default_factory=dict)
    cached: int = 0


def evaluate(
    ledger: Ledger,
    protocol: Protocol,
    networks: Networks,
    *,
    metrics: Sequence[str] | None = None,
    only: Collection[str] | None = None,
    executor: Executor | None = None,
    retry_failures: bool = False,
    cache: ScoreCache | None = None,
    planned: Callable[[Plan], None] = lambda _: None,
    report: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Gives every video of a run a score of every metric, or the reason why it has none.

    Args:
        ledger: The run's, open to write.
        protocol: The choices that the numbers depend on.
        networks: Weights to compute features with, and where.
        metrics: Names of metrics, in the order in which they are computed; `None` takes all but
            those that `eval.plan.left_out` tells.
        only: Ids of the videos to score; `None` takes all.
        executor: Where the work is done; `None` is this process.
        retry_failures: Whether scores that failed in an earlier session are tried again.
        cache: Scores of other runs; `None` computes all.
        planned: Called with what is left to compute, before that begins.
        report: Called at the start and after each video, or each batch of those that were known.

    Returns:
        The last progress.

    Raises:
        MissingWeightsError: Weights that the metrics need are not there.
        MissingCaptionerError: A captioner that they need is not there.
        CaptionerError: It cannot be used.
        WeightsError: They cannot be read.
        MachineError: The GPU failed. What was scored before is stored.
        OSError: The system's means are exhausted, see `mora.errors.machine_fault`.
        CacheError: The cache cannot be read or written.
        ValueError: A metric is not known.
    """
    if metrics is None:
        without = left_out(ledger.videos(), protocol, networks)
        metrics = [name for name in METRICS if name not in without]
    work = make_plan(
        ledger,
        make_metrics(metrics, protocol),
        networks,
        only=only,
        retry_failures=retry_failures,
    )
    ledger.add_fingerprints(work.fingerprints.values())
    progress = Progress(work.skipped, work.skipped + len(work.videos), 0, None)
    report(progress)
    if cache is not None:
        known: set[tuple[str, str]] = set()
        for scores in cache.known(work, failures=not retry_failures):
            ledger.record_scores(scores)
            known |= {(score.video_id, score.metric) for score in scores}
            counts = Counter(score.video_id for score in scores)
            progress = replace(
                progress,
                done=progress.done + sum(n == len(work.metrics[id_]) for id_, n in counts.items()),
                failed=progress.failed + sum(score.failed for score in scores),
                cached=progress.cached + len(scores),
            )
            report(progress)
        work = work.without(known)
    planned(work)
    executor = Local() if executor is None else executor
    for scored in executor.scored(work, networks, ledger.run) if work.videos else ():
        ledger.record_scores(scored.scores)
        video, lack = scored.video, scored.lack
        if cache is not None:
            cache.keep(work, video, scored.scores)
        unscored = {} if lack is None else {video.id: lack.reason}
        progress = replace(
            progress,
            done=progress.done + 1,
            failed=progress.failed + sum(score.failed for score in scored.scores),
            video=video,
            unscored={**progress.unscored, **unscored},
        )
        report(progress)
    return progress
