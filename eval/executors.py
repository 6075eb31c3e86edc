"""Where a planned evaluation is carried out."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import torch

from eval.decode import Read, decode_ahead
from eval.plan import Plan
from eval.scoring import Scored, Scorer
from metrics.networks import Networks

DECODING: Final = 8
"""Most videos that are decoded at once. A GPU's eight metrics take longer than a thread's decoding
of a video; more threads would only hold more videos."""


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Executor(Protocol):
    """Scores the videos of a plan, wherever it does so. It never writes to a ledger."""

    def scored(self, work: Plan, networks: Networks, run: Path) -> Iterator[Scored]:
        """Scores videos.

        Args:
            work: Which videos, on what.
            networks: Networks to compute features with.
            run: Folder that the videos' paths are relative to.

        Returns:
            What came out for each video, once, in the order in which they are finished.

        Raises:
            MachineError: A machine failed that cannot be done without.
            OSError: The system's means are exhausted, see `mora.errors.machine_fault`.
        """


@dataclass(frozen=True)
class Local:
    """This process, with threads that decode ahead.

    Attributes:
        videos_at_once: Videos that are held decoded at once: the one that is scored and those
            that were decoded meanwhile. It decides memory and speed, not numbers. `None` takes 2,
            on a GPU as many as the processor has cores, up to 8.
        read: Gives the videos' pixels; `None` reads their files, as `eval.decode.decode` does. It
            is called in another thread.
    """

    videos_at_once: int | None = None
    read: Read | None = None

    def __post_init__(self) -> None:
        if self.videos_at_once is not None and self.videos_at_once < 1:
            raise ValueError(
                f"videos_at_once={self.videos_at_once}: at least one video has to be decoded."
            )

    def scored(self, work: Plan, networks: Networks, run: Path) -> Iterator[Scored]:
        """Loads the networks that the plan needs, then scores video after video."""
        for name in work.backbones:
            _ = networks[name]  # weights that cannot be read end it before it begins
        if work.captioned:
            networks.captions.captioner.load()
        device = networks.device
        videos = decode_ahead(work.videos, run, self.held(device), self.read, self._threads(device))
        yield from Scorer(work, networks, run).score(videos)

    def held(self, device: torch.device) -> int:
        """Videos that are held decoded at once where networks are on this device."""
        return self.videos_at_once or max(2, self._threads(device))

    def _threads(self, device: torch.device) -> int:
        """Videos that are decoded at once."""
        return min(DECODING, cores()) if device.type == "cuda" else 1
