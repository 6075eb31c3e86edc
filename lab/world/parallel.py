"""Work of Python's own, spread over processes: sampling scenes, saying them, splitting words."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Part = list[NDArray[Any]]
"""Some rows of a table, as one array a column."""

_Job = TypeVar("_Job")

_MOST: Final = 16
_ALONE: Final = 4000  # below this many rows, starting processes costs more than it saves


def columns(
    part: Callable[[_Job], Part], jobs: Sequence[_Job], rows: int, processes: int | None = None
) -> list[Tensor]:
    """Computes a table in parts and joins them.

    Args:
        part: Computes one part. A function of a module, since other processes must find it.
        jobs: Its argument for each part, in the order of the rows.
        rows: Rows of the whole table.
        processes: Number of worker processes; by default one a core, at most 16, and none for a
            small table.

    Returns:
        The columns.
    """
    if processes is None:
        processes = 1 if rows < _ALONE else min(_MOST, os.cpu_count() or 1)
    if processes == 1:
        return _join(part(job) for job in jobs)
    # Spawned, not forked: the parent may have started CUDA and threads by now.
    executor = ProcessPoolExecutor(
        min(processes, len(jobs)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_use_one_core,
    )
    with executor:
        return _join(executor.map(part, jobs))


def _use_one_core() -> None:
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _join(parts: Iterable[Part]) -> list[Tensor]:
    return [torch.from_numpy(np.concatenate(column)) for column in zip(*parts, strict=True)]
