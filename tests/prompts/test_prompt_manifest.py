"""Lists of videos and their prompts."""

import json

import pytest

from mora.records import Given, Origin, Role
from prompts.load import PromptSetError
from prompts.manifest import load_manifest


def _line(**columns: object) -> str:
    return json.dumps({"file": "x.mp4", "prompt": "a", **columns})


def test_reads_csv_and_json_lines_alike(tmp_path):
    table = tmp_path / "list.csv"
    table.write_text('\ufefffile,seed,prompt\n./a b.mp4,1,"a red, round circle"\nsub/c.mp4,2,ü\n')
    lines = tmp_path / "list.jsonl"
    lines.write_text(
        '{"file": "a b.mp4", "prompt": "a red, round circle"}\n\n'
        '{"file": "sub/c.mp4", "prompt": "ü", "seed": 2}\n'
    )
    expected = {"a b.mp4": Origin(prompt="a red, round circle"), "sub/c.mp4": Origin(prompt="ü")}
    assert load_manifest(table) == load_manifest(lines) == expected


def test_reads_what_videos_were_made_from_relative_to_the_list(tmp_path):
    (tmp_path / "lists").mkdir()
    table = tmp_path / "lists" / "list.csv"
    table.write_text(
        "file,prompt,input_video,video_before,given_start,given_end\n"
        "long.mp4,go on,../short.mp4,, 14 ,\n"
        "new.mp4,join,,a/b.mp4,,0\n"
        "old.mp4,stay,,,,\n"
    )
    lines = tmp_path / "lists" / "list.jsonl"
    rows = [
        {"file": "long.mp4", "prompt": "go on", "input_video": "../short.mp4", "given_start": 14},
        {"file": "new.mp4", "prompt": "join", "video_before": "a/b.mp4", "given_end": 0},
        {"file": "old.mp4", "prompt": "stay", "input_image": None, "given_start": None},
    ]
    lines.write_text("\n".join(map(json.dumps, rows)))
    short, other = tmp_path / "short.mp4", tmp_path / "lists" / "a" / "b.mp4"
    expected = {
        "long.mp4": Origin(
            prompt="go on", inputs={Role.INPUT_VIDEO: str(short)}, given=Given(start=14)
        ),
        "new.mp4": Origin(prompt="join", inputs={Role.VIDEO_BEFORE: str(other)}, given=Given()),
        "old.mp4": Origin(prompt="stay"),
    }
    assert load_manifest(table) == load_manifest(lines) == expected


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "file,text\nx.mp4,hello\n", "line 1: expected a header"),
        ("a.csv", "", "line 1: expected a header"),
        ("a.csv", "file,prompt\nx.mp4,\n", "line 2, column prompt: expected text, found ''"),
        ("a.csv", "file,prompt\nx.mp4\n", "line 2, column prompt: expected text, found None"),
        ("a.csv", "file,prompt\nx.mp4,a\n./x.mp4,b\n", "line 3, column file: 'x.mp4' is listed"),
        ("a.csv", "file,prompt\n", "expected at least one video"),
        ("a.jsonl", '{"file": "x.mp4", "prompt": 3}', "line 1, column prompt: expected text"),
        ("a.jsonl", _line(given_start=True), "column given_start: expected a number of frames"),
        ("a.jsonl", _line(given_end=-1), "column given_end: expected a number of frames, found -1"),
        ("a.jsonl", _line(given_end=1.5), "column given_end: expected a number of frames"),
        ("a.jsonl", _line(input_image=3), "line 1, column input_image: expected text, found 3"),
        ("a.csv", "file,prompt,given_end\nx.mp4,a,two\n", "column given_end: expected a number"),
        ("a.jsonl", "x.mp4", "line 1: expected one JSON object a line"),
        ("a.jsonl", '["x.mp4"]', "line 1: expected a JSON object"),
        ("a.txt", "x", r"expected a .csv or a .jsonl file"),
    ],
)
def test_a_wrong_list_names_file_line_and_column(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(PromptSetError) as raised:
        load_manifest(path)
    assert str(raised.value).startswith(str(path))
    assert said in str(raised.value)


def test_a_list_that_is_not_there_or_not_text_is_named(tmp_path):
    with pytest.raises(PromptSetError, match="no such file"):
        load_manifest(tmp_path / "none.csv")
    for name in ("latin.csv", "latin.jsonl"):
        (tmp_path / name).write_bytes(b"file,prompt\nx.mp4,caf\xe9\n")
        with pytest.raises(PromptSetError, match="UTF-8"):
            load_manifest(tmp_path / name)
