"""Products on demand and all pairs computed at once, against the papers' way and plain loops."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from metrics.backbones import amt, correlation, raft
from metrics.backbones.correlation import AllPairs, OnDemand


def features(seed: int, height: int = 19, width: int = 26, batch: int = 2) -> Tensor:
    return torch.randn(batch, 8, height, width, generator=torch.Generator().manual_seed(seed))


def places(height: int, width: int, spread: float) -> Tensor:
    """Places around each pixel; a large spread takes some far outside the frame."""
    noise = torch.randn(2, 2, height, width, generator=torch.Generator().manual_seed(9))
    return correlation.coordinates(height, width, torch.device("cpu")) + spread * noise


def sampled(ours: Tensor, theirs: Tensor, where: Tensor, levels: int, radius: int) -> Tensor:
    """The papers' way: averages of products, which `grid_sample` reads at each place."""
    batch, channels, height, width = ours.shape
    products = torch.einsum("bchw,bcij->bhwij", ours.double(), theirs.double()) / channels**0.5
    level = products.reshape(-1, 1, height, width)
    steps = torch.arange(-radius, radius + 1, dtype=torch.float64)
    window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
    found = []
    for number in range(levels):
        centres = where.double().permute(0, 2, 3, 1).reshape(-1, 1, 1, 2) / 2**number
        last = torch.tensor(level.shape[:-3:-1]) - 1
        grid = 2 * (centres + window) / last - 1
        read = F.grid_sample(level, grid, padding_mode="zeros", align_corners=True)
        found.append(read.view(batch, height, width, -1))
        level = F.avg_pool2d(level, 2)
    return torch.cat(found, dim=-1).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("spread", [0.0, 0.7, 40.0])
@pytest.mark.parametrize("way", [AllPairs, OnDemand])
def test_windows_are_the_papers(
    way: type[AllPairs | OnDemand], spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correlation, "GATHERED", 50_000)  # so that there are several chunks
    ours, theirs = features(0), features(1)
    where = places(19, 26, spread)
    expected = sampled(ours, theirs, where, 4, 3)
    found = way(ours, theirs, 4, 3)(where)
    assert found.shape == (2, 4 * 49, 19, 26)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert expected.abs().max() > 1


def test_gradients_through_all_pairs_are_the_papers() -> None:
    pair = features(0).requires_grad_(), features(1).requires_grad_()
    where = places(19, 26, 0.7)
    weights = torch.randn(2, 4 * 49, 19, 26, generator=torch.Generator().manual_seed(2))
    expected = torch.autograd.grad((sampled(*pair, where, 4, 3) * weights).sum(), pair)
    found = torch.autograd.grad((AllPairs(*pair, 4, 3)(where) * weights).sum(), pair)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_window_moves_x_slowly_and_y_fast() -> None:
    ours, theirs = features(0, 16, 16, 1), features(1, 16, 16, 1)
    found = OnDemand(ours, theirs, 1, 1)(correlation.coordinates(16, 16, torch.device("cpu")))
    x, y = 7, 4
    products = [
        float(ours[0, :, y, x] @ theirs[0, :, y + down, x + right]) / 8**0.5
        for right in (-1, 0, 1)
        for down in (-1, 0, 1)
    ]
    torch.testing.assert_close(found[0, :, y, x], torch.tensor(products))


def test_large_frames_give_what_small_ones_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks do not notice that they see parts of a frame after each other."""
    torch.manual_seed(0)
    flow = raft.Raft(replace(raft.MINI.settings, updates=3)).eval()
    between = amt.Amt(amt.MINI.settings).eval()
    frames = torch.randint(0, 256, (2, 3, 128, 152), dtype=torch.uint8)

    def outputs() -> tuple[Tensor, Tensor]:
        return raft.flows(flow, frames[:1], frames[1:]), amt.interpolate(
            between, frames[:1], frames[1:]
        )

    expected = outputs()
    monkeypatch.setattr(correlation, "MOST_PIXELS", 100)
    monkeypatch.setattr(amt, "ROWS", 20)
    for found, known in zip(outputs(), expected, strict=True):
        torch.testing.assert_close(found, known, rtol=1e-4, atol=1e-4)
