import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lab.world.render import BLOCKS, flow, render
from lab.world.scene import SHAPE_NAMES, Scene, SceneBatch, encode, sample_scenes

AREAS = {
    "circle": math.pi,
    "square": (2 * 0.84) ** 2,
    "triangle": 3 * math.sqrt(3) / 4 * 1.2**2,
    "star": 5 * 1.2 * 0.5 * math.sin(math.pi / 5),
    "cross": 2 * (2 * 1.05) * (2 * 0.36) - (2 * 0.36) ** 2,
    "ring": math.pi * (1.06**2 - 0.54**2),
}


def times_of(batch: SceneBatch, *times: float) -> Tensor:
    return torch.tensor(times).expand(len(batch), -1)


def cover(scene: Scene, time: float, side: int) -> Tensor:
    """Share of each pixel that the (white, unlit) main object covers on black ground."""
    batch = encode([scene])
    ones, zeros = torch.ones_like, torch.zeros_like
    batch = dataclasses.replace(
        batch,
        rgb=ones(batch.rgb),
        ground_rgb=zeros(batch.ground_rgb),
        ground_map=zeros(batch.ground_map),
        body_map=torch.stack((ones(batch.rgb[:, 0]), zeros(batch.rgb[:, 0])), 1),
        light=zeros(batch.light),
        rim=zeros(batch.rim),
        stars=zeros(batch.stars),
    )
    return render(batch, times_of(batch, time), side, side)[0, 0, 0]


@pytest.mark.parametrize("shape", SHAPE_NAMES)
def test_a_shape_has_the_area_of_its_geometry(shape: str) -> None:
    (scene,) = sample_scenes(1, 1, style="plain", shape=shape, motion="still", objects=1)
    radius = scene.bodies[0].radius * 256  # pixels
    area = float(cover(scene, 0.0, 512).sum())
    assert area == pytest.approx(AREAS[shape] * radius**2, rel=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_a_centre_is_where_the_motion_says_to_a_tenth_of_a_pixel(seed: int) -> None:
    """Edges are antialiased, so that a centre moves by fractions of a pixel."""
    (scene,) = sample_scenes(1, seed, style="plain", shape="circle", motion="right", objects=1)
    body = scene.bodies[0]
    for time in (0.0, 0.31, 1.7):
        share = cover(scene, time, 64)
        pixels = torch.arange(64) + 0.5
        x = float((share.sum(0) * pixels).sum() / share.sum())
        y = float((share.sum(1) * pixels).sum() / share.sum())
        assert x == pytest.approx(32 + 32 * (body.place[0] + body.rate * time), abs=0.1)
        assert y == pytest.approx(32 + 32 * body.place[1], abs=0.1)


def test_pictures_do_not_depend_on_their_company_nor_on_the_random_state() -> None:
    batch = encode(sample_scenes(9, 4))
    torch.manual_seed(0)
    together = render(batch, times_of(batch, 0.0, 0.4, 1.3), 48, 48)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))
    torch.manual_seed(1)
    for index in range(9):
        alone = batch[index : index + 1]
        picture = render(alone, times_of(alone, 1.3), 48, 48)
        torch.testing.assert_close(picture[0, 0], together[index, 2], rtol=0, atol=1e-5)


def test_values_are_colours_and_never_looked_at() -> None:
    """On the meta device tensors have no values: reading one, as a host would, is an error."""
    batch = encode(sample_scenes(40, 6))
    picture = render(batch, times_of(batch, 0.0, 9.0), 40, 56)
    assert picture.shape == (40, 2, 3, 40, 56)
    assert picture.dtype == torch.float32
    assert picture.min() >= 0
    assert picture.max() <= 1
    shadow = batch.to("meta")
    time = torch.zeros(40, device="meta")
    assert render(shadow, time[:, None], 40, 56).shape == (40, 1, 3, 40, 56)
    assert flow(shadow, time, time, 40, 56).shape == (40, 2, 40, 56)


def test_a_wide_picture_shows_the_square_one_undistorted() -> None:
    batch = encode(sample_scenes(12, 7, style=("plain", "sketch", "digital")))
    square = render(batch, times_of(batch, 0.5), 64, 64)
    wide = render(batch, times_of(batch, 0.5), 64, 96)[..., 16:80]
    torch.testing.assert_close(wide, square, rtol=0, atol=1e-3)


def test_a_large_picture_shrinks_to_the_small_one() -> None:
    batch = encode(sample_scenes(12, 7, style="plain", ground=("plain", "gradient")))
    small = render(batch, times_of(batch, 0.5), 64, 64)[:, 0]
    large = F.avg_pool2d(render(batch, times_of(batch, 0.5), 256, 256)[:, 0], 4)
    error = (small - large).abs()
    assert error.mean() < 0.001
    assert error.max() < 0.4
    assert (error > 0.1).float().mean() < 0.002


