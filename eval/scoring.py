"""Scores decoded videos: features, then the metrics' arithmetic.

Each distinct feature of a video is computed once, and its frames share the forwards of networks
with those of other videos (`metrics.batching`). A video that cannot be scored costs only itself.
Where the machine is at fault, nothing is recorded: what its memory does not suffice for stays
unscored, and a GPU that fails ends the session.

The numbers of a video depend on it and on its fingerprints alone: not on the other videos, their
order, how many are in flight, which other metrics are asked for, or what an earlier session left.
"""

import gc
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.companions import Companions
from eval.decode import OutOfMemory, Pieces, Seen, cost_of, piece_frames
from eval.plan import Plan
from metrics.backbones.padding import FrameTooSmallError
from metrics.batching import Lanes, Reading
from metrics.captioners.captioner import CaptionError
from metrics.features import (
    Decoded,
    Facts,
    Feature,
    FrameFeature,
    Of,
    TextFeature,
    UnreadableCompanionError,
    Values,
)
from metrics.metric import Metric
from metrics.networks import Networks
from mora.errors import MachineError, machine_fault
from mora.media import Clip, CorruptVideoError, MediaError
from mora.records import Failure, FailureKind, Score, Video

TEXTS_KEPT: Final = 4096
"""Embeddings of texts that are kept: prompts and styles come again with every model."""


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


@dataclass
class _Task:
    """A video that is being scored.

    Attributes:
        video: The video.
        facts: What is known of it.
        metrics: Those that it lacks.
        readings: Features that networks make of its frames, on their way.
        values: Features that are there, or why they are not.
        seconds: What they took.
        host: Rows of the readings on their way to the host, and the event that ends it.
    """

    video: Video
    facts: Facts
    metrics: Sequence[Metric]
    readings: dict[Feature, Reading] = field(default_factory=dict)
    values: dict[Feature, Values | Failure | OutOfMemory] = field(default_factory=dict)
    seconds: dict[Feature, float] = field(default_factory=dict)
    host: dict[Feature, Tensor] = field(default_factory=dict)
    arrived: torch.cuda.Event | None = None

    @property
    def finished(self) -> bool:
        return all(reading.finished for reading in self.readings.values())


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
        self._lanes = Lanes(networks)
        self._texts: OrderedDict[tuple[TextFeature, str], Values] = OrderedDict()
        self._open: list[_Task] = []
        # While a GPU works on one video the host hands it the next.
        self._behind = 1 if networks.device.type == "cuda" else 0
        self._leaving: deque[_Task] = deque()

    def score(self, videos: Iterable[tuple[Video, Seen]]) -> Iterator[Scored]:
        """Scores videos as they come.

        Args:
            videos: Each with what was decoded of it; the next is asked for when it is needed.

        Returns:
            What came out for each. A video waits for others to fill the networks' forwards, so
            they are not in the order in which they came.

        Raises:
            MachineError: The GPU failed.
        """
        with exact(), _machine():
            for video, seen in videos:
                match seen:
                    case OutOfMemory():
                        yield Scored(video, (), seen)
                    case Failure():
                        yield self._refused(video, seen)
                    case _:
                        yield from self._started(video, seen)
                yield from self._left(self._behind)
            self._lanes.flush()
            self._close()
            yield from self._left(0)

    def _refused(self, video: Video, failure: Failure) -> Scored:
        """A video that there is nothing to see of."""
        metrics = self.work.metrics[video.id]
        reasons = [metric.inapplicable(video.companions) or failure for metric in metrics]
        scores = (
            self._score(video, metric, why, 0.0)
            for metric, why in zip(metrics, reasons, strict=True)
        )
        return Scored(video, tuple(scores))

    def _started(self, video: Video, seen: Clip | Pieces) -> Iterator[Scored]:
        """Hands a video to the networks; gives it back at once if it cannot be read to its end."""
        task = self._task(video, seen)
        try:
            self._read(task, seen)
        except MediaError as error:
            yield self._refused(video, error.failure())
        except Exception as error:
            if machine_fault(error) != "memory":
                raise
            _free_memory()
            yield Scored(video, (), OutOfMemory.told_by(error))
        else:
            self._open.append(task)
        self._close()

    def _task(self, video: Video, seen: Clip | Pieces) -> _Task:
        """Plans what is to be computed for a video, and computes what needs none of its frames."""
        frames, height, width = (
            (seen.frames, seen.height, seen.width)
            if isinstance(seen, Pieces)
            else seen.frames.shape[:3]
        )
        facts = Facts(
            frames,
            height,
            width,
            seen.fps,
            video.text,
            self.work.styles.get(video.id),
            frozenset(video.companions),
            video.given,
        )
        task = _Task(video, facts, self.work.metrics[video.id])
        wanted = [metric for metric in task.metrics if metric.refusal(facts) is None]
        for feature in dict.fromkeys(feature for each in wanted for feature in each.features):
            if isinstance(feature, FrameFeature):
                task.readings[feature] = Reading(feature, facts, self._lanes, task)
                continue
            began = time.perf_counter()
            task.values[feature] = self._computed(feature, video, task, seen)
            task.seconds[feature] = time.perf_counter() - began
        return task

    def _read(self, task: _Task, seen: Clip | Pieces) -> None:
        """Takes a video's frames to the device and to all that look at them."""
        facts, first = task.facts, 0
        pieces: Iterator[NDArray[np.uint8]]
        if isinstance(seen, Clip):
            size = piece_frames(facts.height, facts.width)
            pieces = (seen.frames[at : at + size] for at in range(0, facts.frames, size))
        else:
            pieces = iter(seen)
        for piece in pieces:
            frames = torch.from_numpy(piece).to(self.networks.device, non_blocking=True)
            frames = frames.permute(0, 3, 1, 2).contiguous()
            for reading in task.readings.values():
                reading.read(first, frames)
            first += len(piece)
        if isinstance(seen, Pieces) and first != facts.frames:
            raise CorruptVideoError(
                seen.path, f"it has {first} frames, and {facts.frames} when it was recorded"
            )

    def _close(self) -> None:
        """Sends what is finished on its way to the host."""
        finished = [task for task in self._open if task.finished]
        self._open = [task for task in self._open if not task.finished]
        for task in finished:
            for feature, reading in task.readings.items():
                if reading.error is None:
                    task.host[feature] = reading.values().to("cpu", non_blocking=True)
            if self._behind and task.host:
                task.arrived = torch.cuda.Event()
                task.arrived.record()
            self._leaving.append(task)

    def _left(self, behind: int) -> Iterator[Scored]:
        """Scores what is finished, but for the last few, which the device may still work on."""
        while len(self._leaving) > behind:
            yield self._scored(self._leaving.popleft())

    def _scored(self, task: _Task) -> Scored:
        """Does the arithmetic of a video's metrics."""
        if task.arrived is not None:
            task.arrived.synchronize()
        for feature, reading in task.readings.items():
            task.seconds[feature] = reading.seconds
            if reading.error is None:
                task.values[feature] = reading.feature.collect(task.host[feature].numpy())
            else:
                task.values[feature] = _reason(reading.error)
        if any(isinstance(values, OutOfMemory) for values in task.values.values()):
            _free_memory()
        scores: list[Score] = []
        lack: OutOfMemory | None = None
        for metric in task.metrics:
            began = time.perf_counter()
            result = _result(metric, task.facts, task.values)
            if isinstance(result, OutOfMemory):
                lack = result
                continue
            seconds = time.perf_counter() - began
            seconds += sum(task.seconds.pop(feature, 0.0) for feature in metric.features)
            scores.append(self._score(task.video, metric, result, seconds))
        return Scored(task.video, tuple(scores), lack)

    def _computed(
        self, feature: Feature, video: Video, task: _Task, seen: Clip | Pieces
    ) -> Values | Failure | OutOfMemory:
        """A feature that needs no network's view of the frames, or is of something else."""
        try:
            if isinstance(feature, TextFeature):
                return self._text(feature, task.facts)
            frames = _on_host(seen) if feature.captioned else torch.empty(0)
            decoded = Decoded(frames, task.facts, self._companions.of(video))
            if isinstance(feature, Of):
                return self._companions.compute(feature, video, decoded, self.networks)
            return feature.compute(decoded, self.networks)
        except Exception as error:
            return _reason(error)

    def _text(self, feature: TextFeature, facts: Facts) -> Values:
        """Embeds a text, unless it was embedded lately."""
        text = facts.prompt if feature.text == "prompt" else facts.style
        key = (feature, text or "")
        if key not in self._texts:
            self._texts[key] = feature.compute(Decoded(torch.empty(0), facts), self.networks)
        self._texts.move_to_end(key)
        while len(self._texts) > TEXTS_KEPT:
            self._texts.popitem(last=False)
        return self._texts[key]

    def _score(self, video: Video, metric: Metric, result: Result, seconds: float) -> Score:
        score = partial(
            Score,
            video_id=video.id,
            metric=metric.name,
            fingerprint=self.work.fingerprints[metric.name].id,
            seconds=seconds,
        )
        if isinstance(result, Failure):
            return score(failure=result)
        value, per_frame = result
        return score(value=value, per_frame=per_frame)


