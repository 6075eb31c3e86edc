"""`mora generate` on tiny pipelines of random weights, and what follows it."""

import json
from pathlib import Path

import pytest
from killed import kill_at
from random_weights import save_random_weights

from eval.ledger import Ledger
from mora.cli import main

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
    elsewhere = ["agents.text_to_image.memory=offload", "agents.image_to_video.device=cpu:0"]
    assert main(["generate", *tiny, *elsewhere, "run=./again"]) == 0
    assert _media(tmp_path / "again") == media
    assert main(["generate", *tiny, "seed=1", "run=./again"]) == 2
    assert "again was asked for with seed = 0, now it is seed = 1." in capsys.readouterr().err


def test_killed_and_resumed_it_gives_the_same_bytes_and_the_same_table(tiny, weights, tmp_path):
    kill_at("mora.media:MediaStore.add_video", 3, ["generate", *tiny, "run=./killed"], tmp_path)
    with Ledger.read(tmp_path / "killed") as ledger:
        assert ledger.videos() == []
        stages = [stage for each in ledger.requests() for stage in ledger.artifacts(each.id)]
    assert [stages.count(each) for each in ("text_to_image", "image_to_video")] == [4, 2]
    for name in ("killed", "whole"):
        assert main(["generate", *tiny, f"run=./{name}"]) == 0
        asked = ["evaluate", f"run=./{name}", weights, METRICS, "report=0", "cache=none"]
        assert main(asked) == 0
    assert _media(tmp_path / "killed") == _media(tmp_path / "whole")
    for file in ("tables/text_to_video.md", "tables/text_to_video.tex", "scores/scores.csv"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
