"""The resize by matrices against Pillow itself, level by level."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from metrics import pillow

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Noise; every third is black and white, so that a bicubic filter overshoots."""
    rng = np.random.default_rng([height, width, seed])
    levels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return levels // 128 * 255 if seed % 3 == 0 else levels


def by_pillow(levels: np.ndarray, height: int, width: int, kind: pillow.Filter) -> Tensor:
    """Along x, then along y."""
    across = Image.fromarray(levels).resize((width, levels.shape[0]), FILTERS[kind])
    resized = np.array(across.resize((width, height), FILTERS[kind]))
    return torch.from_numpy(resized).permute(2, 0, 1)[None].float()


def check(size: tuple[int, int], wanted: tuple[int, int], kind: pillow.Filter, seed: int) -> None:
    levels = picture(*size, seed)
    frames = torch.from_numpy(levels).permute(2, 0, 1)[None]
    expected = by_pillow(levels, *wanted, kind)
    assert torch.equal(pillow.by_matrices(frames, *wanted, kind), expected), (size, wanted)
    assert torch.equal(pillow.resize(frames, *wanted, kind), expected), (size, wanted)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((576, 1024), (224, 398)),
        ((1024, 576), (398, 224)),
        ((320, 512), (224, 358)),
        ((512, 512), (224, 224)),
        ((128, 192), (224, 336)),
        ((97, 131), (224, 302)),
        ((224, 300), (224, 300)),
        ((224, 300), (224, 190)),
        ((300, 224), (190, 224)),
        ((9, 250), (90, 25)),
        ((250, 9), (25, 90)),
        ((1, 1), (7, 5)),
        ((700, 3), (1, 1)),
    ],
)
def test_levels_are_pillows(
    size: tuple[int, int], wanted: tuple[int, int], kind: pillow.Filter
) -> None:
    for seed in range(2):
        check(size, wanted, kind, seed)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_levels_are_pillows_at_random_sizes(kind: pillow.Filter) -> None:
    rng = np.random.default_rng(5)
    for seed in range(60):
        height, width, new_height, new_width = map(int, rng.integers(1, 320, 4))
        check((height, width), (new_height, new_width), kind, seed)


def test_several_frames_are_resized_each_by_itself() -> None:
    frames = torch.stack([torch.from_numpy(picture(40, 60, seed)) for seed in range(4)])
    frames = frames.permute(0, 3, 1, 2)
    together = pillow.by_matrices(frames, 17, 90, "bicubic")
    alone = [pillow.by_matrices(frame[None], 17, 90, "bicubic") for frame in frames]
    assert torch.equal(together, torch.cat(alone))
