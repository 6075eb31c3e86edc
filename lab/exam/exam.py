"""What every part of the exam is given, and which parts there are."""

import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch

from lab.exam.figures import Figure, Result
from metrics.networks import Networks
from mora.checkpoints import folder_sha256
from mora.records import content_hash


@dataclass(frozen=True)
class Part:
    """A part of the exam; its module `lab.exam.NAME` has `examine(exam) -> list[Figure]`.

    Attributes:
        title: Heading in the table.
        weights: Folders of weights that it examines or needs.
    """

    title: str
    weights: tuple[str, ...]


PARTS: Final[dict[str, Part]] = {
    "text_to_image": Part("text to image (SDXL)", ("text_to_image",)),
    "image_to_video": Part("image to video (SVD)", ("text_to_image", "image_to_video")),
    "raft": Part("flow (RAFT)", ("raft",)),
    "amt": Part("interpolation (AMT)", ("amt",)),
    "musiq": Part("quality (MUSIQ)", ("musiq",)),
    "clip": Part("pictures and texts (CLIP)", ("clip", "vocabulary")),
    "viclip": Part("clips and texts (ViCLIP)", ("viclip", "vocabulary")),
    "dino": Part("objects (DINO)", ("dino",)),
    "aesthetic": Part("aesthetic head", ("clip", "aesthetic")),
}
"""By name, in the order of the table."""


@dataclass(frozen=True)
class Exam:
    """What is examined, and with what.

    Attributes:
        weights: Folder of the miniature weights.
        out: Folder for results.
        device: Torch device.
        seed: Seed of scenes, captions, motions and noise. Trainings draw theirs from small seeds.
        count: Number of captions, pictures or clips, where a part does not say otherwise.
    """

    weights: Path
    out: Path
    device: torch.device
    seed: int = 20_260_000
    count: int = 100

    @cached_property
    def networks(self) -> Networks:
        """The networks behind the metrics, loaded when they are first asked for."""
        return Networks("mini", self.weights, self.device)

    def rng(self, name: str) -> np.random.Generator:
        """Random numbers for one purpose, independent of any other's."""
        return np.random.default_rng([self.seed, *name.encode()])

    def fingerprint(self, part: str) -> str:
        """Hash of all that decides a part's figures but the device and the code.

        Raises:
            CheckpointError: Weights that the part needs are missing.
        """
        digests = {name: folder_sha256(self.weights / name) for name in PARTS[part].weights}
        return content_hash([part, digests, self.seed, self.count])

    def earlier(self, part: str) -> Result | None:
        """The result that an earlier run left for the same weights, seed and count.

        Raises:
            CheckpointError: Weights that the part needs are missing.
        """
        path = self.out / f"{part}.json"
        if not path.exists():
            return None
        result = Result.read(path)
        return result if result.fingerprint == self.fingerprint(part) else None

    def sit(self, part: str) -> Result:
        """Runs one part, unless an earlier run has left its result.

        Raises:
            CheckpointError: Weights that the part needs are missing.
        """
        if (earlier := self.earlier(part)) is not None:
            return earlier
        started = time.monotonic()
        figures: list[Figure] = importlib.import_module(f"lab.exam.{part}").examine(self)
        seconds = time.monotonic() - started
        result = Result(part, self.fingerprint(part), seconds, tuple(figures))
        self.out.mkdir(parents=True, exist_ok=True)
        result.write(self.out / f"{part}.json")
        return result


def batches(count: int, size: int) -> Iterator[slice]:
    """Cuts `count` items into slices of at most `size`."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
