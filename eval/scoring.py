"""Scores decoded videos: features, then the metrics' arithmetic.

Each distinct feature of a video is computed once. A video that cannot be scored costs only itself.
Where the machine is at fault, nothing is recorded: what its memory does not suffice for stays
unscored, and a GPU that fails ends the session.

The numbers of a video depend on it and on its fingerprints alone: not on the other videos, their
order, how many are in flight, which other metrics are asked for, or what an earlier session left.
For that, networks run in float32 without shortcuts (`exact`) on inputs of fixed shape
(`metrics.features`).
"""

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from eval.companions import Companions, decoded
from eval.decode import OutOfMemory
from eval.plan import Plan
from metrics.backbones.padding import FrameTooSmallError
from metrics.captioners.captioner import CaptionError
from metrics.features import Facts, Feature, Of, UnreadableCompanionError, Values
from metrics.metric import Metric
from metrics.networks import Networks
from mora.errors import MachineError, machine_fault
from mora.media import Clip
from mora.records import Failure, FailureKind, Fingerprint, Score, Video

Result = tuple[float, tuple[float, ...]] | Failure
"""A metric's value and series, or why there are none."""


@dataclass(frozen=True)
class Scored:
    """What came out for one video.

    Attributes:
        video: The video.
        scores: Values or failures of the metrics that it lacked, of all that memory sufficed for.
        lack: What was said where memory did not suffice for all.
    """

    video: Video
    scores: tuple[Score, ...]
    lack: OutOfMemory | None = None


class Scorer:
    """Scores videos on what a plan says that they lack.

    Args:
        work: The plan.
        networks: Networks to compute features with.
        run: Folder that the videos' paths are relative to.
    """

    def __init__(self, work: Plan, networks: Networks, run: Path) -> None:
        self.work, self.networks = work, networks
        self._companions = Companions(run, networks.device)

    def score(
        self, videos: Iterable[tuple[Video, Clip | Failure | OutOfMemory]]
    ) -> Iterator[Scored]:
        """Scores videos as they come.

        Args:
            videos: Each with what was decoded of it; the next is asked for when it is needed.

        Returns:
            What came out for each, in the order in which they are finished.

        Raises:
            MachineError: The GPU failed.
        """
        with exact():
            for video, clip in videos:
                scores, lack = score_video(video, clip, self.work, self.networks, self._companions)
                yield Scored(video, tuple(scores), lack)


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
