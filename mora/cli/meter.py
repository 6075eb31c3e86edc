"""How far the work is: bars with the time left on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

QUIET_SECONDS: Final = 10.0
"""Least time between two plain lines of one piece of work."""


class Meter:
    """Shows pieces of work as they go on. Use it as a context manager.

    Args:
        stream: Where to; standard error by default, so that standard output is results alone.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        stream = sys.stderr if stream is None else stream
        self._bars = _bars(stream) if stream.isatty() else None
        self._stream = stream
        self._works: dict[str, _Work] = {}

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def update(self, name: str, done: int, total: int, *, failed: str = "") -> None:
        """Shows how far a piece of work is.

        Args:
            name: Which one.
            done: Items that are done. What is done at the first call is taken to be there from
                before, and says nothing of the speed.
            total: Items in all.
            failed: What failed, in words such as `2 failed`.
        """
        work = self._works.get(name)
        if work is None:
            work = self._works[name] = _Work(done)
            if self._bars is not None:
                work.bar = self._bars.add_task(name, total=total, notes="")
        work.done, work.total, work.failed = done, total, failed
        if self._bars is not None and work.bar is not None:
            self._bars.update(work.bar, completed=done, total=total, notes=work.notes())
        elif work.is_due():
            print(f"{name}: {work.line()}", file=self._stream, flush=True)


class _Work:
    """A piece of work and when it was last told of."""

    def __init__(self, before: int) -> None:
        self.before = before
        self.done = self.total = 0
        self.failed = ""
        self.bar: TaskID | None = None
        self._started = time.monotonic()
        self._told_at = float("-inf")
        self._told: tuple[int, int] | None = None

    def is_due(self) -> bool:
        """Whether a plain line is due: at the start, at the end, and now and then between."""
        now, state = time.monotonic(), (self.done, self.total)
        if state == self._told:
            return False
        if self.done < self.total and now - self._told_at < QUIET_SECONDS:
            return False
        self._told_at, self._told = now, state
        return True

    def notes(self) -> str:
        """What is to be said beside the numbers."""
        before = f"{self.before} from before" if self.before else ""
        return ", ".join(note for note in (before, self.failed) if note)

    def line(self) -> str:
        """The state in words."""
        elapsed = time.monotonic() - self._started
        fresh = self.done - self.before
        parts = [f"{self.done}/{self.total}", self.notes()]
        if fresh > 0 and self.done < self.total:
            left = elapsed / fresh * (self.total - self.done)
            parts.append(f"about {duration(left)} left")
        elif self.done == self.total and fresh > 0:
            parts.append(f"in {duration(elapsed)}")
        return ", ".join(part for part in parts if part)


def _bars(stream: TextIO) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[notes]}"),
        console=Console(file=stream),
    )


def duration(seconds: float) -> str:
    """A time as a person reads it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
