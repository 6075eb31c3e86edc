from dataclasses import replace

import pytest
import torch
from goldens import golden
from torch.nn import functional as F

from lab.data.motion import FASTEST, TexturedMotion, render

CPU = torch.device("cpu")
HEIGHT, WIDTH = 64, 80


@pytest.fixture(scope="module")
def motion() -> TexturedMotion:
    tiles = [torch.from_numpy(golden.image(name, 96, 96)) for name in ("a", "b", "c")]
    return TexturedMotion(torch.stack(tiles).permute(0, 3, 1, 2), CPU)


def fetched(picture: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Each pixel from where its flow points."""
    height, width = picture.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack(
        [2 * (x + flow[:, 0]) / (width - 1) - 1, 2 * (y + flow[:, 1]) / (height - 1) - 1], dim=-1
    )
    return F.grid_sample(picture, grid, align_corners=True, padding_mode="border")


def test_flow_leads_to_the_same_colour(motion: TexturedMotion) -> None:
    torch.manual_seed(0)
    batch = motion.draw(8, HEIGHT, WIDTH)
    first, middle, last = batch.frames.unbind(1)
    moved = batch.flow.norm(dim=1, keepdim=True) > 1
    seen = (batch.valid > 0) & moved
    off = (fetched(last, batch.flow) - first).abs().mean(1, keepdim=True)
    unmoved = (last - first).abs().mean(1, keepdim=True)
    # Occluded pixels and the sampling of fine texture differ; most pixels do not.
    assert off[seen].median() < 0.01
    assert off[seen].mean() < 0.3 * unmoved[seen].mean()
    assert seen.float().mean() > 0.1
    for picture, flow in ((first, batch.halfway[:, :2]), (last, batch.halfway[:, 2:])):
        off = (fetched(picture, flow) - middle).abs().mean(1, keepdim=True)
        assert off[moved].median() < 0.01


def test_a_plain_shift_is_exact(motion: TexturedMotion) -> None:
    """With whole-pixel motion of the background alone, frames are shifted copies."""
    torch.manual_seed(1)
    layers = motion.sample(2, HEIGHT, WIDTH)
    zeros = torch.zeros_like
    shift = zeros(layers.fields.shift) + torch.tensor([6.0, -4.0])
    fields = replace(
        layers.fields,
        shift=shift,
        gradient=zeros(layers.fields.gradient),
        amplitude=zeros(layers.fields.amplitude),
    )
    outlines = replace(layers.outlines, radius=zeros(layers.outlines.radius))
    batch = render(replace(layers, fields=fields, outlines=outlines), HEIGHT, WIDTH)
    first, middle, last = batch.frames.unbind(1)
    torch.testing.assert_close(last[..., :-4, 6:], first[..., 4:, :-6], atol=1e-4, rtol=0)
    torch.testing.assert_close(middle[..., :-2, 3:], first[..., 2:, :-3], atol=1e-4, rtol=0)
    expected = torch.tensor([6.0, -4.0]).view(1, 2, 1, 1).expand_as(batch.flow)
    assert torch.equal(batch.flow, expected)
    assert torch.equal(batch.halfway[:, 2:], expected / 2)
    assert torch.equal(batch.halfway[:, :2], -expected / 2)
    inside = torch.zeros(HEIGHT, WIDTH)
    inside[4:, :-6] = 1
    assert torch.equal(batch.valid, inside.expand_as(batch.valid))


def test_the_inverse_of_the_motion_is_accurate(motion: TexturedMotion) -> None:
    torch.manual_seed(2)
    fields = motion.sample(64, HEIGHT, WIDTH).fields
    places = (torch.rand(50, 2) - 0.5) * torch.tensor([WIDTH, HEIGHT])
    for elapsed in (-0.5, 0.5):
        sources = fields.sources(places, elapsed)
        returned = sources + elapsed * fields.velocity(sources)
        assert (returned - places).abs().max() < 0.01


def test_scenes_move_within_bounds_and_mostly_slowly(motion: TexturedMotion) -> None:
    torch.manual_seed(3)
    speed = motion.sample(500, HEIGHT, WIDTH).fields.shift.norm(dim=-1)
    assert speed.max() <= FASTEST
    assert speed[:, 1:].max() > 0.9 * FASTEST
    assert speed[:, 1:].median() < FASTEST / 3
    assert 0.2 < (speed[:, 0] == 0).float().mean() < 0.7


def test_draws_are_decided_by_the_seed(motion: TexturedMotion) -> None:
    frames = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        frames.append(motion.draw(1, 32, 32).frames)
    assert torch.equal(frames[0], frames[1])
    assert not torch.equal(frames[0], frames[2])
    assert frames[0].shape == (1, 3, 3, 32, 32)
    assert frames[0].min() >= 0
    assert frames[0].max() <= 1
