"""Clips for the metrics' exam: one thing is exchanged, all else stays."""

import numpy as np
import pytest

from lab.specimens import specimens
from lab.world.parse import parse
from lab.world.scene import STYLE_NAMES

CLIPS = specimens(8, 0, frames=6, side=64)


def test_a_clip_does_not_depend_on_how_many_there_are():
    again = specimens(3, 0, frames=6, side=64)
    assert [each.sha256 for each in again] == [each.sha256 for each in CLIPS[:3]]
    assert [each.wording for each in again] == [each.wording for each in CLIPS[:3]]
    other = specimens(3, 1, frames=6, side=64)
    assert not {each.sha256 for each in other} & {each.sha256 for each in CLIPS}


def test_clips_move_and_take_the_styles_in_turn():
    for place, clip in enumerate(CLIPS):
        frames = clip.read()
        assert frames.shape == (clip.frames, clip.height, clip.width, 3) == (6, 64, 64, 3)
        assert (frames[0] != frames[-1]).any()
        assert clip.wording.style == STYLE_NAMES[place % 4]


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
def test_a_swap_leaves_the_rest_of_the_picture(clip):
    before = clip.read().astype(int)
    objects = np.abs(clip.swapped["object"]().astype(int) - before).max((0, 3)) > 12
    ground = np.abs(clip.swapped["background"]().astype(int) - before).max(3) > 12
    assert 0.005 < objects.mean() < 0.6, "an object is a part of the picture"
    assert ground.mean() > 0.3, "a background is most of it"


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
def test_a_wrong_word_changes_what_it_says_and_nothing_else(clip):
    said = parse(clip.wording.text)
    read = {
        "colour": lambda asked: asked.main.colour,
        "shape": lambda asked: asked.main.shape,
        "motion": lambda asked: (asked.main.motion, asked.main.heading),
        "style": lambda asked: asked.style,
    }
    for word, wording in clip.misworded.items():
        wrong = parse(wording.text)
        changed = {name for name, of in read.items() if of(wrong) != of(said)}
        assert changed == {word}
        assert (wrong.second, wrong.ground) == (said.second, said.ground)
        assert (wording.style != clip.wording.style) == (word == "style")
