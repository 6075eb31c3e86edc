"""How frames of many videos share the forwards of a network.

A network's forward always sees the same number of inputs of one size (`FrameFeature.batch`). They
may be frames of several videos: what a forward gives for one input depends neither on the others
nor on its place among them, to the last bit on a CPU. So a video's numbers do not depend on who
shares its forwards. A forward that is run before it is full is filled up by repeating its last
input.

`Lanes` holds what waits for a forward, `Reading` follows one feature through one video. Frames come
in order, in pieces of any length, and are let go as soon as nothing needs them: a video is never
held whole.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import torch
from torch import Tensor

from metrics.capture import Captured, Row
from metrics.preprocess import Size
from mora.errors import machine_fault

if TYPE_CHECKING:
    from metrics.features import Facts, FrameFeature
    from metrics.networks import Networks

SIZES_WAITING: Final = 4
"""Sizes of frames that have lanes at a time. Beyond, what waits in the oldest is run as it is."""


class Cost(Protocol):
    """Seconds that something took, known as soon as its device has done it."""

    def __call__(self) -> float:
        """Waits for the device, if need be."""


class Sink(Protocol):
    """Who waits for what a network gives for one input."""

    def take(self, row: Row, cost: Cost) -> None:
        """Takes it."""

    def fail(self, error: Exception) -> None:
        """Takes note that there is none."""

    @property
    def owner(self) -> object:
        """For whom it is. One owner's error is not another's."""


@dataclass
class Lane:
    """Inputs of one network and size that wait for a forward.

    Attributes:
        batch: Inputs of a forward.
        forward: Takes stacked inputs, gives stacked outputs.
        device: Where.
        waiting: Fewer than `batch` inputs, with who waits for what comes of them.
    """

    batch: int
    forward: Callable[[Row], Row]
    device: torch.device
    waiting: list[tuple[Row, Sink]] = field(default_factory=list)

    def put(self, row: Row, sink: Sink) -> None:
        """Lets an input wait, and runs the forward when it is full."""
        self.waiting.append((row, sink))
        if len(self.waiting) == self.batch:
            self.run()

    def run(self) -> None:
        """Runs the forward on what waits.

        Where it raises an error, each owner's inputs are run apart, so that an error costs only
        those that it belongs to.
        """
        waiting, self.waiting = self.waiting, []
        try:
            self._deliver(waiting)
        except Exception as error:
            if machine_fault(error) in ("device", "system"):
                raise
            owners = {id(sink.owner) for _, sink in waiting}
            for owner in owners if len(owners) > 1 else ():
                self._alone([each for each in waiting if id(each[1].owner) == owner])
            if len(owners) == 1:
                for _, sink in waiting:
                    sink.fail(error)

    def _alone(self, waiting: list[tuple[Row, Sink]]) -> None:
        self.waiting = waiting
        self.run()

    def _deliver(self, waiting: Sequence[tuple[Row, Sink]]) -> None:
        rows = [row for row, _ in waiting]
        rows += rows[-1:] * (self.batch - len(rows))
        watch = Watch(self.device)
        outputs = self.forward(tuple(map(torch.stack, zip(*rows, strict=True))))
        cost = watch.stop(len(waiting))
        for index, (_, sink) in enumerate(waiting):
            sink.take(tuple(output[index] for output in outputs), cost)


class Watch:
    """Measures what a device does between its making and `stop`.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"
        self.began = time.perf_counter()
        if self.on_gpu:
            self.start = torch.cuda.Event(enable_timing=True)
            self.start.record()

    def stop(self, parts: int) -> Cost:
        """Gives the seconds so far, divided by `parts`."""
        if not self.on_gpu:
            seconds = (time.perf_counter() - self.began) / parts
            return lambda: seconds
        start, end = self.start, torch.cuda.Event(enable_timing=True)
        end.record()

        def waited() -> float:
            end.synchronize()
            return float(start.elapsed_time(end)) / 1000 / parts

        return waited


class Lanes:
    """All that waits for forwards.

    Args:
        networks: Networks that the forwards are of.
    """

    def __init__(self, networks: "Networks") -> None:
        self.networks = networks
        self._lanes: OrderedDict[Size, dict[tuple[FrameFeature, str], Lane]] = OrderedDict()
        on_gpu = networks.device.type == "cuda"
        self._pool = torch.cuda.graph_pool_handle() if on_gpu else None

    def lane(self, feature: "FrameFeature", stage: str, size: Size) -> Lane:
        """The lane of a feature's stage, `encode` or `forward`, for frames of a size."""
        if size not in self._lanes:
            while len(self._lanes) >= SIZES_WAITING:
                oldest = next(iter(self._lanes))
                self._flush(oldest)
                del self._lanes[oldest]
            self._lanes[size] = {}
        self._lanes.move_to_end(size)
        lanes = self._lanes[size]
        if (feature, stage) not in lanes:
            of_stage = (feature.encoder if stage == "encode" else None) or feature.forward
            batch = feature.batch(size, self.networks)

            def forward(inputs: Row) -> Row:
                with self.networks.computing(feature.backbones[0]):
                    return of_stage(inputs, size, self.networks)

            run = forward if self._pool is None else Captured(forward, self._pool)
            lanes[feature, stage] = Lane(batch, run, self.networks.device)
        return lanes[feature, stage]

    def flush(self) -> None:
        """Runs all that waits, full or not."""
        for size in list(self._lanes):
            self._flush(size)

    def _flush(self, size: Size) -> None:
        for stage in ("encode", "forward"):
            for (_, of), lane in list(self._lanes[size].items()):
                if of == stage and lane.waiting:
                    lane.run()


