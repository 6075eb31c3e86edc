"""A large fixed pool of edits: pairs of scenes, and what is asked of the first in several ways."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import torch
from torch import Tensor

from lab.world.edit import instruction, sample_edit
from lab.world.parallel import Part, columns
from lab.world.pool import CHUNK, arrays, tokenise
from lab.world.scene import SceneBatch, encode, sample_scenes
from lab.world.vocabulary import CONTEXT

_SEED: Final = 2
"""Third number of an edit's seed; captions of the same scene have 1."""


@dataclass(frozen=True)
class EditPool:
    """Edits as tensors on one device.

    Attributes:
        before: N scenes that are given.
        after: N scenes that are wanted.
        tokens: Instructions of each edit (N, wordings, context), int16, padded with end of text.
    """

    before: SceneBatch
    after: SceneBatch
    tokens: Tensor

    @staticmethod
    def build(
        count: int,
        seed: int,
        wordings: int = 2,
        context: int = CONTEXT,
        processes: int | None = None,
    ) -> "EditPool":
        """Samples scenes, an edit of each, and words for it; it depends on no other argument.

        Args:
            count: Number of edits, N.
            seed: Seed of scenes, edits and words.
            wordings: Instructions of each edit.
            context: Tokens of an instruction, start and end included; a longer one is cut.
            processes: As in `Pool.build`.
        """
        jobs = [
            (first, min(CHUNK, count - first), seed, wordings, context)
            for first in range(0, count, CHUNK)
        ]
        table = columns(_part, jobs, count, processes)
        width = len(fields(SceneBatch))
        return EditPool(SceneBatch(*table[:width]), SceneBatch(*table[width:-1]), table[-1])

    def __len__(self) -> int:
        return len(self.before)

    def to(self, device: torch.device | str) -> "EditPool":
        """Copies the pool to a device."""
        return EditPool(self.before.to(device), self.after.to(device), self.tokens.to(device))


def _part(job: tuple[int, int, int, int, int]) -> Part:
    """Edits `first` to `first + count`: the fields of both scenes in their order, the tokens."""
    first, count, seed, wordings, context = job
    edits, texts = [], []
    for index, scene in enumerate(sample_scenes(count, seed, first=first), first):
        rng = np.random.default_rng([seed, index, _SEED])
        edit = sample_edit(scene, rng)
        edits.append(edit)
        texts += [instruction(edit, rng) for _ in range(wordings)]
    before, after = ([getattr(edit, side) for edit in edits] for side in ("before", "after"))
    return [
        *arrays(encode(before)),
        *arrays(encode(after)),
        tokenise(texts, wordings, context),
    ]
