"""Scores the videos of a run: plan, decode, features, scores, one video after another.

Each video is decoded once and each distinct feature computed once. What a video's metrics gave is
stored in one transaction, so that a killed evaluation goes on with the next video. A video that
cannot be scored costs only itself.

The numbers of a video depend on it and on its fingerprints alone: not on the other videos, their
order, how many are in flight, which other metrics are asked for, or what an earlier session left.
For that, networks run in float32 without shortcuts (`exact`) on inputs of fixed shape
(`metrics.features`).
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from eval.ledger import Ledger, LedgerReader
from metrics.backbones.padding import FrameTooSmallError
from metrics.features import Decoded, Facts, Feature, Values
from metrics.metric import Metric
from metrics.networks import Networks
from metrics.protocol import Protocol
from metrics.registry import METRICS, make_metrics
from mora import __version__
from mora.media import DECODER, FOLDER_FPS, Clip, MediaError, read_video, sha256
from mora.records import Failure, FailureKind, Fingerprint, Score, Video

PRECISION = "float32"
"""Precision of all networks, as `exact` sets it; part of every fingerprint."""

Read = Callable[[Video, Path], Clip | Failure]
"""Gives a video's pixels, or says why there are none; the path is the run's folder."""


@dataclass(frozen=True)
class Plan:
    """What is left to score.

    Attributes:
        videos: Videos that lack a score, in the ledger's order.
        metrics: For each of them, by its id, the metrics that it lacks.
        fingerprints: Fingerprint of each metric that was asked for, by its name.
        styles: Style label of each video's prompt, by the video's id, where there is one.
        skipped: Videos that lack nothing.
    """

    videos: tuple[Video, ...]
    metrics: Mapping[str, tuple[Metric, ...]]
    fingerprints: Mapping[str, Fingerprint]
    styles: Mapping[str, str]
    skipped: int

    @property
    def backbones(self) -> tuple[str, ...]:
        """Networks that the plan needs, each once, sorted."""
        return _backbones(metric for each in self.metrics.values() for metric in each)


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is.

    Attributes:
        done: Videos that have their scores, those of earlier sessions included.
        total: Videos of the run.
        failed: Scores that failed in this session.
        video: The video that was scored last, `None` at the start.
    """

    done: int
    total: int
    failed: int
    video: Video | None