def test_the_digital_world_is_made_of_blocks() -> None:
    batch = encode(sample_scenes(8, 7, style="digital"))
    empty = dataclasses.replace(batch, present=torch.zeros_like(batch.present))
    side = 8 * BLOCKS
    picture = render(empty, times_of(batch, 0.0), side, side)[:, 0]
    blocks = picture.unfold(2, 8, 8).unfold(3, 8, 8)[..., 1:-1, 1:-1].flatten(-2)
    assert blocks.std(-1).max() < 1e-3
    assert blocks.mean(-1).flatten(1).std(1).min() > 0.005


def test_styles_look_as_they_are_called() -> None:
    plain = sample_scenes(30, 9, style="plain")
    looks = {}
    for style in ("plain", "night", "sketch"):
        batch = encode([dataclasses.replace(scene, style=style) for scene in plain])
        looks[style] = render(batch, times_of(batch, 0.0), 64, 64)[:, 0]
    brightness = {name: picture.mean((1, 2, 3)) for name, picture in looks.items()}
    assert (brightness["night"] < 0.8 * brightness["plain"]).all()
    assert brightness["sketch"].min() > 0.5
    assert brightness["sketch"].mean() > 1.5 * brightness["plain"].mean()
    blue = looks["night"].mean((0, 2, 3))
    assert blue[2] > 1.2 * blue[:2].max()


def test_the_main_object_is_on_top() -> None:
    batch = encode(sample_scenes(20, 3, style="night", motion="still", objects=2))
    # Both in the middle, the second twice as large: the main one shows within it.
    place, radius = torch.zeros_like(batch.place), torch.tensor([0.2, 0.8]).expand(20, 2)
    batch = dataclasses.replace(
        batch, place=place, radius=radius, velocity=place, orbit=0 * batch.orbit
    )
    picture = render(batch, times_of(batch, 0.0), 64, 64)[:, 0]
    alone = dataclasses.replace(batch, present=torch.tensor([[1.0, 0.0]]).expand(20, 2))
    main = render(alone, times_of(batch, 0.0), 64, 64)[:, 0]
    solid = batch.shape[:, 0] != SHAPE_NAMES.index("ring")
    torch.testing.assert_close(
        picture[solid][..., 31:33, 31:33], main[solid][..., 31:33, 31:33], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("motion", ["left", "down", "spin", "grow", "shrink", "bounce", "orbit"])
def test_flow_carries_one_picture_onto_the_other(motion: str) -> None:
    batch = encode(sample_scenes(12, 5, style="plain", motion=motion, speed="fast", objects=1))
    batch = dataclasses.replace(batch, light=0 * batch.light)  # which does not turn with an object
    size, before, after = 96, 0.5, 0.75
    first = render(batch, times_of(batch, before), size, size)[:, 0]
    second = render(batch, times_of(batch, after), size, size)[:, 0]
    motion_field = flow(
        batch, times_of(batch, before)[:, 0], times_of(batch, after)[:, 0], size, size
    )
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    target = torch.stack((x, y)) + motion_field
    grid = (target / size * 2 - 1).permute(0, 2, 3, 1)
    warped = F.grid_sample(second, grid, padding_mode="border", align_corners=False)
    on_object = motion_field.abs().sum(1) > 0
    error = (warped - first).abs().mean(1)[on_object].mean()
    assert error < 0.015
    # Where the object was and no longer is, the unmoved picture is wrong.
    assert (second - first).abs().mean(1)[on_object].mean() > 2 * error


def test_flow_of_a_straight_motion_is_its_speed() -> None:
    (scene,) = sample_scenes(1, 3, style="plain", motion="up", shape="square", objects=1)
    batch = encode([scene])
    field = flow(batch, torch.tensor([0.2]), torch.tensor([0.6]), 100, 140)[0]
    moving = field.abs().sum(0) > 0
    assert 0.01 < moving.float().mean() < 0.5
    rate = scene.bodies[0].rate
    expected = torch.tensor([0.0, -rate * 0.4 * 50])  # a unit is half of 100 pixels
    torch.testing.assert_close(
        field[:, moving], expected[:, None].expand(-1, int(moving.sum())), rtol=0, atol=1e-3
    )


def test_pictures_are_the_same_under_autocast() -> None:
    batch = encode(sample_scenes(6, 2, style="night"))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = render(batch, times_of(batch, 0.3), 48, 48)
    assert torch.equal(mixed, render(batch, times_of(batch, 0.3), 48, 48))
