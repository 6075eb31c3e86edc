"""`mora doctor`: what is there, what is missing, and what follows."""

from pathlib import Path

import pytest
from goldens import golden
from random_weights import save_random_weights

from eval.cache import cache_path
from eval.forecast import memory
from eval.ledger import Ledger
from mora.cli import doctor, main
from mora.errors import SettingError
from mora.media import write_video


@pytest.fixture
def settings(tiny_agents, tmp_path, monkeypatch) -> list[str]:
    """A machine with tiny pipelines, and metrics of random weights."""
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "weights"
    weights.mkdir()
    save_random_weights(weights)
    monkeypatch.setattr(doctor, "mini_weights", lambda: weights)
    roles = ("text_to_image", "image_to_video")
    return [f"agents.{role}.weights={tiny_agents[role]['weights']}" for role in roles]


def test_where_all_is_there_all_can_run(settings, tmp_path, capsys):
    assert main(["doctor", *settings, "executor.device=cpu"]) == 0
    told = capsys.readouterr().out
    assert "mora generate agents=mini: can run" in told
    assert "mora evaluate weights=mini: can run" in told
    assert "NO" not in told
    assert "written and read back" in told
    assert str(tmp_path / "weights" / "raft" / "raft.safetensors") in told


def test_what_is_missing_is_named_with_what_it_keeps_from_running(settings, tmp_path, capsys):
    (tmp_path / "weights" / "raft" / "raft.safetensors").unlink()
    assert main(["doctor", "agents.text_to_image.weights=/no/such", settings[1]]) == 1
    told = capsys.readouterr().out
    assert "NO text_to_image    /no/such: expected a folder of weights" in told
    assert "mora generate agents=mini: cannot run, for text_to_image" in told
    assert "mora evaluate weights=mini: cannot run, for raft" in told


def test_the_papers_models_need_a_gpu(settings, capsys):
    assert main(["doctor", "agents=paper", "executor.device=cpu"]) == 1
    told = capsys.readouterr().out
    assert "is set to float16, which needs a GPU" in told
    assert "refiner stabilityai/stable-diffusion-xl-refiner-1.0 at 5d4cfe854c9a" in (
        " ".join(told.split())
    )
    assert (
        "mora generate agents=paper: cannot run, for text_to_image, image_to_image, image_to_video"
        in told
    )
    assert "mora evaluate weights=mini: can run" in told


def test_agents_of_your_own_may_leave_out_what_has_a_default(tiny_agents):
    chosen = {
        **tiny_agents,
        "text_to_image": {**tiny_agents["text_to_image"], "weights": "hub:someone/something"},
    }
    found = list(doctor.agents(chosen, "cpu:0"))
    assert [(each.name, each.fine) for each in found] == [
        ("text_to_image", False),
        ("image_to_video", True),
    ]
    assert found[0].found == "hub:someone/something needs revision=, a commit on the hub"
    with pytest.raises(SettingError, match=r"agents\.image_to_video\.fps: "):
        list(doctor.agents({**chosen, "image_to_video": {**chosen["text_to_image"]}}, "cpu"))


def test_too_little_memory_is_told(monkeypatch):
    room = memory.Room(int(1e9), int(2e9), contained=False)
    monkeypatch.setattr(memory, "room", lambda: room)
    found = {each.name: each for each in doctor.machine("cpu")}
    assert found["memory"].fine is False
    assert found["memory"].found == "1.0 GB free of 2.0 GB; the demo needs 4.0 GB"
    assert found["disk"].fine is True
    assert Path.cwd().anchor in found["disk"].found


def test_a_containers_memory_is_told_as_such(monkeypatch):
    room = memory.Room(int(5e9), int(6e9), contained=True)
    monkeypatch.setattr(memory, "room", lambda: room)
    [found] = [each for each in doctor.machine("cpu") if each.name == "memory"]
    assert found.fine is True
    assert found.found.startswith("5.0 GB free of 6.0 GB that this container may use;")


