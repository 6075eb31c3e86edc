"""Who has which videos in hand, and what becomes of them when a worker dies.

A worker that dies takes with it all that it had in hand. One of those videos may have killed it, so
from then on each of them is a suspect, which is scored by a worker that has nothing else in hand.
A video that is alone when its worker dies, and has seen too many die, is given up; the innocent,
which only shared a worker with it, come out as ever.
"""

from collections import Counter, deque
from collections.abc import Sequence


class Hands:
    """The videos of an evaluation on their way through the workers' hands.

    Args:
        videos: Ids of the videos, each once.
        most: Most videos that a worker is handed at once.
        retries: Times that a video is tried again after its worker died.
    """

    def __init__(self, videos: Sequence[str], most: int, retries: int) -> None:
        self._fresh = deque(videos)
        self._suspects: deque[str] = deque()
        self._held: dict[str, list[str]] = {}
        self._most = most
        self._retries = retries
        self.deaths: Counter[str] = Counter()
        """How many workers died with a video in hand, by the video's id."""

    @property
    def left(self) -> int:
        """Videos that are neither finished nor given up."""
        return len(self._fresh) + len(self._suspects) + sum(map(len, self._held.values()))

    def take(self, worker: str, workers: int) -> tuple[str, ...]:
        """Hands a worker what it scores next.

        Towards the end there is less at once, so that the workers end together. While there are
        suspects, a worker gets nothing until its hands are empty, and then one of them.

        Args:
            worker: Its name.
            workers: How many there are.

        Returns:
            Ids; none where there is nothing for it at present.
        """
        held = self._held.setdefault(worker, [])
        if any(self.deaths[each] for each in held):
            return ()
        if self._suspects:
            taken = [] if held else [self._suspects.popleft()]
        else:
            share = -(-len(self._fresh) // (2 * workers))
            taken = [self._fresh.popleft() for _ in range(min(self._most, share))]
        held += taken
        return tuple(taken)

    def finished(self, worker: str, video: str) -> None:
        """Takes a video that is scored out of a worker's hands.

        Raises:
            KeyError: The worker does not have it in hand: it would be counted twice.
        """
        if video not in self._held.get(worker, ()):
            raise KeyError(f"{worker} has no {video} in hand")
        self._held[worker].remove(video)

    def died(self, worker: str) -> tuple[str, ...]:
        """Takes back what a worker had in hand when it died.

        Returns:
            Ids of the videos that are given up: none, or the one that was alone in its hands.
        """
        held = self._held.pop(worker, [])
        self.deaths.update(held)
        if len(held) == 1 and self.deaths[held[0]] > self._retries:
            return tuple(held)
        self._suspects.extend(held)
        return ()
