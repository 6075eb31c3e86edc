"""The world's own captioner: what it says of a scene is what the scene is."""

import numpy as np
import pytest
import torch

from lab.world.measure import Reading
from lab.world.parse import parse
from lab.world.reader import NOTHING, WorldReader, said
from lab.world.render import render
from lab.world.scene import COLOUR_NAMES, HEADINGS, SHAPE_NAMES, STYLE_NAMES, encode, sample_scenes

READER = WorldReader()


def clips(scenes: list, frames: int = 14) -> np.ndarray:
    times = (torch.arange(frames) / 7).expand(len(scenes), -1)
    pictures = render(encode(scenes), times, 128, 128) * 255
    return pictures.round().byte().permute(0, 1, 3, 4, 2).numpy()


@pytest.mark.parametrize("style", STYLE_NAMES)
def test_a_clip_is_said_as_it_was_asked_for(style: str) -> None:
    scenes = [each for each in sample_scenes(40, 5, style=style) if len(each.bodies) == 1][:8]
    for scene, clip in zip(scenes, clips(scenes), strict=True):
        body = scene.bodies[0]
        shown = clip[::2]  # every second frame, as a captioner is shown some of them
        read = parse(READER.caption(shown, 3.5, "What?")).main
        assert (read.colour, read.shape) == (body.colour, body.shape)
        if body.motion in HEADINGS:
            assert (read.heading, read.speed) == (body.heading, body.speed)
        if body.motion == "still":
            assert read.motion == "still"


def test_a_picture_has_no_motion() -> None:
    scenes = [each for each in sample_scenes(20, 6) if len(each.bodies) == 1][:4]
    for scene, clip in zip(scenes, clips(scenes, 1), strict=True):
        body = scene.bodies[0]
        caption = READER.caption(clip, 1.0, "What?")
        read = parse(caption).main
        assert (read.colour, read.shape, read.motion) == (body.colour, body.shape, None)
        assert len(caption.split()) == 3


def test_where_there_is_nothing_it_says_so() -> None:
    blank = np.full((3, 64, 64, 3), 128, np.uint8)
    assert READER.caption(blank, 7.0, "What?") == NOTHING
    asked = parse(NOTHING).main
    assert (asked.colour, asked.shape, asked.motion) == (None, None, None)


@pytest.mark.parametrize("colour", COLOUR_NAMES)
@pytest.mark.parametrize("shape", SHAPE_NAMES)
def test_every_sentence_reads_back(colour: str, shape: str) -> None:
    for direction in (*HEADINGS, "still", "other", None):
        for speed, name in ((0.18, "slow"), (0.33, "normal"), (0.5, "fast")):
            reading = Reading(colour, shape, direction, speed, 0.1, 1.0, 1.0)
            sentence = said(reading)
            read = parse(sentence).main
            assert (read.colour, read.shape) == (colour, shape), sentence
            if direction in HEADINGS:
                assert (read.heading, read.speed) == (direction, name), sentence
            else:
                assert (read.heading, read.speed) == (None, None), sentence
            assert sentence.startswith(("An orange ", "A ")), sentence
            assert sentence.endswith(".")