@pytest.fixture
def evaluating(settings, tmp_path) -> list[str]:
    """Two clips, and settings under which they can be scored in no time."""
    for number in range(2):
        frames = golden.clip(f"doctor {number}", 4, 64, 64, 3.0)
        write_video(tmp_path / "clips" / f"{number}.mp4", frames, 8)
    return [f"weights_folder={tmp_path / 'weights'}", "metrics=imaging_quality,object_consistency"]


def test_an_evaluation_is_forecast_once_something_was_measured(
    settings, evaluating, tmp_path, capsys
):
    def told(*asked: str) -> dict[str, str]:
        assert main(["doctor", *settings, *evaluating, *asked]) == 0
        printed = capsys.readouterr().out
        assert "this evaluation: can run" in printed
        lines = printed.partition("Evaluation\n")[2].partition("\n\n")[0].splitlines()
        return {line[5:22].strip(): line[22:] for line in lines}

    before = told("videos=clips")
    assert before["videos"] == "2 to score, 8 frames to decode"
    assert before["scores"] == "4 to compute, 0 known from other runs"
    assert before["forecast"] == "none: nothing was measured on this device yet"
    assert not (tmp_path / "results").exists()
    assert not cache_path().exists(), "looking made a file"

    evaluate = ["evaluate", "videos=clips", "prompts=none", "report=0", *evaluating]
    assert main([*evaluate, "run=./first"]) == 0
    first = capsys.readouterr().err
    assert "forecast: 2 videos, 8 frames, no forecast: nothing was measured" in first
    assert "took: " in first
    assert "known: " not in first

    known = told("videos=clips")
    assert known["scores"] == "0 to compute, 4 known from other runs"
    assert "time" not in known
    assert told("run=./first")["videos"] == "0 to score, 0 frames to decode"
    after = told("videos=clips", "protocol=paper")
    assert after["scores"] == "4 to compute, 0 known from other runs"
    assert after["time"].startswith("about ")
    assert after["disk"].startswith("about ")
    assert " are free" in after["memory"]

    assert main([*evaluate, "run=./second"]) == 0
    second = capsys.readouterr().err
    assert "known: 4 scores came from the cache" in second
    assert "forecast" not in second
    assert main([*evaluate, "run=./third", "protocol=paper"]) == 0
    third = capsys.readouterr().err
    assert "forecast: 2 videos, 8 frames, about " in third
    assert third.count("(forecast ") >= 2

    assert main([*evaluate, "run=./fourth", "cache=none"]) == 0
    fourth = capsys.readouterr().err
    assert not {"known:", "took:", "forecast:"} & {*fourth.split()}
    with Ledger.read("second") as second, Ledger.read("fourth") as fourth:
        values = [[each.value for each in run.all_scores()] for run in (second, fourth)]
    assert values[0] == values[1], "known and computed differ"


def test_a_cache_that_cannot_be_used_is_told_before_anything_is_done(
    settings, evaluating, tmp_path, capsys
):
    (tmp_path / "no cache.sqlite").write_text("this is no database" * 100)
    cache = f"cache={tmp_path / 'no cache.sqlite'}"
    assert main(["doctor", *settings, cache]) == 1
    told = capsys.readouterr().out
    assert "NO scores           " in told
    assert "no cache.sqlite: the cache of scores cannot be used (file is not a database)." in told
    assert "mora evaluate weights=mini: cannot run, for scores" in told
    asked = ["evaluate", "videos=clips", "prompts=none", *evaluating, cache]
    assert main(asked) == 2
    assert "mora evaluate: " in (told := capsys.readouterr().err)
    assert "Remove it" in told


def test_what_keeps_an_evaluation_from_running_is_told(settings, evaluating, tmp_path, capsys):
    asked = ["doctor", *settings, *evaluating, "videos=clips"]
    (tmp_path / "weights" / "musiq" / "musiq.safetensors").unlink()
    assert main(asked) == 1
    told = capsys.readouterr().out
    assert "NO weights          1 files of the mini weights are missing" in told
    assert "this evaluation: cannot run, for weights" in told
    assert main([*asked, "run=some"]) == 2
    assert "expected run=NAME or videos=DIR, not both" in capsys.readouterr().err
