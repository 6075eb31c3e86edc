import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import load_file

from lab.train import text_to_image
from lab.train.export import save_pretrained_fp16
from lab.train.image_autoencoder import draw
from lab.train.loop import Settings
from lab.train.noise import random_steps
from lab.train.text_to_image import Denoising, Networks, Pictures, assemble, paint, right_of
from lab.world.pool import Pool
from lab.world.render import render
from lab.world.scene import encode, sample_scenes
from lab.world.vocabulary import clip_tokenizer

CPU = torch.device("cpu")
CAPTIONS = ["A small red circle moves to the left on a grey background.", "A blue star.", ""]


@pytest.fixture
def small_unet(monkeypatch):
    small = {"block_out_channels": (16, 16), "norm_num_groups": 4, "attention_head_dim": 2}
    monkeypatch.setattr(text_to_image, "UNET", text_to_image.UNET | small)


@pytest.fixture(scope="module")
def vae():
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
def pictures(vae):
    return Pictures.build(vae, Pool.build(6, 0, captions=2))


def test_training_leaves_a_pipeline_that_loads_offline_and_draws(tmp_path, vae, small_unet):
    folder = tmp_path / "weights" / "text_to_image"
    save_pretrained_fp16(vae, folder / "vae")
    before = (folder / "vae" / "diffusion_pytorch_model.safetensors").read_bytes()
    torch.manual_seed(0)
    text_to_image.train(Settings(tmp_path, CPU, steps=2, batch=3))
    for weights in folder.rglob("*.safetensors"):
        assert {tensor.dtype for tensor in load_file(weights).values()} == {torch.float16}
    assert (folder / "vae" / "diffusion_pytorch_model.safetensors").read_bytes() == before
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True)
    networks = (pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2, pipeline.vae)
    assert {network.dtype for network in networks} == {torch.float32}
    drawn = paint(pipeline, CAPTIONS[:2], 5.0, seed=0, steps=2)
    assert drawn.shape == (2, 128, 128, 3)
    alone = paint(pipeline, CAPTIONS[:2], 5.0, seed=0, steps=2, at_once=1)
    assert np.abs(drawn.astype(int) - alone).max() <= 1
    padded = {"padding": "max_length", "max_length": 77, "truncation": True}
    for tokenizer in (pipeline.tokenizer, pipeline.tokenizer_2):
        assert tokenizer.model_max_length == 77
        ids = tokenizer(CAPTIONS, **padded).input_ids
        assert ids == clip_tokenizer()(CAPTIONS, **padded).input_ids
    figures = json.loads((tmp_path / "text_to_image.json").read_text())
    assert len(figures["captions"]) == figures["pictures"] == 2
    assert Image.open(tmp_path / "text_to_image.png").size == (2 * 128 + 2, 128)


def test_shipped_sizes_keep_to_the_budget():
    networks = Networks(CPU)
    size = {
        name: 2 * sum(p.numel() for p in network.parameters())
        for name, network in networks.by_name().items()
    }
    assert size["unet"] < 5.2e6
    assert size["text_encoder"] + size["text_encoder_2"] < 1.2e6


