"""The cost model: from counted work and measured rates to time, memory and disk, and back.

    seconds = loading · bytes of weights + Σ metric · its units + rest · bytes of frames
    memory  = what the process holds before + files of weights + frames held at once
    disk    = written · videos

Rates are those of the machine's own evaluations. `rest` is what is left of the clock's time:
decoding that nothing hid, copies, arithmetic, the ledger. Where several devices work side by side,
metrics' seconds add up to more than the clock's; they are then scaled down to it, so that all rates
are the clock's. Memory has no rate but the ratio of what earlier evaluations took to this sum,
which stands for all that it leaves out, such as what networks hold while they compute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from eval.decode import WHOLE_BYTES
from eval.forecast.rates import Rates, Taken
from eval.forecast.work import Work


@dataclass(frozen=True)
class Estimate:
    """A forecast of one quantity.

    Attributes:
        value: What is expected.
        low: What it would be if it were off by as much as the one of the earlier evaluations that
            took least for its forecast; `value` if none took less.
        high: The same for the one that took most.
        past: Earlier evaluations whose forecasts were compared.
    """

    value: float
    low: float
    high: float
    past: int


@dataclass(frozen=True)
class Forecast:
    """What an evaluation is expected to take.

    Attributes:
        seconds: Time to score; `None` if that was never measured.
        unmeasured: Metrics that were never measured here, for want of which there is no time; none
            if nothing ever was.
        memory: Greatest memory of the process in bytes. Without earlier evaluations it is the
            least that is needed.
        device_memory: The same of the GPU; `None` without one.
        disk: Bytes written; `None` if that was never measured.
        counted: What `memory` and `device_memory` are before the ratio of earlier evaluations.
    """

    seconds: Estimate | None
    unmeasured: tuple[str, ...]
    memory: Estimate
    device_memory: Estimate | None
    disk: Estimate | None
    counted: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """What an evaluation took.

    Attributes:
        seconds: By the clock, from the end of planning to the last score.
        loading: Of these, to load networks.
        metrics: Seconds that each metric's scores state, added up.
        memory: Greatest memory of the process in bytes; `None` if it was not greater than before,
            and so cannot be told.
        device_memory: The same of the GPU.
        disk: Bytes written.
    """

    seconds: float
    loading: float
    metrics: Mapping[str, float]
    memory: float | None
    device_memory: float | None
    disk: float


def forecast(work: Work, rates: Rates, *, resident: int, held: int, gpu: bool) -> Forecast:
    """Forecasts an evaluation.

    Args:
        work: What it has to do.
        rates: What was measured.
        resident: Bytes that the process holds before it starts.
        held: Videos that are held decoded at once.
        gpu: Whether networks and frames are on a GPU.
    """
    measured = rates.rate("seconds rest") is not None
    lacking = (name for name in work.units if rates.rate(f"seconds {name}") is None)
    unmeasured = tuple(lacking) if measured else ()
    written = rates.rate("bytes written")
    frames = min(held, work.videos) * min(work.largest, WHOLE_BYTES)
    counted = {"memory": float(resident + work.weights + frames)}
    if gpu:
        counted["device memory"] = float(work.weights + min(work.largest, WHOLE_BYTES))
    return Forecast(
        seconds=_spread(_seconds(work, rates), rates.taken("time"))
        if measured and not unmeasured
        else None,
        unmeasured=unmeasured,
        memory=_corrected(counted["memory"], rates.taken("memory")),
        device_memory=_corrected(counted["device memory"], rates.taken("device memory"))
        if gpu
        else None,
        disk=None if written is None else _spread(written * work.videos, rates.taken("disk")),
        counted=counted,
    )


def learn(work: Work, before: Forecast, outcome: Outcome, rates: Rates) -> None:
    """Takes up what a finished evaluation took, and how far its forecast was off.

    Args:
        work: What it did: without the videos and scores that failed.
        before: Its forecast.
        outcome: What it took.
        rates: Where to keep it.
    """
    measured = _rates(work, outcome)
    measured["bytes written"] = Taken(work.videos, outcome.disk)
    if before.seconds is not None:
        measured["time"] = Taken(before.seconds.value, outcome.seconds)
    if before.disk is not None:
        measured["disk"] = Taken(before.disk.value, outcome.disk)
    for name, taken in (("memory", outcome.memory), ("device memory", outcome.device_memory)):
        if taken is not None and name in before.counted:
            measured[name] = Taken(before.counted[name], taken)
    rates.keep(measured)


def _seconds(work: Work, rates: Rates) -> float:
    amounts = {
        "seconds loading": float(work.weights),
        "seconds rest": float(work.decoded),
        **{f"seconds {name}": units for name, units in work.units.items()},
    }
    return sum((rates.rate(name) or 0.0) * units for name, units in amounts.items())


def _rates(work: Work, outcome: Outcome) -> dict[str, Taken]:
    """Measured seconds by quantity."""
    computing = max(0.0, outcome.seconds - outcome.loading)
    stated = {name: outcome.metrics.get(name, 0.0) for name in work.units}
    busy = sum(stated.values())
    share = min(1.0, computing / busy) if busy else 0.0
    return {
        "seconds loading": Taken(work.weights, outcome.loading),
        "seconds rest": Taken(work.decoded, max(0.0, computing - share * busy)),
        **{
            f"seconds {name}": Taken(units, share * stated[name])
            for name, units in work.units.items()
        },
    }


def _spread(value: float, past: Sequence[Taken]) -> Estimate:
    """An estimate with the range that earlier ones had."""
    ratios = [each.amount / each.units for each in past]
    return Estimate(value, value * min([1.0, *ratios]), value * max([1.0, *ratios]), len(past))


def _corrected(counted: float, past: Sequence[Taken]) -> Estimate:
    """What was counted, times the ratio that it had before."""
    ratios = [each.amount / each.units for each in past]
    if not ratios:
        return Estimate(counted, counted, counted, 0)
    low, middle, high = min(ratios), median(ratios), max(ratios)
    return Estimate(counted * middle, counted * low, counted * high, len(ratios))
