"""Scores the videos of a run: plan, decode, features, scores, into the ledger.

What a video's metrics gave is stored in one transaction, so that a killed evaluation goes on with
the videos that are left. Where the work is done is the executor's affair (`eval.executors`), what
is done `eval.scoring`'s; here the plan is made and what comes back is recorded.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from eval.executors import Executor, Local
from eval.ledger import Ledger
from eval.plan import left_out, make_plan
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
    """

    done: int
    total: int
    failed: int
    video: Video | None
    unscored: Mapping[str, str] = field(default_factory=dict)


def evaluate(
    ledger: Ledger,
    protocol: Protocol,
    networks: Networks,
    *,
    metrics: Sequence[str] | None = None,
    only: Collection[str] | None = None,
    executor: Executor | None = None,
    retry_failures: bool = False,
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
        report: Called at the start and after each video.

    Returns:
        The last progress.

    Raises:
        MissingWeightsError: Weights that the metrics need are not there.
        MissingCaptionerError: A captioner that they need is not there.
        CaptionerError: It cannot be used.
        WeightsError: They cannot be read.
        MachineError: The GPU failed. What was scored before is stored.
        OSError: The system's means are exhausted, see `mora.errors.machine_fault`.
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
    total = work.skipped + len(work.videos)
    progress = Progress(work.skipped, total, 0, None)
    report(progress)
    executor = Local() if executor is None else executor
    for scored in executor.scored(work, networks, ledger.run):
        ledger.record_scores(scored.scores)
        video, lack = scored.video, scored.lack
        failed = progress.failed + sum(score.failed for score in scored.scores)
        unscored = (
            progress.unscored if lack is None else {**progress.unscored, video.id: lack.reason}
        )
        progress = Progress(progress.done + 1, total, failed, video, unscored)
        report(progress)
    return progress
