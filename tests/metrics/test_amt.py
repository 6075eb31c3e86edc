from dataclasses import replace
from pathlib import Path

import pytest
import torch
from goldens import parity

from metrics.backbones import amt
from metrics.backbones.padding import FrameTooSmallError

CPU = torch.device("cpu")
GOLDEN = parity.read("amt_s")


def load_golden(case: str, folder: Path) -> amt.Amt:
    path = folder / "amt-s.pth"
    torch.save({"state_dict": GOLDEN.weights(GOLDEN.cases[case]["weights_seed"])}, path)
    return amt.load(replace(amt.OFFICIAL, sha256=None), path, CPU)


@pytest.mark.parametrize("case", sorted(GOLDEN.cases))
def test_interpolated_frame_equals_the_reference(case: str, tmp_path: Path) -> None:
    frames, params = GOLDEN.frames(case), GOLDEN.cases[case]["params"]
    model = load_golden(case, tmp_path)
    frame = amt.interpolate(model, frames[:1], frames[1:], params["embt"], params["scale_factor"])
    expected = GOLDEN.expected(case, "imgt_pred")
    assert frame.shape == tuple(GOLDEN.cases[case]["full_shape"])
    every = frame.shape[-1] // expected.shape[-1]  # the larger cases keep every second pixel
    difference = (frame[..., ::every, ::every] - expected).abs()
    assert difference.mean() < 1e-5
    assert difference.max() < 1e-4


def test_odd_sides_come_back_as_they_went_in() -> None:
    torch.manual_seed(0)
    model = amt.Amt(amt.MINI.settings).eval()
    frames = torch.randint(0, 256, (2, 3, 131, 145), dtype=torch.uint8)
    frame = amt.interpolate(model, frames[:1], frames[1:])
    assert frame.shape == (1, 3, 131, 145)
    padded = torch.nn.functional.pad(frames.float() / 255, (7, 8, 6, 7), mode="replicate")
    with torch.inference_mode():
        expected = model(padded[:1], padded[1:]).frame[..., 6:137, 7:152]
    assert torch.equal(frame, expected)


def test_flows_point_at_the_frames() -> None:
    """A warp along a constant flow fetches the shifted picture."""
    picture = torch.rand(1, 3, 20, 24)
    flow = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 20, 24)
    warped = amt.warp(picture, flow)
    torch.testing.assert_close(warped[..., 2:, :-3], picture[..., :-2, 3:])
    halfway = amt.warp(picture, torch.full((1, 2, 20, 24), 0.5))
    corners = picture.unfold(2, 2, 1).unfold(3, 2, 1).mean((-1, -2))
    torch.testing.assert_close(halfway[..., :-1, :-1], corners)


def test_interpolation_is_independent_of_the_batch() -> None:
    torch.manual_seed(0)
    model = amt.Amt(amt.MINI.settings).eval()
    frames = torch.randint(0, 256, (4, 3, 128, 128), dtype=torch.uint8)
    together = amt.interpolate(model, frames[:2], frames[2:])
    alone = torch.cat(
        [amt.interpolate(model, frames[i][None], frames[i + 2][None]) for i in (0, 1)]
    )
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_flows_are_given_from_coarse_to_fine() -> None:
    model = amt.Amt(amt.MINI.settings).eval()
    with torch.inference_mode():
        flows = model(torch.rand(1, 3, 128, 160), torch.rand(1, 3, 128, 160)).flows
    sizes = [(16, 20), (32, 40), (64, 80)]
    assert [flow0.shape[-2:] for flow0, _ in flows] == sizes
    assert [flow1.shape[-2:] for _, flow1 in flows] == sizes


def test_mini_keeps_its_budget_on_disk() -> None:
    tensors = amt.Amt(amt.MINI.settings).state_dict().values()
    assert 2 * sum(tensor.numel() for tensor in tensors) < 1.0e6


@pytest.mark.parametrize(("height", "width", "scale"), [(112, 176, 1.0), (220, 256, 0.5)])
def test_small_frames_are_refused_with_their_size(height: int, width: int, scale: float) -> None:
    model = amt.Amt(amt.MINI.settings).eval()
    frames = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    with pytest.raises(FrameTooSmallError, match=f"{width}x{height}") as raised:
        amt.interpolate(model, frames, frames, scale=scale)
    assert (raised.value.width, raised.value.height) == (width, height)
