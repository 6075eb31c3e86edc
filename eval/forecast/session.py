"""Follows one evaluation: forecasts it, measures it, and learns from it."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from eval.forecast import memory
from eval.forecast.forecast import Forecast, Outcome, forecast, learn
from eval.forecast.rates import Rates
from eval.forecast.work import Work, count
from eval.plan import Plan
from metrics.networks import Networks
from mora.records import Score

MEDIA = "media"
"""Folder of a run that holds its videos, which an evaluation does not write."""


class Session:
    """One evaluation, from its plan to its last file: `begin`, `stop`, `end`, in this order.

    Args:
        rates: What was measured before, and where this is added.
        networks: Those of the evaluation.
        run: Folder of the run.
        held: Videos that are held decoded at once.
        clock: Gives seconds.
    """

    def __init__(
        self,
        rates: Rates,
        networks: Networks,
        run: Path,
        held: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._rates, self._networks, self._run, self._held = rates, networks, run, held
        self._clock = clock
        self._gpu = networks.device.type == "cuda"

    def begin(self, plan: Plan) -> tuple[Work, Forecast]:
        """Forecasts what is left to compute, and starts the clock."""
        self._plan = plan
        work = count(plan, self._networks)
        self._forecast = forecast(
            work, self._rates, resident=memory.resident(), held=self._held, gpu=self._gpu
        )
        self._written = written(self._run)
        self._peak = memory.peak()
        if self._gpu:
            torch.cuda.reset_peak_memory_stats(self._networks.device)
        self._loading = self._networks.seconds_loading
        self._began = self._clock()
        return work, self._forecast

    def stop(self) -> None:
        """Stops the clock: all is scored."""
        self._ended = self._clock()
        self._loading = self._networks.seconds_loading - self._loading
        self._most = memory.peak()

    def end(self, scores: Iterable[Score]) -> Outcome:
        """Adds what was measured to the rates, once all files are written.

        Args:
            scores: The run's.

        Returns:
            What the evaluation took.

        Raises:
            CacheError: The rates cannot be written.
        """
        planned = {
            (id_, metric.name) for id_, metrics in self._plan.metrics.items() for metric in metrics
        }
        asked = {each.id for each in self._plan.fingerprints.values()}
        seconds: dict[str, float] = defaultdict(float)
        failed = set(planned)
        for score in scores:
            key = (score.video_id, score.metric)
            if key in planned and score.fingerprint in asked and score.failure is None:
                failed.discard(key)
                seconds[score.metric] += score.seconds
        device = self._networks.device
        outcome = Outcome(
            seconds=self._ended - self._began,
            loading=self._loading,
            metrics=seconds,
            memory=float(self._most) if self._most > self._peak else None,
            device_memory=float(torch.cuda.max_memory_allocated(device)) if self._gpu else None,
            disk=max(0.0, float(written(self._run) - self._written)),
        )
        done = count(self._plan.without(failed), self._networks)
        if done.videos:
            learn(done, self._forecast, outcome, self._rates)
        return outcome


def written(run: Path) -> int:
    """Bytes of all files of a run but its videos."""
    files = (path for path in run.rglob("*") if path.relative_to(run).parts[0] != MEDIA)
    return sum(path.stat().st_size for path in files if path.is_file())
