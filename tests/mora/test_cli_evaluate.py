"""`mora evaluate` on folders of videos, with metric networks of random weights."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from goldens import golden
from killed import kill_at
from PIL import Image

from eval.ledger import Ledger
from eval.tables import load_table_spec
from mora.cli import main
from mora.media import ref, write_video
from mora.records import Prompt, Request, Video

METRICS = "metrics=aesthetic_quality,temporal_style"
TEXT_TO_VIDEO = "metrics=" + ",".join(load_table_spec("text_to_video").metrics)


@pytest.fixture
def weights(metric_weights: Path) -> str:
    return f"weights_folder={metric_weights}"


def _clip(path: Path, name: str, frames: int = 4, side: int = 128) -> Path:
    write_video(path, golden.clip(name, frames, side, side, 3.0), 8)
    return path


def _files(run: Path) -> dict[str, bytes]:
    """All that an evaluation writes, but for the ledger, which holds how long it took."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and not path.name.startswith("ledger.")
    }


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder of one good video and four that are none, each in its own way."""
    folder = tmp_path / "clips"
    good = _clip(folder / "good.mp4", "good")
    (folder / "text.mp4").write_text("this is no video")
    (folder / "cut.mp4").write_bytes(good.read_bytes()[: good.stat().st_size * 2 // 3])
    Image.fromarray(golden.image("one", 128, 128)).save(folder / "one.gif")
    (folder / "empty").mkdir()
    names = ["good.mp4", "text.mp4", "cut.mp4", "one.gif", "empty"]
    rows = [f"{name},a star" for name in names]
    (tmp_path / "prompts.csv").write_text("\n".join(["file,prompt", *rows]))
    return folder


def test_a_folder_of_good_and_bad_videos_is_a_row_each(
    weights: str,
    mixed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["evaluate", "videos=clips", "prompts=prompts.csv", weights, TEXT_TO_VIDEO]
    asked += ["run=./scored"]
    assert main(asked) == 1
    told = capsys.readouterr()
    videos = pd.read_csv("scored/scores/videos.csv", index_col="prompt_id")
    assert list(videos.index) == ["cut.mp4", "empty", "good.mp4", "one.gif", "text.mp4"]
    assert videos["failure"].dropna().to_dict() == {
        "cut.mp4": "truncated", "empty": "no_frames", "text.mp4": "not_a_video"
    }  # fmt: skip
    scores = pd.read_csv("scored/scores/scores.csv").set_index(["prompt_id", "metric"])
    assert not scores.index.has_duplicates
    good = scores.loc["good.mp4"]
    assert good["failure"].isna().all()
    assert good["value"].notna().all()
    for name, reason in (
        ("cut.mp4", "the file ends at"),
        ("empty", "the folder holds no pictures"),
        ("text.mp4", "it does not open as MP4, MOV, WebM, MKV, AVI or GIF"),
    ):
        row = scores.loc[name]
        assert row.index.equals(good.index)
        assert row["value"].isna().all()
        assert row["message"].str.contains(reason, regex=False).all()
        assert f"failed: clips, {name}: " in told.err
    one = scores.loc["one.gif"]
    needs_two = {"object_consistency", "background_consistency", "dynamic_degree"}
    assert needs_two <= set(one.index[one["failure"] == "too_few_frames"])
    assert one["value"]["imaging_quality"] > 0
    assert "; the video has 1." in one["message"]["object_consistency"]
    assert "failed: clips, one.gif: object_consistency needs at least 2 frames" in told.err
    assert "clips: 3 of 5 videos failed (no_frames 1, not_a_video 1, truncated 1) in " in told.out
    page = Path("scored/report/index.html").read_text()
    assert all(name in page for name in videos.index)

    for name in ("text.mp4", "cut.mp4", "one.gif"):
        (mixed / name).unlink()
    (mixed / "empty").rmdir()
    assert main(asked) == 2
    assert "video one.gif of clips was there when it was recorded" in capsys.readouterr().err
    Path("prompts.csv").write_text("file,prompt\ngood.mp4,a star")
    assert main(asked) == 2
    assert "scored was asked for with prompts = " in capsys.readouterr().err
    asked[-1] = "run=./only_good"
    assert main(asked) == 0
    assert "failed" not in capsys.readouterr().err


def test_failures_of_other_choices_are_not_told_again(
    weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    _clip(tmp_path / "clips" / "small.mp4", "small", side=64)
    asked = ["evaluate", "videos=clips", "prompts=none", weights, "run=./run", "report=0"]
    assert main([*asked, "metrics=dynamic_degree"]) == 1
    assert "failed: clips, small.mp4: " in capsys.readouterr().err
    assert main([*asked, "metrics=imaging_quality"]) == 0
    assert "failed" not in capsys.readouterr().err


def test_videos_that_are_not_made_yet_are_told(
    weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    prompts = [Prompt(id=f"p{number}", text=f"a circle, take {number}") for number in range(3)]
    requests = [Request(model="mora", recipe="r", prompt=prompt, seed=0) for prompt in prompts]
    asked = ["evaluate", "run=./run", weights, METRICS, "report=0"]
    with Ledger.open(tmp_path / "run", {}) as ledger:
        ledger.add_requests(requests)
    assert main(asked) == 2
    assert "run holds no videos yet. `mora generate` goes on" in capsys.readouterr().err
    media = ref(_clip(tmp_path / "run" / "0.mp4", "made"), tmp_path / "run")
    with Ledger.open(tmp_path / "run") as ledger:
        text = prompts[0].text
        ledger.add_videos([Video(id=requests[0].id, model="mora", text=text, media=media)])
    assert main(asked) == 1
    assert "failed: mora: 2 videos are not made yet; `mora generate`" in capsys.readouterr().err


def test_killed_and_resumed_or_in_other_batches_or_known_it_writes_the_same_bytes(
    weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        _clip(tmp_path / "clips" / f"{number}.mp4", f"evaluate {number}", 3 + number)
    (tmp_path / "clips" / "none.mp4").write_text("this is no video")
    known = ["evaluate", "videos=clips", "prompts=none", weights, METRICS]
    asked = [*known, "cache=none"]
    # Killed between the two scores of the second video.
    kill_at("eval.ledger.writing:Ledger._record_score", 4, [*asked, "run=./killed/run"], tmp_path)
    with Ledger.read(tmp_path / "killed" / "run") as ledger:
        assert len(ledger.all_scores()) == 2
    assert main([*asked, "run=./killed/run"]) == 1
    for size in (1, 8):
        assert main([*asked, f"executor.batch_size={size}", f"run=./batch{size}/run"]) == 1
    expected = _files(tmp_path / "batch1" / "run")
    assert {"tables/text_to_video.md", "scores/scores.parquet", "report/index.html"} <= {*expected}
    assert main([*known, "run=./first/run"]) == 1
    assert "known: " not in capsys.readouterr().err
    assert main([*known, "run=./known/run"]) == 1
    assert "known: 8 scores came from the cache" in capsys.readouterr().err
    for other in ("killed", "batch8", "first", "known"):
        assert _files(tmp_path / other / "run") == expected


def test_without_prompts_what_needs_none_is_scored_and_nothing_counts_as_failed(
    weights, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    frames = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), dtype=np.uint8)
    write_video(tmp_path / "clips" / "a.mp4", frames, 8)
    assert main(["evaluate", "videos=clips", "prompts=none", weights, METRICS, "report=0"]) == 0
    told = capsys.readouterr()
    assert "1 of 1 videos failed (no_prompt 1) in temporal style." in told.out
    assert "failed:" not in told.err
    assert (tmp_path / "results" / "runs" / "clips" / "ledger.sqlite").is_file()
    other = ["evaluate", "run=clips", weights, "protocol=vbench", METRICS, "report=0"]
    assert main(other) == 0
    assert main(["table", "run=clips"]) == 2
    assert "scored with several protocol" in capsys.readouterr().err
    assert main(["table", "run=clips", "protocol=vbench", "out=my tables"]) == 0
    assert "protocol vbench" in (tmp_path / "my tables" / "text_to_video.tex").read_text()
    for wrong, said in (
        ("metrics=beauty", "metrics=beauty: expected each name once, of object_consistency, "),
        ("report=-1", "report=-1: expected a whole number, at least 0."),
        ("executor.batch_size=0", "executor.batch_size=0: expected a whole number, at least 1."),
        ("table.decimals=-1", "table.decimals: Input should be greater than or equal to 0"),
        ("weights=best", "weights=best: expected mini or official."),
        ("weights=official weights_folder=/no/such", "with `mora models pull metrics`"),
        ("protocol.flow_rate=-1", "protocol.flow_rate: Input should be greater than 0, found -1."),
        ("weights_folder=/no/such", "files of the mini weights are missing"),
    ):
        assert main(["evaluate", "run=clips", weights, *wrong.split()]) == 2
        assert said in capsys.readouterr().err
    several = ["run=clips", "protocol=sound,vbench", "format=csv"]
    assert main(["table", "--multirun", *several]) == 0
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()].count(
        "source"
    ) == 2
    shutil.rmtree(tmp_path / "clips")
    assert main(["evaluate", "run=clips", weights, METRICS, "metrics=imaging_quality"]) == 1