class Reading:
    """One feature on its way through one video.

    Args:
        feature: The feature.
        facts: What is known of the video.
        lanes: Where its inputs wait.
        owner: For whom it is.
    """

    def __init__(
        self, feature: "FrameFeature", facts: "Facts", lanes: Lanes, owner: object
    ) -> None:
        self.feature, self.owner = feature, owner
        self.error: Exception | None = None
        self._lanes = lanes
        self._size = Size(facts.height, facts.width)
        self._items = feature.items(facts)
        self._needed = Counter(index for item in self._items for index in item)
        self._frames: dict[int, Row] = {}
        self._next = 0
        self._rows: list[Tensor | None] = [None] * len(self._items)
        self._missing = len(self._items)
        self._costs: list[Cost] = []

    @property
    def finished(self) -> bool:
        """Whether all is there, or an error is why it never will be."""
        return self.error is not None or self._missing == 0

    @property
    def seconds(self) -> float:
        """What its share of the forwards took. Waits for the device."""
        return sum(cost() for cost in self._costs)

    def values(self) -> Tensor:
        """What came out, a row for each item, on the device, in float32 or float64."""
        rows = torch.stack([row for row in self._rows if row is not None])
        return rows if rows.dtype == torch.float64 else rows.float()

    def read(self, first: int, frames: Tensor) -> None:
        """Takes the next frames of the video.

        Args:
            first: Number of the first of them.
            frames: uint8 `(n, 3, H, W)` on the networks' device.
        """
        if self.error is not None:
            return
        try:
            for index, row in self._prepared(first, frames):
                if self.feature.encoder is not None:
                    self._put("encode", row, _Encoded(self, index))
                else:
                    self.arrived(index, row)
        except Exception as error:
            if machine_fault(error) in ("device", "system"):
                raise
            self.failed(error)

    def arrived(self, index: int, row: Row) -> None:
        """Takes what became of a frame, and puts in line what now has all its frames."""
        self._frames[index] = row
        while self._next < len(self._items):
            item = self._items[self._next]
            if any(frame not in self._frames for frame in item):
                return
            joined = self.feature.join([self._frames[frame] for frame in item])
            for frame in item:
                self._needed[frame] -= 1
                if not self._needed[frame]:
                    del self._frames[frame]
            self._next += 1
            self._put("forward", joined, _Measured(self, self._next - 1))

    def measured(self, place: int, row: Tensor, cost: Cost) -> None:
        """Takes what came out for an item."""
        self._rows[place] = row
        self._missing -= 1
        self._costs.append(cost)

    def encoded(self, cost: Cost) -> None:
        """Takes note of what a frame's encoding took."""
        self._costs.append(cost)

    def failed(self, error: Exception) -> None:
        """Takes note of the first error, and lets go of what was held."""
        if self.error is None:
            self.error = error
        self._frames.clear()
        self._next = len(self._items)

    def _put(self, stage: str, row: Row, sink: Sink) -> None:
        self._lanes.lane(self.feature, stage, self._size).put(row, sink)

    def _prepared(self, first: int, frames: Tensor) -> Iterator[tuple[int, Row]]:
        """The frames that are looked at, as the network takes them."""
        wanted = [each for each in range(first, first + len(frames)) if self._needed[each]]
        if not wanted:
            return
        if len(wanted) < len(frames):
            frames = frames[[each - first for each in wanted]]
        watch = Watch(frames.device)
        prepared = self.feature.prepare(frames, self._lanes.networks)
        self._costs.append(watch.stop(1))
        for index, frame in zip(wanted, prepared, strict=True):
            yield index, (frame,)


@dataclass(frozen=True)
class _Encoded:
    """Waits for the encoding of a frame."""

    reading: Reading
    index: int

    @property
    def owner(self) -> object:
        return self.reading.owner

    def take(self, row: Row, cost: Cost) -> None:
        self.reading.encoded(cost)
        if self.reading.error is None:
            self.reading.arrived(self.index, row)

    def fail(self, error: Exception) -> None:
        self.reading.failed(error)


@dataclass(frozen=True)
class _Measured:
    """Waits for what comes out for an item."""

    reading: Reading
    place: int

    @property
    def owner(self) -> object:
        return self.reading.owner

    def take(self, row: Row, cost: Cost) -> None:
        [values] = row
        self.reading.measured(self.place, values, cost)

    def fail(self, error: Exception) -> None:
        self.reading.failed(error)
