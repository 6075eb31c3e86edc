"""Scores the videos of a run: plan, decode, features, scores, one video after another.

Each video is decoded once and each distinct feature computed once. What a video's metrics gave is
stored in one transaction, so that a killed evaluation goes on with the next video. A video that
cannot be scored costs only itself. Where the machine is at fault, nothing is recorded: what its
memory does not suffice for stays unscored, and a GPU that fails ends the session.

The numbers of a video depend on it and on its fingerprints alone: not on the other videos, their
order, how many are in flight, which other metrics are asked for, or what an earlier session left.
For that, networks run in float32 without shortcuts (`exact`) on inputs of fixed shape
(`metrics.features`).
"""

import gc
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from eval.companions import Companions, decoded
from eval.decode import OutOfMemory, Read, decode_ahead
from eval.ledger import Ledger
from eval.plan import Plan, left_out, make_plan
from metrics.backbones.padding import FrameTooSmallError
from metrics.captioners.captioner import CaptionError
from metrics.features import (
    Facts,
    Feature,
    Of,
    UnreadableCompanionError,
    Values,
)
from metrics.metric import Metric
from metrics.networks import Networks
from metrics.protocol import Protocol
from metrics.registry import METRICS, make_metrics
from mora.errors import MachineError, machine_fault
from mora.media import Clip
from mora.records import Failure, FailureKind, Fingerprint, Score, Video

Result = tuple[float, tuple[float, ...]] | Failure
"""A metric's value and series, or why there are none."""


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
    batch_size: int = 2,
    retry_failures: bool = False,
    read: Read | None = None,
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
        batch_size: Videos that are held decoded at once: the one that is scored and those that a
            thread decodes meanwhile. It decides memory and speed, not numbers.
        retry_failures: Whether scores that failed in an earlier session are tried again.
        read: Gives the videos' pixels; `None` reads their files, as `decode` does. It is called in
            another thread.
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
        ValueError: A metric is not known, or `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: at least one video has to be decoded at once.")
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
    for name in work.backbones:
        _ = networks[name]  # weights that cannot be read end the evaluation before it begins
    if work.captioned:
        networks.captions.captioner.load()
    companions = Companions(ledger.run, networks.device)
    with exact():
        for video, clip in decode_ahead(work.videos, ledger.run, batch_size, read):
            scores, lack = score_video(video, clip, work, networks, companions)
            ledger.record_scores(scores)
            failed = progress.failed + sum(score.failed for score in scores)
            unscored = (
                progress.unscored if lack is None else {**progress.unscored, video.id: lack.reason}
            )
            progress = Progress(progress.done + 1, total, failed, video, unscored)
            report(progress)
    return progress


def score_video(
    video: Video,
    clip: Clip | Failure | OutOfMemory,
    work: Plan,
    networks: Networks,
    companions: Companions,
) -> tuple[list[Score], OutOfMemory | None]:
    """Scores one video on the metrics that it lacks.

    A feature is let go as soon as no further metric needs it. A metric's time includes that of
    the features that it was the first to need.

    Args:
        video: The video.
        clip: What was decoded of it.
        work: The plan.
        networks: Networks to compute features with.
        companions: What the run's videos were made from.

    Returns:
        Scores, values or failures, of all metrics that memory sufficed for, and what was said
        where it did not suffice for all.

    Raises:
        MachineError: The GPU failed.
    """
    metrics = work.metrics[video.id]
    prints = work.fingerprints
    if isinstance(clip, OutOfMemory):
        return [], clip
    if isinstance(clip, Failure):
        reasons = [metric.inapplicable(video.companions) or clip for metric in metrics]
        scored = zip(metrics, reasons, strict=True)
        return [_score(video, prints[metric.name], why, 0.0) for metric, why in scored], None
    features: dict[Feature, Values | Failure] = {}
    scores: list[Score] = []
    lack: OutOfMemory | None = None
    try:
        pixels = decoded(
            clip,
            networks.device,
            prompt=video.text,
            style=work.styles.get(video.id),
            companions=companions.of(video),
            given=video.given,
        )
    except Exception as error:
        return [], _out_of_memory(error)

    def compute(feature: Feature) -> Values:
        if isinstance(feature, Of):
            return companions.compute(feature, video, pixels, networks)
        return feature.compute(pixels, networks)

    for place, metric in enumerate(metrics):
        started = time.perf_counter()
        try:
            result = _result(metric, pixels.facts, features, compute)
        except Exception as error:
            lack = _out_of_memory(error)
        else:
            seconds = time.perf_counter() - started
            scores.append(_score(video, prints[metric.name], result, seconds))
        needed = {feature for later in metrics[place + 1 :] for feature in later.features}
        features = {feature: values for feature, values in features.items() if feature in needed}
        if lack is not None:
            _free_memory()
    return scores, lack


@contextmanager
def exact() -> Iterator[None]:
    """Computes in plain float32, without TF32 and without kernels that vary from run to run."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def _result(
    metric: Metric,
    facts: Facts,
    features: dict[Feature, Values | Failure],
    compute: Callable[[Feature], Values],
) -> Result:
    """A metric's result; adds to `features` what it computes."""
    refusal = metric.refusal(facts)
    if refusal is not None:
        return refusal
    given: dict[Feature, Values] = {}
    for feature in metric.features:
        if feature not in features:
            features[feature] = _computed(feature, compute)
        values = features[feature]
        if isinstance(values, Failure):
            return values
        given[feature] = values
    value, per_frame = metric.measure(given)
    if not (np.isfinite(value) and np.isfinite(per_frame).all()):
        return Failure(
            kind=FailureKind.NOT_FINITE,
            message=f"{metric.name} came out as {value}: the networks gave numbers that are not "
            "finite. Check the weights.",
        )
    return value, tuple(per_frame.tolist())


def _computed(feature: Feature, compute: Callable[[Feature], Values]) -> Values | Failure:
    try:
        return compute(feature)
    except FrameTooSmallError as error:
        return Failure(kind=FailureKind.TOO_SMALL, message=str(error))
    except UnreadableCompanionError as error:
        return error.failure
    except CaptionError as error:
        return error.failure()
    except Exception as error:
        if machine_fault(error) is not None:
            raise
        return Failure.unforeseen(error)


def _score(video: Video, of: Fingerprint, result: Result, seconds: float) -> Score:
    score = partial(Score, video_id=video.id, metric=of.metric, fingerprint=of.id, seconds=seconds)
    if isinstance(result, Failure):
        return score(failure=result)
    value, per_frame = result
    return score(value=value, per_frame=per_frame)


def _out_of_memory(error: Exception) -> OutOfMemory:
    """What an error says of the machine's memory; raises it where that is not what it is about."""
    match machine_fault(error):
        case "memory":
            return OutOfMemory.told_by(error)
        case "device":
            raise MachineError(
                f"the GPU failed ({str(error).splitlines()[0]}) and computes nothing more in this "
                "process. What was scored is stored; the same command goes on from there."
            ) from error
        case _:
            raise error


def _free_memory() -> None:
    """Gives back what the failed computation held, so that the next one has it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
