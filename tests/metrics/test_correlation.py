"""Products on demand against all pairs computed at once, and both against plain loops."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from metrics.backbones import amt, correlation, raft
from metrics.backbones.correlation import AllPairs, OnDemand, correlate


def features(seed: int, height: int = 19, width: int = 26, batch: int = 2) -> Tensor:
    return torch.randn(batch, 8, height, width, generator=torch.Generator().manual_seed(seed))


def places(height: int, width: int, spread: float) -> Tensor:
    """Places around each pixel; a large spread takes some far outside the frame."""
    noise = torch.randn(2, 2, height, width, generator=torch.Generator().manual_seed(9))
    return correlation.coordinates(height, width, torch.device("cpu")) + spread * noise


@pytest.mark.parametrize("spread", [0.0, 0.7, 40.0])
def test_products_on_demand_are_those_of_all_pairs(
    spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correlation, "GATHERED", 50_000)  # so that there are several chunks
    ours, theirs = features(0), features(1)
    where = places(19, 26, spread)
    expected = AllPairs(correlate(ours, theirs), 4, 3)(where)
    found = OnDemand(ours, theirs, 4, 3)(where)
    assert found.shape == (2, 4 * 49, 19, 26)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
    assert expected.abs().max() > 1


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
