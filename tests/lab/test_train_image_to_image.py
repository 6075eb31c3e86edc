"""The training of the miniature InstructPix2Pix agrees with the unchanged pipeline."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionInstructPix2PixPipeline
from PIL import Image
from safetensors.torch import load_file

from lab.train import held_out_edits, image_to_image
from lab.train.export import save_pretrained_fp16
from lab.train.held_out_edits import GROUPS, drawn, edited, judge
from lab.train.held_out_edits import held_out_edits as held_out
from lab.train.image_to_image import Denoising, Networks, Pairs
from lab.train.loop import Settings
from lab.world.edit_pool import EditPool
from lab.world.scene import sample_scenes

CPU = torch.device("cpu")
SHIPPED = dict(image_to_image.UNET)


@pytest.fixture(scope="module", autouse=True)
def small_unet() -> Iterator[None]:
    small = {"block_out_channels": (16, 16), "norm_num_groups": 4, "attention_head_dim": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_to_image, "UNET", image_to_image.UNET | small)
        yield


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=2,
        mid_block_add_attention=False,
        sample_size=128,
        scaling_factor=2.0,
    ).eval()


@pytest.fixture(scope="module")
def pairs(vae: AutoencoderKL) -> Pairs:
    torch.manual_seed(0)
    return Pairs.build(vae, EditPool.build(8, 0, wordings=2))


@pytest.fixture(scope="module")
def trained(
    vae: AutoencoderKL, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, StableDiffusionInstructPix2PixPipeline]:
    """A training of two steps: where it wrote to, and its pipeline."""
    out = tmp_path_factory.mktemp("out")
    save_pretrained_fp16(vae, out / "weights" / "text_to_image" / "vae")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(held_out_edits.CALL, "num_inference_steps", 1)
        torch.manual_seed(0)
        image_to_image.train(Settings(out, CPU, steps=2, batch=3))
    return out, image_to_image.load(out / "weights" / "image_to_image", CPU)


def fed(
    pipeline: StableDiffusionInstructPix2PixPipeline, picture: Any, text: str, **call: Any
) -> dict[str, torch.Tensor]:
    """What the unchanged pipeline feeds its network in the first step."""
    seen: list[dict[str, torch.Tensor]] = []

    def note(module: object, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append({"sample": positional[0], "step": positional[1], **named})

    hook = pipeline.unet.register_forward_pre_hook(note, with_kwargs=True)
    pipeline(text, image=picture, num_inference_steps=1, output_type="latent", **call)
    hook.remove()
    return seen[0]


def test_training_leaves_a_pipeline_that_loads_offline_and_edits(
    trained: tuple[Path, StableDiffusionInstructPix2PixPipeline],
) -> None:
    out, pipeline = trained
    folder = out / "weights" / "image_to_image"
    for weights in folder.rglob("*.safetensors"):
        assert {tensor.dtype for tensor in load_file(weights).values()} == {torch.float16}
    shared = "vae/diffusion_pytorch_model.safetensors"
    taken = (out / "weights" / "text_to_image" / shared).read_bytes()
    assert (folder / shared).read_bytes() == taken
    networks = (pipeline.unet, pipeline.text_encoder, pipeline.vae)
    assert {network.dtype for network in networks} == {torch.float32}
    pictures = drawn(sample_scenes(2, 1))
    call = held_out_edits.CALL | {"num_inference_steps": 2}
    made = edited(pipeline, pictures, ["at night", "make it blue"], seed=0, call=call)
    alone = edited(pipeline, pictures, ["at night", "make it blue"], seed=0, call=call, at_once=1)
    assert made.shape == (2, 128, 128, 3)
    assert np.abs(made.astype(int) - alone).max() <= 1
    figures = json.loads((out / "image_to_image.json").read_text())
    assert set(figures["by_guidance"]["1 1"]) == set(GROUPS)
    assert len(figures["instructions"]) == len(GROUPS)
    assert Image.open(out / "image_to_image.png").size == (128, 2 * len(GROUPS) * 130 - 2)


def test_conditioning_is_what_the_unchanged_pipeline_feeds(
    trained: tuple[Path, StableDiffusionInstructPix2PixPipeline],
) -> None:
    pipeline = trained[1]
    picture = drawn(sample_scenes(1, 4))
    text = "Make the circle blue, at night."
    seen = fed(
        pipeline, Image.fromarray(picture[0]), text, guidance_scale=3.0, image_guidance_scale=1.5
    )
    given = image_to_image.encode(
        pipeline.vae, torch.from_numpy(picture).permute(0, 3, 1, 2) / 127.5 - 1
    )
    # The pipeline's order: text and picture, picture alone, neither.
    torch.testing.assert_close(seen["sample"][:2, 4:], given.expand(2, -1, -1, -1))
    assert not seen["sample"][2, 4:].any()
    tokens = pipeline.tokenizer(text, padding="max_length", return_tensors="pt").input_ids
    networks = Networks(CPU)
    networks.text_encoder = pipeline.text_encoder
    empty = image_to_image.empty_text(CPU)[None]
    with torch.no_grad():
        ours = networks.encode(torch.cat((tokens, empty, empty)))
    torch.testing.assert_close(seen["encoder_hidden_states"], ours, atol=1e-5, rtol=1e-5)
    assert seen["step"].item() == 999  # pure noise


def test_shipped_sizes_keep_to_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_to_image, "UNET", SHIPPED)
    networks = Networks(CPU).by_name().values()
    assert 2 * sum(p.numel() for network in networks for p in network.parameters()) < 4.9e6


def test_wanted_pictures_are_the_worlds_and_some_given_ones_were_decoded(
    vae: AutoencoderKL, pairs: Pairs
) -> None:
    pool = EditPool.build(8, 0, wordings=2)
    start = torch.zeros(8, 1)
    wanted = 2.0 * image_to_image.encode(vae, image_to_image.draw(pool.after, start))
    torch.testing.assert_close(pairs.wanted.float(), wanted, atol=5e-3, rtol=5e-3)
    given = image_to_image.encode(vae, image_to_image.draw(pool.before, start))
    same = (pairs.given - given).abs().amax((1, 2, 3)) < 2e-2
    assert 0 < same.sum() < 8
    pictures = image_to_image.draw(pool.before, start)
    kept = image_to_image.decoded_once(vae, pictures, 0.0)
    assert (kept - pictures).abs().max() <= 0.5 / 127.5 + 1e-6


def test_what_is_dropped_is_what_guidance_needs(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_to_image, "DROPPED", 0.25)
    loss = Denoising(Networks(CPU), pairs, 400)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def stop(sample: torch.Tensor, *_: object, **named: torch.Tensor) -> None:
        seen.append((sample, named["encoder_hidden_states"]))
        raise InterruptedError

    loss.networks.unet.forward = stop
    torch.manual_seed(0)
    with pytest.raises(InterruptedError), torch.no_grad():
        loss()
    sample, states = seen[0]
    with torch.no_grad():
        empty = loss.networks.encode(loss.empty[None])
    with_picture = sample[:, 4:].flatten(1).any(1)
    with_text = (states - empty).abs().amax((1, 2)) > 1e-4
    for text, picture in ((True, True), (True, False), (False, True), (False, False)):
        share = ((with_text == text) & (with_picture == picture)).float().mean()
        assert 0.18 < share < 0.32


def test_it_learns_what_each_instruction_asks_for(pairs: Pairs) -> None:
    torch.manual_seed(0)
    networks = Networks(CPU)
    # Of one picture two are wanted, unlike each other, so that a few steps tell.
    wanted = torch.ones(2, 4, 16, 16) * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    given = pairs.given[:1].expand(2, -1, -1, -1)
    tokens = pairs.tokens[:2, :1]
    loss = Denoising(networks, Pairs(given, wanted, tokens), 8)
    parameters = [p for network in networks.by_name().values() for p in network.parameters()]
    optimizer = torch.optim.AdamW(parameters, 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss()[0].backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    noise, steps = torch.randn(2, 4, 16, 16), torch.full((2,), 999)

    def error(text: torch.Tensor) -> float:
        with torch.no_grad():
            seen = torch.cat((noise, given.float()), 1)
            made = networks.unet(seen, steps, networks.encode(text)).sample
        return float((made + wanted).square().mean())

    assert error(tokens[:, 0].long()) < 0.4
    assert error(tokens[:, 0].long().flip(0)) > 2.2


@pytest.mark.parametrize("group", GROUPS)
def test_the_judge_knows_done_from_not_done(group: held_out_edits.Group) -> None:
    edits = held_out(group, 6, 50)
    for edit, done, nothing in zip(
        edits, drawn([e.after for e in edits]), drawn([e.before for e in edits]), strict=True
    ):
        judged = judge(done, edit)
        assert all(judged.right.values())
        assert all(judged.kept.values())
        assert bool(judged.right) == (group != "motion")
        assert group == "motion" or not all(judge(nothing, edit).right.values())


def test_the_judge_sees_what_else_was_spoilt() -> None:
    (edit,) = [e for e in held_out("colour", 12, 50) if len(e.before.bodies) == 1][:1]
    after = edit.after
    shape = "ring" if after.bodies[0].shape != "ring" else "star"
    spoilt = replace(after, bodies=(replace(after.bodies[0], shape=shape),))
    judged = judge(drawn([spoilt])[0], edit)
    assert judged.right == {"colour 0": True}
    assert not judged.kept["shape 0"]
    other = held_out("ground", 1, 51)[0].after.ground
    judged = judge(drawn([replace(after, ground=other)])[0], edit)
    assert not judged.kept["ground"]


def test_latents_that_are_not_finite_stop_the_training(vae: AutoencoderKL) -> None:
    broken = AutoencoderKL.from_config(vae.config)
    torch.nn.init.constant_(broken.quant_conv.bias, float("nan"))
    with pytest.raises(FloatingPointError, match="autoencoder gave latents that are not finite"):
        Pairs.build(broken, EditPool.build(2, 0))
