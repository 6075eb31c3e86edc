"""A few steps of each training on a CPU: what it writes can be loaded and used."""

import json
from pathlib import Path

import pytest
import torch

from lab.train import aesthetic, clip, dino, viclip
from lab.train.dino import Answerer, ViewLoss
from lab.train.loop import Settings, seed_everything
from lab.world.scene import encode, sample_scenes

CPU = torch.device("cpu")
BUDGETS = {"clip": 2.2e6, "viclip": 1.8e6, "dino": 1.0e6, "aesthetic": 1e4}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    seed_everything(0)
    settings = Settings(out=folder, device=CPU, steps=1, batch=4)
    for module in (clip, viclip, dino):
        module.train(settings)
    aesthetic.train(Settings(out=folder, device=CPU, batch=48))
    return folder


@pytest.mark.parametrize("name", BUDGETS)
def test_weights_and_figures_are_written(out: Path, name: str) -> None:
    size = (out / "weights" / name / "model.safetensors").stat().st_size
    assert size <= BUDGETS[name]
    figures = json.loads((out / f"{name}.json").read_text())
    assert figures["bytes"] == size
    assert {"clip": "style", "viclip": "motion", "dino": "same_clip"}.get(
        name, "explained"
    ) in figures


def test_the_head_needs_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aesthetic, "mini_weights", lambda: tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"python -m lab\.train clip"):
        aesthetic.train(Settings(out=tmp_path, device=CPU, batch=8))


def test_the_teachers_centre_follows_its_answers() -> None:
    seed_everything(0)
    student, teacher = Answerer(), Answerer()
    scenes = encode(sample_scenes(8, 0))
    photographs = torch.randint(256, (3, 3, 128, 128), dtype=torch.uint8)
    loss = ViewLoss(student, teacher.requires_grad_(requires_grad=False), scenes, photographs, 4)
    value, logged = loss()
    value.backward()
    assert teacher.centre.abs().max() > 0
    assert student.centre.abs().max() == 0
    assert student.backbone.cls_token.grad is not None
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert 1 < logged["answers"] <= 1024
