"""Memory: what this process holds and held at most, and what the machine has for it."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import psutil

CGROUPS: Final = Path("/sys/fs/cgroup")
OWN_GROUPS: Final = Path("/proc/self/cgroup")
STATUS: Final = Path("/proc/self/status")


class Room(NamedTuple):
    """Memory for this process, in bytes.

    Attributes:
        free: What can still be had.
        total: All that there is.
        contained: Whether a container's limit decides, and not the machine's memory.
    """

    free: int
    total: int
    contained: bool


def resident() -> int:
    """Bytes that this process holds."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """Most bytes that this process has held so far."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    [size] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(size) * 1024


def room(groups: Path = CGROUPS, own: Path = OWN_GROUPS) -> Room:
    """Memory for this process: the machine's, or a container's where its limit is lower.

    Args:
        groups: Where control groups are mounted.
        own: The file that names those of this process.
    """
    memory = psutil.virtual_memory()
    free, total, contained = int(memory.available), int(memory.total), False
    for limit, used in _limits(groups, own):
        if limit < total:
            total, contained = limit, True
        free = min(free, max(0, limit - used))
    return Room(free, total, contained)


def _limits(groups: Path, own: Path) -> Iterator[tuple[int, int]]:
    """Limits of the control groups that this process is in, and what is used of each.

    In version 2 the path is of the one hierarchy, in version 1 of the controller `memory`. Within a
    container the mount may begin at the container's own group, so that the path is not below it.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, limit, used = groups, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, used = groups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        place = root / path.strip("/")
        for folder in (place, *place.parents):
            bound, taken = _number(folder / limit), _number(folder / used)
            if bound is not None and taken is not None:
                # What the kernel keeps of files can be had back.
                yield bound, taken - min(taken, _cached(folder / "memory.stat"))
            if folder == root:
                break


def _number(path: Path) -> int | None:
    """A number in a file; `None` where there is none, such as `max` for no limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _cached(path: Path) -> int:
    """Bytes of files that the kernel would let go of first."""
    try:
        entries = dict(line.split(" ", 1) for line in path.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(entries.get("total_inactive_file", entries.get("inactive_file", 0)))