@contextmanager
def exact() -> Iterator[None]:
    """Computes as the reference does: in float32, with PyTorch's default arithmetic.

    That is plain float32, but for convolutions on a GPU, where PyTorch lets cuDNN round what it
    multiplies to TF32. Kernels that vary from run to run are left out.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=True
            ),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _machine() -> Iterator[None]:
    """Says of a GPU that failed what it means."""
    try:
        yield
    except Exception as error:
        if machine_fault(error) != "device":
            raise
        raise MachineError(
            f"the GPU failed ({str(error).splitlines()[0]}) and computes nothing more in this "
            "process. What was scored is stored; the same command goes on from there."
        ) from error


def _on_host(seen: Clip | Pieces) -> Tensor:
    """All frames of a video, uint8 (T, 3, H, W)."""
    frames = seen.frames if isinstance(seen, Clip) else np.concatenate(list(seen))
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def _result(
    metric: Metric, facts: Facts, values: Mapping[Feature, Values | Failure | OutOfMemory]
) -> Result | OutOfMemory:
    """A metric's result, or why there is none."""
    refusal = metric.refusal(facts)
    if refusal is not None:
        return refusal
    given: dict[Feature, Values] = {}
    for feature in metric.features:
        found = values[feature]
        if isinstance(found, Failure | OutOfMemory):
            return found
        given[feature] = found
    value, per_frame = metric.measure(given)
    if not (np.isfinite(value) and np.isfinite(per_frame).all()):
        return Failure(
            kind=FailureKind.NOT_FINITE,
            message=f"{metric.name} came out as {value}: the networks gave numbers that are not "
            "finite. Check the weights.",
        )
    return value, tuple(per_frame.tolist())


def _reason(error: Exception) -> Failure | OutOfMemory:
    """Why there is no feature. Raises the error where it is not about the video."""
    match error:
        case FrameTooSmallError():
            return Failure(kind=FailureKind.TOO_SMALL, message=str(error))
        case UnreadableCompanionError():
            return error.failure
        case CaptionError():
            return error.failure()
    return cost_of(error)


def _free_memory() -> None:
    """Gives back what the failed computation held, so that the next one has it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
