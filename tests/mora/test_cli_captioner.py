"""`mora evaluate` on videos that were made from pictures and videos, and who captions them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from goldens import golden
from openai_server import failed, said, serving

from eval.ledger import Ledger
from lab.world.render import render
from lab.world.scene import encode, sample_scenes
from mora.cli import main
from mora.cli.captioner import captioner_of
from mora.errors import SettingError
from mora.media import write_image, write_video

KEY = "sk-a-secret-that-nobody-may-see"
METRICS = "metrics=video_ti,tcon,tmean,video_length_s"


@pytest.fixture
def weights(metric_weights: Path) -> str:
    return f"weights_folder={metric_weights}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clips of the world, of three tasks, with a list that says what they were made from."""
    [scene] = sample_scenes(1, 4, motion="left", style="plain", objects=1)
    times = (torch.arange(8) / 7)[None]
    frames = (render(encode([scene]), times, 64, 64)[0] * 255).round().byte().permute(0, 2, 3, 1)
    clip = frames.numpy()
    write_image(tmp_path / "inputs" / "picture.png", clip[0])
    write_video(tmp_path / "inputs" / "first.mp4", clip[:4], 7)
    write_video(tmp_path / "inputs" / "other.mp4", golden.clip("other", 4, 64, 64), 7)
    write_video(tmp_path / "clips" / "animated.mp4", clip, 7)
    write_video(tmp_path / "clips" / "extended.mp4", clip, 7)
    write_video(tmp_path / "clips" / "joined.mp4", clip[4:], 7)
    prompt = "The circle moves to the left."
    rows = [
        {"file": "animated.mp4", "input_image": "inputs/picture.png"},
        {"file": "extended.mp4", "input_video": "inputs/first.mp4", "given_start": 4},
        {
            "file": "joined.mp4",
            "video_before": "inputs/first.mp4",
            "video_after": "inputs/other.mp4",
            "given_start": 0,
        },
    ]
    lines = [json.dumps(row | {"prompt": prompt}) for row in rows]
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path


def scores(run: Path) -> pd.DataFrame:
    found = pd.read_csv(run / "scores" / "scores.csv")
    return found.pivot(index="prompt_id", columns="metric", values=["value", "failure"])


ASKED = ["evaluate", "videos=clips", "prompts=list.jsonl", "run=./run", "report=0"]


def test_each_video_has_the_metrics_of_what_it_was_made_from(
    folder: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ASKED, weights, METRICS]) == 0
    told = capsys.readouterr().out
    assert "not applicable: tcon needs an input video. (2 videos)" in told
    found = scores(folder / "run")
    names = ["video_ti", "tcon", "tmean", "video_length_s"]
    has_value = found["value"][names].notna().to_numpy()
    assert has_value.tolist() == [
        [True, False, False, True],
        [False, True, False, True],
        [False, False, True, True],
    ]
    failures = found["failure"][names].to_numpy()
    assert set(failures[~has_value]) == {"not_applicable"}
    assert found["value"]["video_length_s"].to_list() == [8 / 7, 8 / 7, 4 / 7]
    with Ledger.read(folder / "run") as ledger:
        [print_] = [each for each in ledger.fingerprints() if each.metric == "video_ti"]
        captions = ledger._connection.execute(
            "SELECT json_extract(record, '$.text') FROM artifacts WHERE stage = 'caption'"
        ).fetchall()
    assert print_.choices["captioner.name"] == "world_reader"
    assert sorted(len(text.split()) for (text,) in captions) == [3, 6]


def test_a_metric_that_applies_to_no_video_is_left_out(
    folder: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "list.jsonl").write_text(
        json.dumps({"file": "animated.mp4", "prompt": "a", "input_image": "inputs/picture.png"})
    )
    main([*ASKED, weights, "captioner=none"])
    assert (
        "left out: video_ti needs a captioner, such as captioner=llava or captioner=openai. "
        "tcon needs an input video. tmean needs a video before and a video after.\n"
    ) in capsys.readouterr().out
    assert not {"video_ti", "tcon", "tmean"} & set(scores(folder / "run")["value"].columns)


def test_a_run_that_goes_on_pays_for_no_caption_twice(
    folder: Path,
    weights: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    replies = [said("a picture"), failed(400, "bad", f"your key {KEY} is odd"), said("a video")]
    with serving(replies) as server:
        asked = [*ASKED, weights, "metrics=video_ti", "captioner=openai"]
        asked += [f"captioner.base_url={server.url}", "captioner.model=seer"]
        assert main(asked) == 1
        said_then = capsys.readouterr()
        assert "seer at" in said_then.err
        assert "status 400" in said_then.err
        assert len(server.asked) == 2
        assert main(asked) == 1, "a failure stands"
        assert len(server.asked) == 2
        assert main([*asked, "retry=true"]) == 0
        assert len(server.asked) == 3, "the picture's caption was kept"
        assert main([*asked, "retry=true"]) == 0
        assert len(server.asked) == 3
    value = scores(folder / "run")["value"]["video_ti"]["animated.mp4"]
    assert np.isfinite(value)
    heard = capsys.readouterr()
    for text in (said_then.out, said_then.err, heard.out, heard.err):
        assert KEY not in text
    for path in (folder / "run").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["captioner=openai"], "OPENAI_API_KEY: this environment variable is not set"),
        (["captioner=openai", "captioner.key_variable=null", "captioner.retries=-1"], "retries"),
        (["captioner=llava", "captioner.revision=null"], "needs the commit that it is pinned to"),
        (["captioner=llava", "captioner.weights=/no/such"], "/no/such"),
        (["captioner=none", "metrics=video_ti"], "captioner=llava or captioner=openai"),
        (["captioner=gpt"], "captioner=gpt: no such choice"),
    ],
)
def test_a_captioner_that_cannot_be_is_told_at_once(
    folder: Path,
    weights: str,
    settings: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*ASKED, weights, *settings]) == 2
    assert told in capsys.readouterr().err


def test_auto_is_the_worlds_reader_for_miniature_weights_only() -> None:
    auto = {"kind": "auto"}
    made = captioner_of(auto, "mini", "cpu")
    assert made is not None
    assert made.settings == {"name": "world_reader"}
    assert captioner_of(auto, "official", "cpu") is None
    assert captioner_of({"kind": "none"}, "mini", "cpu") is None
    with pytest.raises(SettingError, match="kind=oracle: expected one of auto"):
        captioner_of({"kind": "oracle"}, "mini", "cpu")


def test_the_worlds_reader_needs_the_extra_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mora.cli.captioner.find_spec", lambda _: None)
    assert captioner_of({"kind": "auto"}, "mini", "cpu") is None
    with pytest.raises(SettingError, match=r"install mora-bench\[lab\]"):
        captioner_of({"kind": "world"}, "mini", "cpu")