def test_text_is_encoded_as_the_pipeline_does(tmp_path, vae, small_unet):
    save_pretrained_fp16(vae, tmp_path / "vae")
    torch.manual_seed(0)
    networks = Networks(CPU)
    assemble(networks, tmp_path / "vae", tmp_path / "pipeline")
    pipeline = StableDiffusionXLPipeline.from_pretrained(tmp_path / "pipeline")
    tokens = clip_tokenizer()(CAPTIONS, padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        context, pooled = networks.encode(tokens)
        theirs, unconditional, their_pooled, unconditional_pooled = pipeline.encode_prompt(CAPTIONS)
    torch.testing.assert_close(context, theirs, atol=5e-3, rtol=5e-3)  # theirs went by float16
    torch.testing.assert_close(pooled, their_pooled, atol=5e-3, rtol=5e-3)
    assert not unconditional.any()
    assert not unconditional_pooled.any()
    ids = pipeline._get_add_time_ids((128, 128), (0, 0), (128, 128), torch.float32, 96)
    assert tuple(ids[0].tolist()) == text_to_image.TIME_IDS


@pytest.mark.parametrize("steps", [1, 10, 25])
def test_a_perfect_network_gives_the_picture_back_from_pure_noise(pictures, small_unet, steps):
    scheduler = Denoising(Networks(CPU), pictures, 2).scheduler
    clean = pictures.latents[:2].float()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    scheduler.set_timesteps(steps)
    first = scheduler.timesteps[:1]
    torch.testing.assert_close(scheduler.add_noise(clean, noise, first), noise)
    sample = noise * scheduler.init_noise_sigma
    for step in scheduler.timesteps:
        velocity = scheduler.get_velocity(clean, noise, step[None])
        sample = scheduler.step(velocity, step, sample).prev_sample
    torch.testing.assert_close(sample, clean, atol=1e-4, rtol=1e-4)


def test_most_pictures_are_first_frames(vae):
    pool = Pool.build(40, 1)
    torch.manual_seed(0)
    latents = Pictures.build(vae, pool).latents
    with torch.no_grad():
        first = vae.encode(draw(pool.scenes, torch.zeros(40, 1))).latent_dist.mode() * 2.0
    same = (latents - first).abs().amax((1, 2, 3)) < 2e-3
    assert latents.shape == (40, 4, 16, 16)
    assert 0.7 < same.float().mean() < 1


def test_steps_are_spread_over_the_batch_and_reach_both_ends():
    torch.manual_seed(0)
    drawn = torch.stack([random_steps(8, CPU) for _ in range(2000)])
    assert (drawn // 125 == torch.arange(8)).all()
    assert (drawn.min(), drawn.max()) == (0, 999)


def test_dropped_text_teaches_the_encoders_nothing(pictures, small_unet, monkeypatch):
    networks = Networks(CPU)
    denoising = Denoising(networks, pictures, 2)
    weight = networks.text_encoder.embeddings.token_embedding.weight
    for share, taught in ((0.0, True), (1.0, False)):
        monkeypatch.setattr(text_to_image, "DROPPED", share)
        networks.unet.zero_grad()
        weight.grad = None
        loss, _ = denoising()
        loss.backward()
        assert bool(weight.grad.any()) == taught


def test_it_learns_what_each_text_asks_for(pictures, small_unet):
    torch.manual_seed(0)
    networks = Networks(CPU)
    # Two plain pictures, unlike each other, so that a few steps tell.
    latents = torch.ones(2, 4, 16, 16) * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    denoising = Denoising(networks, Pictures(latents, pictures.tokens[:2]), 8)
    parameters = [p for n in networks.by_name().values() for p in n.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, 3e-3)
    for _ in range(25):
        optimizer.zero_grad()
        denoising()[0].backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    noise, steps = torch.randn(2, 4, 16, 16), torch.full((2,), 999)

    def error(text):
        with torch.no_grad():
            context, pooled = networks.encode(text)
            conditions = {"text_embeds": pooled, "time_ids": denoising.time_ids.expand(2, -1)}
            velocity = networks.unet(noise, steps, context, added_cond_kwargs=conditions).sample
        return float((velocity + latents).square().mean())

    tokens = pictures.tokens[:2, 1].long()
    assert error(tokens) < 0.3
    assert error(tokens.flip(0)) > 2.5


def test_reading_knows_right_from_wrong():
    scene, other = sample_scenes(2, 4, style="plain", objects=1, shape=["star"], colour=["red"])
    body = replace(other.bodies[0], colour="blue", rgb=(0.1, 0.36, 0.95))
    blue = replace(other, bodies=(body,))
    drawn = render(encode([scene, blue]), torch.zeros(2, 1), 128, 128)[:, 0]
    levels = (drawn * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert right_of(scene, levels[0]) == (True, True)
    assert right_of(scene, levels[1]) == (False, True)


def test_latents_that_are_not_finite_stop_the_training(vae):
    broken = AutoencoderKL.from_config(vae.config)
    torch.nn.init.constant_(broken.quant_conv.bias, float("nan"))
    with pytest.raises(FloatingPointError, match="autoencoder gave latents that are not finite"):
        Pictures.build(broken, Pool.build(2, 0))
