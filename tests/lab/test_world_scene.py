import dataclasses
from collections import Counter

import pytest
import torch

from lab.world.render import render
from lab.world.scene import (
    COLOUR_NAMES,
    HEADINGS,
    MOTION_NAMES,
    SHAPE_NAMES,
    SPEED_NAMES,
    STYLE_NAMES,
    SceneBatch,
    encode,
    sample_scenes,
)


def test_a_scene_depends_on_its_seed_and_index_alone() -> None:
    scenes = sample_scenes(12, 3)
    assert scenes == sample_scenes(12, 3)
    assert scenes[5:9] == sample_scenes(4, 3, first=5)
    assert scenes != sample_scenes(12, 4)


def test_constraints_bind_the_main_object() -> None:
    scenes = sample_scenes(
        40, 0, style="night", shape=("star", "ring"), colour="blue", motion="left", objects=2
    )
    assert {scene.style for scene in scenes} == {"night"}
    assert {len(scene.bodies) for scene in scenes} == {2}
    mains = [scene.bodies[0] for scene in scenes]
    assert {body.shape for body in mains} == {"star", "ring"}
    assert {(body.colour, body.motion, body.heading) for body in mains} == {
        ("blue", "left", "left")
    }
    assert len({scene.bodies[1].colour for scene in scenes}) > 3


def test_two_objects_differ_in_shape_and_in_colour() -> None:
    for scene in sample_scenes(300, 1, objects=2):
        main, second = scene.bodies
        assert main.shape != second.shape
        assert main.colour != second.colour


def test_blocks_stand_upright_unless_they_spin() -> None:
    digital = [body for scene in sample_scenes(60, 1, style="digital") for body in scene.bodies]
    assert all((body.rotation == 0) == (body.motion != "spin") for body in digital)
    assert all(body.rotation != 0 for s in sample_scenes(20, 1, style="plain") for body in s.bodies)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"shape='blob'.*circle, square"):
        sample_scenes(1, 0, shape="blob")
    with pytest.raises(ValueError, match=r"style=\(\)"):
        sample_scenes(1, 0, style=())


def test_what_is_round_never_spins() -> None:
    with pytest.raises(ValueError, match="same at every angle"):
        sample_scenes(1, 0, shape=("circle", "ring"), motion="spin")
    for scene in sample_scenes(200, 0, shape="circle") + sample_scenes(200, 0, motion="spin"):
        main = scene.bodies[0]
        assert not (main.motion == "spin" and main.shape in ("circle", "ring"))


def test_shares_of_styles_and_objects() -> None:
    scenes = sample_scenes(3000, 5)
    styles = Counter(scene.style for scene in scenes)
    for name, share in zip(STYLE_NAMES, (0.55, 0.15, 0.15, 0.15), strict=True):
        assert styles[name] / 3000 == pytest.approx(share, abs=0.03)
    assert sum(len(scene.bodies) == 2 for scene in scenes) / 3000 == pytest.approx(0.35, abs=0.03)
    assert {scene.bodies[0].motion for scene in scenes} == set(MOTION_NAMES)


def test_labels_say_what_the_scenes_say() -> None:
    scenes = sample_scenes(60, 2)
    batch = encode(scenes)
    for index, scene in enumerate(scenes):
        assert STYLE_NAMES[batch.style[index]] == scene.style
        for place, body in enumerate(scene.bodies):
            assert SHAPE_NAMES[batch.shape[index, place]] == body.shape
            assert COLOUR_NAMES[batch.colour[index, place]] == body.colour
            assert MOTION_NAMES[batch.motion[index, place]] == body.motion
            speed = int(batch.speed[index, place])
            assert (SPEED_NAMES[speed] if speed >= 0 else None) == body.speed
            heading = int(batch.heading[index, place])
            assert (HEADINGS[heading] if heading >= 0 else None) == body.heading
        if len(scene.bodies) == 1:
            assert batch.shape[index, 1] == -1
            assert batch.present[index].tolist() == [1.0, 0.0]


def test_a_batch_is_picked_and_joined_like_a_list() -> None:
    scenes = sample_scenes(10, 2)
    batch, order = encode(scenes), torch.tensor([7, 0, 7])
    again = SceneBatch.cat([encode([scenes[7], scenes[0]]), encode([scenes[7]])])
    assert len(batch) == 10
    for field in dataclasses.fields(SceneBatch):
        assert torch.equal(getattr(batch[order], field.name), getattr(again, field.name))


@pytest.mark.parametrize("size", [(64, 128), (128, 64)])
def test_objects_stay_in_the_central_square_of_any_picture(size: tuple[int, int]) -> None:
    """Twice as wide or as high a picture shows as much again around the square."""
    batch = encode(sample_scenes(150, 8, style=("plain", "night")))
    times = torch.linspace(0, 2, 5).expand(len(batch), -1)
    empty = dataclasses.replace(batch, present=torch.zeros_like(batch.present))
    height, width = size
    changed = (render(batch, times, height, width) - render(empty, times, height, width)).abs()
    if width > height:
        changed = changed.mT
    inside = changed[..., 32:96, :].sum((-3, -2, -1))
    outside = changed[..., :32, :].sum((-3, -2, -1)) + changed[..., 96:, :].sum((-3, -2, -1))
    assert (inside > 0).all()
    # A large object that grows fast may put a tip across the border at the very end.
    assert (outside / inside).max() < 0.02