def evaluate(
    ledger: Ledger,
    protocol: Protocol,
    networks: Networks,
    *,
    metrics: Sequence[str] = tuple(METRICS),
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
        metrics: Names of metrics, in the order in which they are computed.
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
        WeightsError: They cannot be read.
        ValueError: A metric is not known, or `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: at least one video has to be decoded at once.")
    work = plan(ledger, make_metrics(metrics, protocol), networks, retry_failures=retry_failures)
    ledger.add_fingerprints(work.fingerprints.values())
    total = work.skipped + len(work.videos)
    progress = Progress(work.skipped, total, 0, None)
    report(progress)
    for name in work.backbones:
        _ = networks[name]  # weights that cannot be read end the evaluation before it begins
    with exact():
        for video, clip in decode_ahead(work.videos, ledger.run, batch_size, read):
            scores = score_video(video, clip, work, networks)
            ledger.record_scores(scores)
            failed = progress.failed + sum(score.failure is not None for score in scores)
            progress = Progress(progress.done + 1, total, failed, video)
            report(progress)
    return progress


def plan(
    ledger: LedgerReader,
    metrics: Sequence[Metric],
    networks: Networks,
    *,
    retry_failures: bool = False,
) -> Plan:
    """Finds out what is left to score.

    Raises:
        MissingWeightsError: Weights that the metrics need are not there.
    """
    networks.check(_backbones(metrics))
    by_name = {metric.name: metric for metric in metrics}
    prints = {metric.name: fingerprint(metric, networks) for metric in metrics}
    videos = ledger.videos()
    pending = ledger.pending(
        [video.id for video in videos], list(prints.values()), retry_failures=retry_failures
    )
    styles = {request.id: request.prompt.tags.get("style") for request in ledger.requests()}
    return Plan(
        videos=tuple(video for video in videos if video.id in pending),
        metrics={id_: tuple(by_name[name] for name in names) for id_, names in pending.items()},
        fingerprints=prints,
        styles={id_: style for id_, style in styles.items() if isinstance(style, str)},
        skipped=len(videos) - len(pending),
    )


def fingerprint(metric: Metric, networks: Networks) -> Fingerprint:
    """All that a metric's numbers depend on here."""
    return Fingerprint(
        metric=metric.name,
        protocol=metric.protocol.name,
        decoder=DECODER,
        precision=PRECISION,
        choices=metric.choices,
        checkpoints=networks.checkpoints(_backbones([metric])),
        weights=networks.weights,
        code=__version__,
    )


def decode_ahead(
    videos: Sequence[Video], run: Path, ahead: int, read: Read | None = None
) -> Iterator[tuple[Video, Clip | Failure]]:
    """Decodes videos in a thread while the caller works on those before.

    Args:
        videos: Videos, in the order in which they are given.
        run: Folder that their paths are relative to.
        ahead: Videos that are held decoded at once, the one with the caller included.
        read: Gives a video's pixels; `None` is `decode`.
    """
    read = decode if read is None else read
    waiting = iter(videos)
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")
    try:
        held = deque((video, pool.submit(read, video, run)) for video in islice(waiting, ahead))
        while held:
            video, clip = held.popleft()
            yield video, clip.result()
            held.extend((each, pool.submit(read, each, run)) for each in islice(waiting, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def decode(video: Video, run: Path) -> Clip | Failure:
    """Reads a video from its file, or says why it cannot be read."""
    if video.media is None:
        # The record sees to it that a video without media has a failure.
        return video.failure or Failure(kind=FailureKind.UPSTREAM, message="it was not made")
    path = run / video.media.path
    try:
        clip = read_video(path, folder_fps=video.media.fps or FOLDER_FPS)
        found = sha256(path)
    except MediaError as error:
        return error.failure()
    except Exception as error:
        return _unexpected(error)
    if found != video.media.sha256:
        return Failure(
            kind=FailureKind.ERROR,
            message=f"{path} has changed since it was recorded: its sha256 was "
            f"{video.media.sha256[:12]}…, now it is {found[:12]}…. Evaluate it in a new run.",
        )
    return clip


def score_video(video: Video, clip: Clip | Failure, work: Plan, networks: Networks) -> list[Score]:
    """Scores one video on the metrics that it lacks.

    A feature is let go as soon as no further metric needs it. A metric's time includes that of
    the features that it was the first to need.

    Args:
        video: The video.
        clip: What was decoded of it.
        work: The plan.
        networks: Networks to compute features with.

    Returns:
        One score for each metric, values or failures.
    """
    metrics = work.metrics[video.id]
    if isinstance(clip, Failure):
        return [_score(video, work.fingerprints[metric.name], clip, 0.0) for metric in metrics]
    decoded = _on_device(video, clip, work.styles.get(video.id), networks.device)
    features: dict[Feature, Values | Failure] = {}
    scores = []
    for place, metric in enumerate(metrics):
        started = time.perf_counter()
        result = _result(metric, decoded, features, networks)
        seconds = time.perf_counter() - started
        scores.append(_score(video, work.fingerprints[metric.name], result, seconds))
        needed = {feature for later in metrics[place + 1 :] for feature in later.features}
        features = {feature: values for feature, values in features.items() if feature in needed}
    return scores


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
    decoded: Decoded,
    features: dict[Feature, Values | Failure],
    networks: Networks,
) -> tuple[float, tuple[float, ...]] | Failure:
    """A metric's value and series, or why there are none; adds to `features` what it computes."""
    refusal = metric.refusal(decoded.facts)
    if refusal is not None:
        return refusal
    given: dict[Feature, Values] = {}
    for feature in metric.features:
        if feature not in features:
            features[feature] = _computed(feature, decoded, networks)
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


def _computed(feature: Feature, decoded: Decoded, networks: Networks) -> Values | Failure:
    try:
        return feature.compute(decoded, networks)
    except FrameTooSmallError as error:
        return Failure(kind=FailureKind.TOO_SMALL, message=str(error))
    except Exception as error:
        return _unexpected(error)


def _score(
    video: Video,
    of: Fingerprint,
    result: tuple[float, tuple[float, ...]] | Failure,
    seconds: float,
) -> Score:
    score = partial(Score, video_id=video.id, metric=of.metric, fingerprint=of.id, seconds=seconds)
    if isinstance(result, Failure):
        return score(failure=result)
    value, per_frame = result
    return score(value=value, per_frame=per_frame)


def _on_device(video: Video, clip: Clip, style: str | None, device: torch.device) -> Decoded:
    frames = torch.from_numpy(clip.frames).to(device).permute(0, 3, 1, 2).contiguous()
    count, _, height, width = frames.shape
    return Decoded(frames, Facts(count, height, width, clip.fps, video.text, style))


def _unexpected(error: Exception) -> Failure:
    return Failure(kind=FailureKind.ERROR, message=f"{type(error).__name__}: {error}")


def _backbones(metrics: Iterable[Metric]) -> tuple[str, ...]:
    features = {feature for metric in metrics for feature in metric.features}
    return tuple(sorted({name for feature in features for name in feature.backbones}))
