"""Where a planned evaluation is carried out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from eval.decode import Read, decode_ahead
from eval.plan import Plan
from eval.scoring import Scored, Scorer
from metrics.networks import Networks


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
            that were decoded meanwhile. It decides memory and speed, not numbers.
        read: Gives the videos' pixels; `None` reads their files, as `eval.decode.decode` does. It
            is called in another thread.
    """

    videos_at_once: int = 2
    read: Read | None = None

    def __post_init__(self) -> None:
        if self.videos_at_once < 1:
            raise ValueError(
                f"videos_at_once={self.videos_at_once}: at least one video has to be decoded."
            )

    def scored(self, work: Plan, networks: Networks, run: Path) -> Iterator[Scored]:
        """Loads the networks that the plan needs, then scores video after video."""
        for name in work.backbones:
            _ = networks[name]  # weights that cannot be read end it before it begins
        if work.captioned:
            networks.captions.captioner.load()
        videos = decode_ahead(work.videos, run, self.videos_at_once, self.read)
        yield from Scorer(work, networks, run).score(videos)
