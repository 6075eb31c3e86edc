"""The cache that the settings name, and forecasts in words."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mora.cli.application import Settings
from mora.cli.meter import duration

if TYPE_CHECKING:
    from eval.cache import Cache
    from eval.executors import Executor
    from eval.forecast import Estimate, Forecast, Rates, Work
    from eval.plan import Plan
    from metrics.networks import Networks
    from mora.records import Score


def cache_file(setting: str) -> Path | None:
    """The file that `cache=` names: `auto` is the user's own, `none` is none."""
    from eval.cache import cache_path

    if setting == "none":
        return None
    return cache_path() if setting == "auto" else Path(setting).expanduser()


@contextmanager
def cache_of(settings: Settings) -> "Iterator[Cache | None]":
    """Opens the cache that the settings name.

    Raises:
        CacheError: It cannot be used.
    """
    from eval.cache import Cache

    path = cache_file(settings["cache"])
    if path is None:
        yield None
        return
    with Cache.open(path) as cache:
        yield cache


def rates_of(cache: "Cache", networks: "Networks", executor: Mapping[str, Any]) -> "Rates":
    """Rates that hold for these networks and this executor.

    Args:
        cache: Where they are.
        networks: The networks.
        executor: The group `executor` of the settings. How many videos are in flight is no part of
            the place: it hardly changes the time.
    """
    from eval.forecast import Rates, place

    counted = {name: value for name, value in executor.items() if name not in ("device", "name")}
    counted.pop("batch_size", None)
    words = [executor["name"], *(f"{name}={value}" for name, value in sorted(counted.items()))]
    return Rates(cache, place(networks, " ".join(words)))


def videos_held(executor: "Executor", networks: "Networks") -> int:
    """Videos that this process holds decoded at once."""
    from eval.executors import Local

    return executor.held(networks.device) if isinstance(executor, Local) else 0


class Watch:
    """Tells on standard error what an evaluation is forecast to take, and then what it took.

    Args:
        cache: Where rates are; `None` forecasts nothing.
        settings: The verb's.
        networks: Those of the evaluation.
        executor: Where it is carried out.
        run: Folder of the run.
    """

    def __init__(
        self,
        cache: "Cache | None",
        settings: Settings,
        networks: "Networks",
        executor: "Executor",
        run: Path,
    ) -> None:
        from eval.cache import ScoreCache, device_name, environment
        from eval.forecast import Session

        self.scores = None
        self._session = None
        self._forecast: Forecast | None = None
        if cache is not None:
            self.scores = ScoreCache(cache, environment(device_name(networks.device)))
            rates = rates_of(cache, networks, settings["executor"])
            self._session = Session(rates, networks, run, videos_held(executor, networks))

    def begin(self, plan: "Plan") -> None:
        """Tells the forecast, if there is something to compute."""
        if self._session is not None and plan.videos:
            work, self._forecast = self._session.begin(plan)
            said = ", ".join([counted(work), *described(self._forecast)])
            print(f"forecast: {said}", file=sys.stderr)

    def stop(self) -> None:
        """Says that all is scored."""
        if self._session is not None and self._forecast is not None:
            self._session.stop()

    def end(self, scores: "Iterable[Score]", cached: int) -> None:
        """Tells what it took, once all files are written.

        Args:
            scores: The run's.
            cached: Scores that were known from other runs.
        """
        if cached:
            print(f"known: {cached} scores came from the cache", file=sys.stderr)
        before = self._forecast
        if self._session is None or before is None:
            return
        took = self._session.end(scores)
        parts = [
            _against("", before.seconds, took.seconds, duration),
            _against("memory ", _corrected(before.memory), took.memory, size),
            _against("GPU memory ", _corrected(before.device_memory), took.device_memory, size),
            _against("disk ", before.disk, took.disk, size),
        ]
        print(f"took: {', '.join(part for part in parts if part)}", file=sys.stderr)


def counted(work: "Work") -> str:
    """What is to be computed, in words."""
    return f"{work.videos} videos, {work.frames} frames"


def described(told: "Forecast") -> list[str]:
    """A forecast in words: time, memory, the GPU's, disk."""
    return [time_of(told), *(f"{name} {said}" for name, said in room_of(told).items())]


def time_of(told: "Forecast") -> str:
    """The time in words, or why there is none."""
    if told.seconds is not None:
        return _about(told.seconds, duration)
    if not told.unmeasured:
        return "no forecast: nothing was measured on this device yet"
    return f"no forecast of the time: not measured on this device yet: {', '.join(told.unmeasured)}"


def room_of(told: "Forecast") -> dict[str, str]:
    """Memory and disk in words, by name, as far as they are known."""
    known = {"memory": told.memory, "GPU memory": told.device_memory}
    room = {
        name: _about(each, size) if each.past else f"at least {size(each.value)}"
        for name, each in known.items()
        if each is not None
    }
    if told.disk is not None:
        room["disk"] = _about(told.disk, size)
    return room


def size(count: float) -> str:
    """A number of bytes as a person reads it."""
    for unit, digits in (("B", 0), ("kB", 1), ("MB", 1)):
        if round(count, digits) < 1000:
            return f"{count:.{digits}f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _about(estimate: "Estimate", words: Any) -> str:
    """An estimate with the range that earlier evaluations had."""
    low, high = words(estimate.low), words(estimate.high)
    if low == high:
        return f"about {words(estimate.value)}"
    earlier = "the last was" if estimate.past == 1 else f"the last {estimate.past} were"
    return f"about {words(estimate.value)} ({low} to {high}, as far as {earlier} off)"


def _corrected(estimate: "Estimate | None") -> "Estimate | None":
    """The estimate, unless it is only the least that is needed, which is no forecast."""
    return estimate if estimate is not None and estimate.past else None


def _against(name: str, expected: "Estimate | None", took: float | None, words: Any) -> str:
    """What something took against its forecast; nothing where it cannot be told."""
    if took is None:
        return ""
    forecast = "" if expected is None else f" (forecast {words(expected.value)})"
    return f"{name}{words(took)}{forecast}"
