"""`mora doctor`: what is there, what is missing, and what follows."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from random_weights import save_random_weights

from mora.cli import doctor, main
from mora.errors import SettingError


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
    assert "mora generate agents=paper: cannot run, for text_to_image, image_to_video" in told
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
    memory = SimpleNamespace(available=1e9, total=2e9)
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: memory)
    found = {each.name: each for each in doctor.machine("cpu")}
    assert found["memory"].fine is False
    assert found["memory"].found == "1.0 GB free of 2.0 GB; the demo needs 4.0 GB"
    assert found["disk"].fine is True
    assert Path.cwd().anchor in found["disk"].found
