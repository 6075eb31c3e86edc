"""SDXL's refiner takes over from the base, as the two pipelines do by hand."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pipelines
import torch
from tiny_pipelines import saved

from mora.agents.binding import bind
from mora.checkpoints import CheckpointError
from mora.errors import SettingError

TEXTS = ["a red circle", "a blue star", "a ring"]
SEEDS = [3, 4, 2**59]
STEPS = 5


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tiny_pipelines.sdxl, tmp_path_factory.mktemp("base") / "sdxl")


@pytest.fixture(scope="module")
def refiner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tiny_pipelines.sdxl_refiner, tmp_path_factory.mktemp("refiner") / "sdxl", seed=1)


def settings(base: Path, refiner: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": "refined",
        "pipeline": "StableDiffusionXLPipeline",
        "weights": str(base),
        "load": {"add_watermarker": False},
        "call": {"num_inference_steps": STEPS, "height": 32, "width": 32},
        "refiner": {
            "name": "the refiner",
            "pipeline": "StableDiffusionXLImg2ImgPipeline",
            "weights": str(refiner),
            "takes_over_at": 0.6,
            "shares": ["vae", "text_encoder_2", "tokenizer_2"],
            "load": {"add_watermarker": False},
            "call": {"num_inference_steps": STEPS},
        }
        | more,
    }


def agent(chosen: dict[str, Any]) -> Any:
    prompt = {"agent": "verbatim"}
    return bind({"name": "tiny", "prompt": prompt, "text_to_image": chosen}).text_to_image


def by_hand(base: Path, refiner: Path, text: str, seed: int, end: float = 0.6) -> np.ndarray:
    """The two pipelines of diffusers one after the other, as its documentation has it."""
    from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline

    first = StableDiffusionXLPipeline.from_pretrained(base, add_watermarker=False)
    shared = {name: first.components[name] for name in ("vae", "text_encoder_2", "tokenizer_2")}
    second = StableDiffusionXLImg2ImgPipeline.from_pretrained(
        refiner, add_watermarker=False, **shared
    )
    latents = first(
        text,
        num_inference_steps=STEPS,
        height=32,
        width=32,
        denoising_end=end,
        output_type="latent",
        generator=torch.Generator().manual_seed(seed),
    ).images
    made = second(
        text, image=latents, num_inference_steps=STEPS, denoising_start=end, output_type="np"
    ).images
    return np.rint(made[0].clip(0, 1) * 255).astype(np.uint8)


def test_it_goes_on_from_the_bases_latents(base, refiner):
    with agent(settings(base, refiner)).open("cpu") as draw:
        made = list(draw(TEXTS, SEEDS))
    for text, seed, picture in zip(TEXTS, SEEDS, made, strict=True):
        np.testing.assert_array_equal(picture, by_hand(base, refiner, text, seed))
    with agent(settings(base, refiner) | {"refiner": None}).open("cpu") as draw:
        alone = list(draw(TEXTS, SEEDS))
    assert all((one != other).any() for one, other in zip(made, alone, strict=True))


def test_what_it_shares_is_not_read_twice(base, refiner, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(refiner, bare)
    for part in ("vae", "text_encoder_2", "tokenizer_2"):
        shutil.rmtree(bare / part)
    with agent(settings(base, bare)).open("cpu") as draw:
        picture = next(draw(TEXTS[:1], SEEDS[:1]))
    np.testing.assert_array_equal(picture, by_hand(base, refiner, TEXTS[0], SEEDS[0]))
    with (
        pytest.raises(CheckpointError, match="the refiner: "),
        agent(settings(base, bare, shares=["tokenizer_2"])).open("cpu"),
    ):
        pass


def test_parts_that_come_and_go_change_no_bit(base, refiner):
    with agent(settings(base, refiner) | {"memory": "offload"}).open("cpu") as draw:
        made = [next(draw([text], [seed])) for text, seed in zip(TEXTS, SEEDS, strict=True)]
    for text, seed, picture in zip(TEXTS, SEEDS, made, strict=True):
        np.testing.assert_array_equal(picture, by_hand(base, refiner, text, seed))


def test_the_recipe_follows_the_refiner(base, refiner, tmp_path):
    recipe = agent(settings(base, refiner)).recipe()
    assert agent(settings(base, refiner) | {"batch_size": 3}).recipe() == recipe
    others = [
        settings(base, refiner, takes_over_at=0.8),
        settings(base, refiner, shares=["vae"]),
        settings(base, refiner, call={"num_inference_steps": 6}),
        settings(base, saved(tiny_pipelines.sdxl_refiner, tmp_path / "other", seed=2)),
        settings(base, refiner) | {"refiner": None},
    ]
    assert len({recipe, *(agent(each).recipe() for each in others)}) == 1 + len(others)


def test_what_cannot_be_is_told(base, refiner):
    with pytest.raises(SettingError, match=r"refiner.takes_over_at: .* less than 1"):
        agent(settings(base, refiner, takes_over_at=1.0))
    twice = settings(base, refiner)
    twice["call"]["denoising_end"] = 0.5
    with pytest.raises(SettingError, match=r"it is what refiner.takes_over_at says"):
        agent(twice)
    with (
        pytest.raises(SettingError, match=r"refined: it has no part wings. Its parts are: .*vae"),
        agent(settings(base, refiner, shares=["wings"])).open("cpu"),
    ):
        pass
