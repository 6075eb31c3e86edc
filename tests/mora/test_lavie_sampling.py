"""SEINE's and LaVie's sampling against the reference: schedules, single steps, and the UNet in."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers import scheduling_ddpm
from goldens import golden
from lavie_goldens import REDUCED, checkpoint, noise
from torch import Tensor

from mora.checkpoints.tensors import load_strictly
from mora.models.lavie.mask import mask
from mora.models.lavie.sampling import guided, kept_levels, respaced, sample, signal
from mora.models.lavie.unet import UNet

FOLDER = Path(golden.__file__).parent / "seine"
CASES = {case["name"]: case for case in json.loads((FOLDER / "cases.json").read_text())["cases"]}


def expected(name: str) -> Any:
    with np.load(FOLDER / "cases.npz") as arrays:
        return arrays[name]


@pytest.fixture
def step_noise(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ancestral steps draw the reference's noise; the test says under which name."""
    names: list[str] = []
    executed = count()

    def drawn(shape: tuple[int, ...], **_: object) -> Tensor:
        return torch.from_numpy(golden.noise(names[0], tuple(shape), next(executed)))

    monkeypatch.setattr(scheduling_ddpm, "randn_tensor", drawn)
    return names


def test_kept_levels_are_the_references() -> None:
    assert kept_levels(250) == tuple(expected("schedule_250/timesteps").tolist())
    np.testing.assert_allclose(
        signal()[list(kept_levels(250))], expected("schedule_250/alphas_cumprod"), atol=1e-7
    )


@pytest.mark.parametrize("steps", [2, 3, 7, 50, 999, 1000])
def test_levels_ascend_over_the_whole_training(steps: int) -> None:
    levels = kept_levels(steps)
    assert len(set(levels)) == steps
    assert (levels[0], levels[-1]) == (0, 999)
    assert list(levels) == sorted(levels)


@pytest.mark.parametrize("method", ["ddim", "ddpm"])
def test_each_step_equals_the_reference(method: Any, step_noise: list[str]) -> None:
    """An analytic denoiser in place of the network, so that nothing is amplified."""
    case = CASES[f"sampler_{method}"]
    step_noise.append("seine/analytic/step")
    direction = noise(case["inputs"]["direction"])
    visited: list[float] = []
    after: list[Tensor] = []

    def network(latents: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        visited.append(float(timesteps[0]))
        after.append(latents[0])
        level = torch.from_numpy(np.sqrt(1 - signal())).float()[timesteps.long()]
        return level[:, None, None, None, None] * latents + 0.05 * text[..., None, None] * direction

    towards = torch.ones(1, 1, 1)
    predict = guided(network, None, towards, -towards, case["parameters"]["cfg_scale"])
    final = sample(predict, respaced(method, 10), noise(case["inputs"]["z"]))
    assert visited == expected(f"sampler_{method}/timesteps").tolist()
    states = torch.stack([*after[1:], final[0]])
    np.testing.assert_allclose(states, expected(f"sampler_{method}/after_each"), atol=1e-4)


@pytest.mark.parametrize("name", ["ddim_transition", "ddpm_transition", "ddpm_i2v"])
def test_sampling_equals_the_reference(name: str, step_noise: list[str]) -> None:
    case = CASES[name]
    inputs, parameters = case["inputs"], case["parameters"]
    step_noise.append("seine/sampler/step")
    unet = UNet(REDUCED).eval()
    load_strictly(unet, checkpoint("seine"), FOLDER)
    start, given = noise(inputs["z"]), noise(inputs["masked_latents"])
    frames = start.shape[2]
    made = mask(frames, 1, 1 if parameters["mask_type"] == "onelast1" else 0)
    condition = torch.cat((made[None, None, :, None, None].expand_as(given[:, :1]), given), dim=1)
    with torch.inference_mode():
        predict = guided(
            unet,
            condition,
            noise(inputs["text"]),
            noise(inputs["negative_text"]),
            parameters["cfg_scale"],
        )
        schedule = respaced(parameters["method"], parameters["steps"])
        final = sample(predict, schedule, start)
    assert list(schedule.timesteps) == expected(f"{name}/timesteps").tolist()
    reference = expected(f"{name}/final")
    # With random weights the latents grow to hundreds: what counts is relative to their spread.
    assert np.abs(final.numpy() - reference).max() < 1e-4 * reference.std()


def test_without_guidance_the_negative_text_is_not_asked() -> None:
    asked: list[Tensor] = []

    def network(latents: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        asked.append(text)
        return latents

    text = torch.ones(2, 1, 1)
    predict = guided(network, None, text, torch.full_like(text, torch.nan), 1.0)
    predict(torch.zeros(2, 4, 1, 1, 1), 3.0)
    assert asked[0].equal(text)
