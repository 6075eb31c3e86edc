"""Prompt sets: those that come with the project, and what is said of a set that is wrong."""

import json

import pytest

from mora.agents.grammar import complete
from mora.records import Prompt, PromptSource, TaskName
from prompts.load import SETS, PromptSetError, inspect, load, locate, names
from prompts.save import save

GOOD = {"id": "a", "text": "a red circle"}


def _write(folder, *lines) -> str:
    path = folder / "set.jsonl"
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return path


def test_the_miniature_set_is_readable_by_the_prompt_agent():
    prompts = load(locate("mini_text_to_video"), TaskName.TEXT_TO_VIDEO)
    assert len(prompts) == 24
    completed = [complete(prompt.text, 0) for prompt in prompts]
    for prompt, text in zip(prompts, completed, strict=True):
        assert complete(text, 1) == text != ""
        assert all(shape in text.lower() for shape in prompt.tags["objects"])
    # All but the full sentences leave something open for the agent to say.
    assert sum(a.text != b for a, b in zip(prompts, completed, strict=True)) >= 20


def test_the_first_twelve_cover_the_world():
    prompts = load(SETS / "mini_text_to_video.jsonl")[:12]
    assert {p.tags["style"] for p in prompts} == {"plain", "night", "sketch", "digital world"}
    motions = {motion for prompt in prompts for motion in prompt.tags["motion"]}
    assert motions >= {"left", "right", "up", "down", "still", "spin", "grow", "bounce", "orbit"}
    assert {len(prompt.tags["objects"]) for prompt in prompts} == {1, 2}
    shapes = {shape for prompt in prompts for shape in prompt.tags["objects"]}
    assert shapes == {"circle", "square", "triangle", "star", "cross", "ring"}


def test_reads_in_order_and_skips_blank_lines(tmp_path):
    path = _write(tmp_path, GOOD, "", {"id": "b", "text": "ein Kreis", "language": "de"}, "  ")
    assert [(p.id, p.language) for p in load(path)] == [("a", "en"), ("b", "de")]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([GOOD, "{not json"], "line 2: expected one JSON object a line"),
        ([GOOD, "[1]"], "line 2: expected a JSON object"),
        ([{"id": "a"}], "line 1, field text: missing"),
        ([{"id": "a", "text": ""}], "line 1, field text: "),
        ([{"id": 3, "text": "x"}], "line 1, field id: "),
        ([GOOD | {"prompt": "x"}], "line 1, field prompt: no such field. The fields are: id, "),
        ([GOOD | {"source": {"mode": "guessed"}}], "line 1, field source.mode: "),
        ([GOOD | {"task": "dance"}], "line 1, field task: "),
        ([GOOD, "", GOOD], "line 3, field id: 'a' is already on line 1"),
        ([GOOD, GOOD | {"id": "b"}], "line 2, field text: 'a red circle' is already on line 1"),
        (["", " "], "expected at least one prompt, found none"),
        (['{"id": "a", "id": "b", "text": "x"}'], "line 1, field id: given twice"),
        (
            [GOOD | {"tags": {"moving": True}}],
            "line 1, field tags.moving: expected a text, a whole",
        ),
        ([GOOD | {"tags": {"moving": 1.0}}], "line 1, field tags.moving: expected a text, a whole"),
        ([GOOD | {"tags": {"motion": [1]}}], "line 1, field tags.motion: expected a text, a whole"),
        ([GOOD | {"text": " \n"}], "line 1, field text: expected words"),
        ([GOOD | {"id": "a\nb"}], "line 1, field id: expected one line"),
        ([GOOD | {"id": " a"}], "line 1, field id: expected one line"),
        ([GOOD | {"id": "a" * 201}], "line 1, field id: expected one line"),
        ([GOOD | {"language": "English"}], "line 1, field language: expected a code"),
        ([GOOD | {"source": {"date": "last May"}}], "line 1, field source.date: expected a date"),
        ([GOOD | {"source": {"date": "20260131"}}], "line 1, field source.date: expected a date"),
        (["[" * 100_000], "line 1: expected one JSON object a line"),
    ],
)
def test_a_wrong_set_names_file_line_and_field(tmp_path, lines, said):
    path = _write(tmp_path, *lines)
    with pytest.raises(PromptSetError) as raised:
        load(path)
    assert str(raised.value).startswith(str(path))
    assert said in str(raised.value)


def test_every_wrong_line_is_told_of(tmp_path):
    path = _write(tmp_path, GOOD, "{", {"id": "b", "text": "a blue square"}, {"id": "c"})
    prompts, problems = inspect(path)
    assert [prompt.id for prompt in prompts] == ["a", "b"]
    assert len(problems) == 2
    assert "line 2: " in problems[0]
    assert "line 4, field text: " in problems[1]
    with pytest.raises(PromptSetError, match=r"line 2.*1 more lines are wrong"):
        load(path)


def test_what_is_saved_is_read_again(tmp_path):
    prompts = (
        Prompt(id="plain", text="a red circle"),
        Prompt(
            id="../a/b?",
            task=TaskName.CONNECT_VIDEOS,
            text='两只 🦊 say "hi"/\\\nand\u2028go\r\n' + "on " * 5000,
            tags={"motion": ["fall", "flow"], "moving_objects": 2, "style": ""},
            inputs=("a b.mp4", "run:before"),
            language="zh-Hant",
            source=PromptSource(model="m", date="2026-01-31", mode="few_shot", examples=("x", "y")),
            licence="CC0-1.0",
        ),
    )
    path = tmp_path / "new" / "set.jsonl"
    save(prompts, path)
    assert load(path) == prompts
    assert path.read_bytes().count(b"\n") == 2
    assert list(path.parent.iterdir()) == [path]


def test_the_same_text_for_two_tasks_is_two_prompts(tmp_path):
    path = _write(tmp_path, GOOD, GOOD | {"id": "b", "task": "edit_video"})
    assert len(load(path)) == 2
    with pytest.raises(PromptSetError, match="line 2, field task: expected text_to_video"):
        load(path, TaskName.TEXT_TO_VIDEO)


def test_a_set_that_is_not_there_or_not_text_is_named(tmp_path):
    assert "mini_text_to_video" in names()
    with pytest.raises(PromptSetError, match=r"The sets are: .*mini_text_to_video"):
        locate(str(tmp_path / "none.jsonl"))
    with pytest.raises(PromptSetError, match="no such prompt set"):
        load(tmp_path / "none.jsonl")
    with pytest.raises(PromptSetError, match="found a folder"):
        load(tmp_path)
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "a", "text": "caf\xe9"}')
    with pytest.raises(PromptSetError, match="UTF-8"):
        load(tmp_path / "latin.jsonl")
