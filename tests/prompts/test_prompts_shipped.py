"""The shipped sets: complete, balanced over their tags, and no two prompts alike."""

import re
from collections import Counter

import pytest

from mora.records import TaskName
from prompts.duplicates import near_duplicates
from prompts.load import SETS, load, locate
from prompts.tags import MOTIONS, STYLES, SUBJECTS, moving_type
from prompts.words import words

COUNTS = {
    "text_to_video_few_shot": 100,
    "text_to_video_zero_shot": 100,
    "image_to_video": 50,
    "extend_video": 50,
    "edit_video": 50,
    "connect_videos": 50,
    "simulate_digital_world": 50,
    "quick": 12,
}
GRIDS = ("text_to_video_few_shot", "text_to_video_zero_shot")
FIFTIES = tuple(name for name, count in COUNTS.items() if count == 50)


def _task(name):
    starts = [task for task in TaskName if name.startswith(task.value)]
    return starts[0] if starts else TaskName.TEXT_TO_VIDEO


def _readme_rows(columns):
    text = (SETS / "README.md").read_text(encoding="utf-8")
    rows = (re.split(r"\s*\|\s*", line.strip("| \n")) for line in text.splitlines())
    return {row[0].strip("`"): row[1:] for row in rows if len(row) == columns and row[0][:1] == "`"}


@pytest.mark.parametrize("name", COUNTS)
def test_a_set_is_complete_and_says_who_wrote_it(name):
    prompts = load(locate(name), _task(name))
    assert len(prompts) == COUNTS[name] == int(_readme_rows(3)[name][0])
    assert {(p.source.mode, p.source.model) for p in prompts} == {("written", "Claude")}
    assert all(re.fullmatch("[a-z0-9+-]+", prompt.id) for prompt in prompts)
    assert all(prompt.text[-1] in ".!" and "  " not in prompt.text for prompt in prompts)


@pytest.mark.parametrize("name", COUNTS)
def test_types_are_balanced_as_the_readme_says(name):
    counts = Counter(moving_type(prompt) for prompt in load(locate(name)))
    assert [str(counts[kind]) for kind in sorted(counts)] == _readme_rows(4)[name]
    assert min(counts.values()) >= 0.9 * COUNTS[name] / 3


@pytest.mark.parametrize("name", COUNTS)
def test_tags_are_those_of_the_readme_and_every_motion_occurs(name):
    prompts = load(locate(name))
    styles = ("digital world",) if name == "simulate_digital_world" else STYLES
    assert {prompt.tags["style"] for prompt in prompts} == set(styles)
    assert {subject for prompt in prompts for subject in prompt.tags["subjects"]} == set(SUBJECTS)
    motions = Counter(motion for prompt in prompts for motion in prompt.tags["motion"])
    assert set(motions) <= set(MOTIONS)
    if name != "quick":
        assert set(motions) == set(MOTIONS)


@pytest.mark.parametrize("name", GRIDS)
def test_each_style_meets_each_subject_once_and_any_ten_lines_are_mixed(name):
    cells = [(p.tags["style"], p.tags["subjects"][0]) for p in load(locate(name))]
    assert len(set(cells)) == len(STYLES) * len(SUBJECTS) == 100
    for start in range(0, 100, 10):
        assert len({style for style, _ in cells[start : start + 10]}) == 10
        assert len({subject for _, subject in cells[start : start + 10]}) == 10
    motions = Counter(m for prompt in load(locate(name)) for m in prompt.tags["motion"])
    assert min(motions.values()) >= 9


@pytest.mark.parametrize("name", FIFTIES)
def test_sets_of_fifty_have_each_subject_and_style_five_times(name):
    prompts = load(locate(name))
    assert set(Counter(p.tags["subjects"][0] for p in prompts).values()) == {5}
    if name != "simulate_digital_world":
        assert set(Counter(p.tags["style"] for p in prompts).values()) == {5}


def test_no_two_prompts_of_all_sets_are_alike():
    prompts = [
        prompt.model_copy(update={"id": f"{name}/{prompt.id}", "task": TaskName.TEXT_TO_VIDEO})
        for name in COUNTS
        for prompt in load(locate(name))
    ]
    assert near_duplicates(prompts, threshold=0.3) == []


@pytest.mark.parametrize("name", COUNTS)
def test_no_two_openings_of_a_set_are_alike(name):
    openings = Counter(tuple(words(prompt.text)[:3]) for prompt in load(locate(name)))
    assert openings.most_common(1)[0][1] == 1


def test_long_captions_are_long_and_fit_clip_and_plain_ones_are_plain():
    from open_clip.tokenizer import SimpleTokenizer

    encode = SimpleTokenizer().encode
    long, plain = (load(locate(name)) for name in GRIDS)
    assert all(45 <= len(words(prompt.text)) <= 60 for prompt in long)
    assert max(len(encode(prompt.text)) for prompt in long) <= 75
    assert all(7 <= len(words(prompt.text)) <= 17 for prompt in plain)


def test_scenes_that_go_on_are_there():
    scenes = [prompt.id for prompt in load(locate("text_to_video_few_shot"))]
    for name in ("image_to_video", "extend_video", "edit_video"):
        for prompt in load(locate(name)):
            assert prompt.tags["from"] == [prompt.id]
            assert prompt.id in scenes
    joined = load(locate("connect_videos"))
    assert all(prompt.id == "+".join(prompt.tags["from"]) for prompt in joined)
    assert sorted(name for prompt in joined for name in prompt.tags["from"]) == sorted(scenes)
