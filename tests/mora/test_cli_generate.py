"""`mora generate`, `evaluate` and `table` on tiny pipelines and metrics with random weights."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from random_weights import save_random_weights

from eval.ledger import Ledger
from mora.cli import main
from mora.media import write_video

PROMPTS = ("a red circle", "a star moves left", "two dogs", "a blue ring spins")
METRICS = "metrics=aesthetic_quality,temporal_style"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"weights_folder={save_random_weights(tmp_path_factory.mktemp('metric_weights'))}"


@pytest.fixture
def tiny(tiny_agents, tmp_path, monkeypatch) -> list[str]:
    """Settings that put the tiny pipelines in the place of the miniature ones."""
    monkeypatch.chdir(tmp_path)
    prompts = tmp_path / "my prompts.jsonl"
    rows = [{"id": str(place), "text": text} for place, text in enumerate(PROMPTS)]
    prompts.write_text("\n".join(map(json.dumps, rows)))
    settings = [f"prompts={prompts}", "executor.device=cpu"]
    for role in ("text_to_image", "image_to_video"):
        chosen = tiny_agents[role]
        settings += [f"agents.{role}.weights={chosen['weights']}"]
        settings += [f"agents.{role}.call.{name}=32" for name in ("height", "width")]
        settings += [f"agents.{role}.call.num_inference_steps=2"]
    frames = ["agents.image_to_video.call.num_frames=4"]
    return [*settings, *frames, "agents.image_to_video.call.decode_chunk_size=4"]


def _media(run: Path) -> dict[str, bytes]:
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in (run / "media").rglob("*.*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_three_models_share_prompts_and_pictures(tiny, tmp_path, capsys):
    assert main(["generate", *tiny, "model=mora,still,pan", "run=three"]) == 0
    told = capsys.readouterr()
    assert told.out == f"12 of 12 videos in {Path('results/runs/three')}\n"
    assert "mora, text_to_image: 4/4, in " in told.err
    assert "still, text_to_image: 4/4, 4 from before" in told.err
    run = tmp_path / "results" / "runs" / "three"
    suffixes = [Path(name).suffix for name in _media(run)]
    assert (suffixes.count(".png"), suffixes.count(".mp4")) == (4, 12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my prompts.jsonl", "results"]
    with Ledger.read(run) as ledger:
        assert [video.model for video in ledger.videos()] == ["mora"] * 4 + ["still"] * 4 + (
            ["pan"] * 4
        )
        assert all(video.media.frames == 4 for video in ledger.videos())


def test_batch_size_changes_no_byte(tiny, tmp_path):
    for size in (1, 8):
        assert main(["generate", *tiny, f"executor.batch_size={size}", f"run=batch{size}"]) == 0
    runs = tmp_path / "results" / "runs"
    assert _media(runs / "batch1") == _media(runs / "batch8")
    with Ledger.read(runs / "batch1") as one, Ledger.read(runs / "batch8") as eight:
        assert one.videos() == eight.videos()


def test_a_run_goes_on_with_the_same_settings_only(tiny, tmp_path, capsys):
    assert main(["generate", *tiny, "run=./again"]) == 0
    media = _media(tmp_path / "again")
    assert main(["generate", *tiny, "executor.batch_size=3", "run=./again"]) == 0
    assert _media(tmp_path / "again") == media
    assert "mora, image_to_video: 4/4, 4 from before" in capsys.readouterr().err
    assert main(["generate", *tiny, "seed=1", "run=./again"]) == 2
    assert "again was asked for with seed = 0, now it is seed = 1." in capsys.readouterr().err


def test_killed_and_resumed_it_gives_the_same_bytes_and_the_same_table(tiny, weights, tmp_path):
    slow = [*tiny, "agents.text_to_image.call.num_inference_steps=8"]
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "mora", "generate", *slow, "run=./killed"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    killed = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "killed" / "media").glob("??/*.png")):
        assert killed.poll() is None
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    with Ledger.read(tmp_path / "killed") as ledger:
        assert ledger.videos() == []
    for name in ("killed", "whole"):
        assert main(["generate", *slow, f"run=./{name}"]) == 0
        assert main(["evaluate", f"run=./{name}", weights, METRICS, "report=0"]) == 0
    assert _media(tmp_path / "killed") == _media(tmp_path / "whole")
    for file in ("tables/text_to_video.md", "tables/text_to_video.tex", "scores/scores.csv"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_folder_of_good_and_bad_videos_is_a_row_each(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "clips, mixed"
    folder.mkdir()
    frames = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    write_video(folder / "good.mp4", frames, 8)
    (folder / "text.mp4").write_text("this is no video")
    data = (folder / "good.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    (folder / "empty").mkdir()
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("file,prompt\n" + "".join(f"{name},a star\n" for name in ("good.mp4",)))
    moved = folder.rename(tmp_path / "clips (mixed)")
    settings = [f"videos={moved}", f"prompts={prompts}", weights, METRICS, "run=./scored"]
    assert main(["evaluate", *settings]) == 1
    told = capsys.readouterr()
    assert "| clips (mixed) " in told.out
    assert "3 of 4 videos failed (no_frames 1, not_a_video 1, truncated 1)" in told.out
    assert told.err.count("\nfailed: clips (mixed), ") == 3
    for name in ("tables/text_to_video.csv", "scores/videos.csv", "report/index.html"):
        assert (tmp_path / "scored" / name).is_file()
    assert main(["table", "run=./scored", "format=csv"]) == 0
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "scored" / "tables" / "text_to_video.csv").read_text()
    (moved / "text.mp4").unlink()
    assert main(["evaluate", *settings]) == 2
    assert "1 videos of this run are no longer in the folder" in capsys.readouterr().err


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
        ("weights=best", "weights=best: expected mini or official."),
        ("weights=official weights_folder=null", "weights=official needs weights_folder="),
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
