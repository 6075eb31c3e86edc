import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lab.world.measure import Reading, measure
from lab.world.parse import AskedBody
from lab.world.render import render
from lab.world.scene import HEADINGS, STYLE_NAMES, Scene, SceneBatch, encode, sample_scenes

Frames = NDArray[np.uint8]


def clips(batch: SceneBatch, frames: int = 9) -> Frames:
    times = (torch.arange(frames) / 7).expand(len(batch), -1)
    pictures = render(batch, times, 128, 128) * 255
    return pictures.round().byte().permute(0, 1, 3, 4, 2).numpy()


def right(scenes: list[Scene], readings: list[Reading]) -> tuple[float, float, float]:
    """Shares of colours, of shapes and of directions (of straight and stopping motion) read."""
    pairs = [(scene.bodies[0], reading) for scene, reading in zip(scenes, readings, strict=True)]
    moving = [(body, reading) for body, reading in pairs if body.heading is not None]
    return (
        sum(body.colour == reading.colour for body, reading in pairs) / len(pairs),
        sum(body.shape == reading.shape for body, reading in pairs) / len(pairs),
        sum(body.heading == reading.direction for body, reading in moving) / len(moving),
    )


def read(scenes: list[Scene], damage: Callable[[Frames], Frames] | None = None) -> list[Reading]:
    readings = []
    for scene, clip in zip(scenes, clips(encode(scenes)), strict=True):
        main = scene.bodies[0]
        readings.append(
            measure(
                clip if damage is None else damage(clip),
                scene.style,
                objects=2 if len(scene.bodies) == 2 else 1,
                asked=AskedBody(shape=main.shape, colour=main.colour),
            )
        )
    return readings


@pytest.mark.parametrize("style", STYLE_NAMES)
def test_rendered_clips_are_read_right(style: str) -> None:
    scenes = sample_scenes(16, 31, style=style)
    colour, shape, direction = right(scenes, read(scenes))
    assert colour == 1.0
    assert shape >= 15 / 16
    assert direction == 1.0


def blurred(clip: Frames) -> Frames:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in clip])


def noisy(clip: Frames) -> Frames:
    noise = np.random.default_rng(0).normal(0, 15, clip.shape)
    return (clip + noise).clip(0, 255).astype(np.uint8)


def compressed(clip: Frames) -> Frames:
    coded = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 20])[1] for frame in clip]
    return np.stack([cv2.imdecode(data, cv2.IMREAD_COLOR) for data in coded]).astype(np.uint8)


@pytest.mark.parametrize("damage", [blurred, noisy, compressed])
def test_damaged_clips_are_read_nearly_as_well(damage: Callable[[Frames], Frames]) -> None:
    """What a small generator draws is soft and uneven; reading it must not hang on clean pixels."""
    scenes = sample_scenes(12, 32)
    colour, shape, direction = right(scenes, read(scenes, damage))
    assert colour >= 11 / 12
    assert shape >= 10 / 12
    assert direction >= 0.9


def test_what_stays_in_place_is_still_and_what_turns_back_is_not_straight() -> None:
    scenes = sample_scenes(8, 3, motion=("still", "spin", "grow"), objects=1)
    assert {reading.direction for reading in read(scenes)} == {"still"}
    scenes = sample_scenes(8, 3, motion=("bounce", "orbit"), speed="fast", objects=1)
    assert not {reading.direction for reading in read(scenes)} & {*HEADINGS, "still", None}


def test_speed_and_area_have_their_units() -> None:
    (scene,) = sample_scenes(1, 3, style="night", motion="right", shape="circle", objects=1)
    (reading,) = read([scene])
    body = scene.bodies[0]
    assert reading.speed == pytest.approx(body.rate, rel=0.03)
    assert reading.area == pytest.approx(np.pi * body.radius**2 / 4, rel=0.05)


def test_swapped_colours_of_two_objects_are_wrong_in_colour_and_in_shape() -> None:
    scenes = sample_scenes(10, 14, style="plain", objects=2)
    for scene, clip in zip(scenes, clips(encode(scenes), frames=3), strict=True):
        main, second = scene.bodies
        swapped = AskedBody(shape=main.shape, colour=second.colour)
        reading = measure(clip, objects=2, asked=swapped)
        assert reading.colour == main.colour
        assert reading.shape == second.shape


def test_without_a_hint_the_larger_object_is_read() -> None:
    scenes = [
        scene
        for scene in sample_scenes(40, 15, style="plain", size="large", objects=2, motion="still")
        if scene.bodies[1].size == "small" and scene.bodies[1].motion == "still"
    ]
    assert len(scenes) >= 3
    for scene, clip in zip(scenes, clips(encode(scenes), frames=2), strict=True):
        for objects in (1, 2):
            reading = measure(clip, objects=objects)
            assert (reading.colour, reading.shape) == (
                scene.bodies[0].colour,
                scene.bodies[0].shape,
            )


def test_a_picture_has_no_direction_and_an_empty_one_no_object() -> None:
    batch = encode(sample_scenes(20, 2, style="plain"))
    assert measure(clips(batch, frames=1)[0]).direction is None
    empty = dataclasses.replace(batch, present=torch.zeros_like(batch.present))
    for clip in clips(empty, frames=2):
        reading = measure(clip)
        assert (reading.colour, reading.shape, reading.direction) == (None, None, None)
        assert reading.area == 0


def test_frames_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match=r"float64 \(2, 3, 8, 8\): expected uint8 \(T, H, W, 3\)"):
        measure(np.zeros((2, 3, 8, 8)))  # type: ignore[arg-type]
