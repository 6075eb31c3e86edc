"""A large fixed pool of captioned scenes that training draws its batches from, on the device.

Sampling scenes, saying them and splitting the words is Python's work, too slow for every step of a
training. It is done once, in several processes; after that a batch is two random indices.
"""

import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lab.world.caption import caption
from lab.world.scene import SceneBatch, encode, sample_scenes
from lab.world.vocabulary import CONTEXT, clip_tokenizer

_CHUNK: Final = 1000
_MOST: Final = 16
_ALONE: Final = 4000  # below this many scenes, starting processes costs more than it saves


@dataclass(frozen=True)
class Pool:
    """Scenes and their tokenised captions on one device.

    Attributes:
        scenes: N scenes.
        tokens: Captions of each scene (N, captions, context), int16, padded with end of text.
    """

    scenes: SceneBatch
    tokens: Tensor

    @staticmethod
    def build(
        count: int,
        seed: int,
        captions: int = 2,
        context: int = CONTEXT,
        processes: int | None = None,
    ) -> "Pool":
        """Samples scenes and says each several times; the result depends on no other argument.

        Args:
            count: Number of scenes, N.
            seed: Seed of scenes and captions.
            captions: Captions of each scene.
            context: Tokens of a caption, start and end included; a longer caption is cut.
            processes: Number of worker processes; by default one a core, at most 16, and none for a
                small pool.
        """
        jobs = [
            (first, min(_CHUNK, count - first), seed, captions, context)
            for first in range(0, count, _CHUNK)
        ]
        if processes is None:
            processes = 1 if count < _ALONE else min(_MOST, os.cpu_count() or 1)
        if processes == 1:
            return _join(_part(job) for job in jobs)
        # Spawned, not forked: the parent may have started CUDA and threads by now.
        executor = ProcessPoolExecutor(
            min(processes, len(jobs)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_use_one_core,
        )
        with executor:
            return _join(executor.map(_part, jobs))

    def __len__(self) -> int:
        return len(self.scenes)

    def to(self, device: torch.device | str) -> "Pool":
        """Copies the pool to a device."""
        return Pool(self.scenes.to(device), self.tokens.to(device))

    def draw(self, batch: int) -> tuple[SceneBatch, Tensor]:
        """Draws scenes at random, with one of the captions of each, on the pool's device.

        It may be captured in a CUDA graph: each replay draws anew.

        Returns:
            `batch` scenes, and tokens (batch, context), int64.
        """
        count, captions, _ = self.tokens.shape
        scene = torch.randint(count, (batch,), device=self.tokens.device)
        which = torch.randint(captions, (batch,), device=self.tokens.device)
        return self.scenes[scene], self.tokens[scene, which].long()


def _use_one_core() -> None:
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


_Job = tuple[int, int, int, int, int]
_Part = list[NDArray[Any]]


def _part(job: _Job) -> _Part:
    """Scenes `first` to `first + count` as arrays in the order of the fields, then the tokens."""
    first, count, seed, captions, context = job
    scenes = sample_scenes(count, seed, first=first)
    texts = []
    for index, scene in enumerate(scenes, first):
        rng = np.random.default_rng([seed, index, 1])
        texts += [caption(scene, rng) for _ in range(captions)]
    ids = clip_tokenizer()(texts, padding="max_length", max_length=context, truncation=True)
    tokens = np.asarray(ids.input_ids, np.int16).reshape(count, captions, context)
    batch = encode(scenes)
    return [*(getattr(batch, field.name).numpy() for field in fields(batch)), tokens]


def _join(parts: Iterable[_Part]) -> Pool:
    *columns, tokens = (
        torch.from_numpy(np.concatenate(column)) for column in zip(*parts, strict=True)
    )
    return Pool(SceneBatch(*columns), tokens)
