"""A large fixed pool of captioned scenes that training draws its batches from, on the device.

Sampling scenes, saying them and splitting the words is Python's work, too slow for every step of a
training. It is done once, in several processes; after that a batch is two random indices.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lab.world.caption import caption
from lab.world.parallel import Part, columns
from lab.world.scene import Scene, SceneBatch, encode, sample_scenes
from lab.world.vocabulary import CONTEXT, clip_tokenizer

Say = Callable[[Scene, np.random.Generator], str]
"""Says a scene in words that the generator chooses."""

CHUNK: Final = 1000
"""Scenes that a process samples at once."""


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
        say: Say = caption,
    ) -> "Pool":
        """Samples scenes and says each several times; the result depends on no other argument.

        Args:
            count: Number of scenes, N.
            seed: Seed of scenes and captions.
            captions: Captions of each scene.
            context: Tokens of a caption, start and end included; a longer caption is cut.
            processes: Number of worker processes; by default one a core, at most 16, and none for a
                small pool.
            say: What says a scene, a function of a module.
        """
        jobs = [
            (first, min(CHUNK, count - first), seed, captions, context, say)
            for first in range(0, count, CHUNK)
        ]
        *scenes, tokens = columns(_part, jobs, count, processes)
        return Pool(SceneBatch(*scenes), tokens)

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


def tokenise(texts: Sequence[str], each: int, context: int) -> NDArray[np.int16]:
    """Splits texts into tokens: int16 (texts / each, each, context), padded with end of text."""
    ids = clip_tokenizer()(list(texts), padding="max_length", max_length=context, truncation=True)
    return np.asarray(ids.input_ids, np.int16).reshape(-1, each, context)


def arrays(scenes: SceneBatch) -> list[NDArray[Any]]:
    """A batch of scenes as arrays, in the order of its fields."""
    return [getattr(scenes, field.name).numpy() for field in fields(scenes)]


def _part(job: tuple[int, int, int, int, int, Say]) -> Part:
    """Scenes `first` to `first + count` as arrays in the order of the fields, then the tokens."""
    first, count, seed, captions, context, say = job
    scenes = sample_scenes(count, seed, first=first)
    texts = []
    for index, scene in enumerate(scenes, first):
        rng = np.random.default_rng([seed, index, 1])
        texts += [say(scene, rng) for _ in range(captions)]
    return [*arrays(encode(scenes)), tokenise(texts, captions, context)]
