import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderKLTemporalDecoder
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image
from safetensors.torch import load_file
from skimage.metrics import peak_signal_noise_ratio
from torch.distributions import Normal, kl_divergence

from lab.train import autoencoders, image_autoencoder, loop, temporal_autoencoder
from lab.train.autoencoders import (
    find_autoencoder,
    latent_loss,
    latent_scale,
    picture_figures,
    psnr,
    reconstruction_loss,
    start_with_little_noise,
)
from lab.train.loop import Settings
from lab.train.temporal_autoencoder import clip_loss, end_weights, film
from lab.world.scene import STYLE_NAMES, encode, sample_scenes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures():
    scenes = encode(sample_scenes(4, 3, style="plain"))
    return image_autoencoder.draw(scenes, torch.zeros(4, 1))


def test_reconstruction_loss_is_the_sum_that_it_promises():
    generator = torch.Generator().manual_seed(0)
    decoded, true = torch.rand(2, 2, 3, 16, 16, generator=generator)
    losses = reconstruction_loss(decoded, true)
    assert losses.shape == (2,)
    for loss, error in zip(losses, (decoded - true).double().numpy(), strict=True):
        cells = error.reshape(3, 2, 8, 2, 8).mean((2, 4))
        edges = abs(np.diff(error, axis=2)).mean() + abs(np.diff(error, axis=1)).mean()
        expected = (error**2).mean() + abs(error).mean() + 0.5 * edges + abs(cells).mean()
        assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_latent_loss_is_the_divergence_of_each_posterior_and_of_all_together():
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(16, 4, 8, 8, generator=generator) * 0.6 + 0.3
    logvar = torch.randn(16, 4, 8, 8, generator=generator) - 3
    posterior = DiagonalGaussianDistribution(torch.cat((mean, logvar), 1))
    unit = Normal(0.0, 1.0)
    each = kl_divergence(Normal(mean, (logvar / 2).exp()), unit).mean()
    samples = torch.cat([posterior.sample(generator) for _ in range(64)])
    spread = samples.transpose(0, 1).flatten(1)
    every = kl_divergence(Normal(spread.mean(1), spread.std(1)), unit).mean()
    expected = autoencoders.DIVERGENCE * (each + every)
    torch.testing.assert_close(latent_loss(posterior), expected, rtol=1e-3, atol=0)


def test_scale_makes_latents_of_unit_variance_and_names_the_worst_mean():
    latents = torch.randn(64, 4, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.25
    latents[:, 2] -= 0.1
    factor, offset = latent_scale(latents.split(10))
    assert float((latents * factor).std()) == pytest.approx(1, abs=1e-4)
    assert offset == pytest.approx(-0.1, abs=0.01)


def test_posteriors_start_narrow(pictures):
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4)
    start_with_little_noise(vae)
    with torch.no_grad():
        std = vae.encode(pictures[..., ::8, ::8]).latent_dist.std
    assert 0.03 < float(std.median()) < 0.5


def test_psnr_is_that_of_pictures_as_they_are_written(pictures):
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    decoded = pictures + 0.2 * noise
    levels = (pictures * 127.5 + 127.5).round().byte().numpy()
    written = (decoded.clamp(-1, 1) * 127.5 + 127.5).round().byte().numpy()
    expected = [peak_signal_noise_ratio(a, b) for a, b in zip(levels, written, strict=True)]
    np.testing.assert_allclose(psnr(decoded, pictures).numpy(), expected, atol=0.05)


def test_figures_see_a_tint_as_colour_and_a_blur_as_lost_sharpness(pictures):
    styles = torch.tensor([0, 0, 1, 1])
    same = picture_figures(pictures, pictures, styles)
    assert (same["sharpness"], same["colour_shift"]) == (1, 0)
    assert same["psnr_by_style"].keys() == set(STYLE_NAMES[:2])
    dim = pictures * 0.9
    tint = picture_figures(dim + 5 / 127.5, dim, styles)
    assert tint["colour_shift"] == pytest.approx(5, abs=0.01)
    assert tint["sharpness"] == pytest.approx(1, abs=1e-4)
    padded = F.pad(pictures, (2, 2, 2, 2), mode="replicate")
    blur = picture_figures(F.avg_pool2d(padded, 5, stride=1), pictures, styles)
    assert blur["colour_shift"] < 1
    assert blur["sharpness"] < 0.8
    half_blurred = torch.cat((pictures[:2], F.avg_pool2d(padded, 5, stride=1)[2:]))
    by_style = picture_figures(half_blurred, pictures, styles)["psnr_by_style"]
    assert by_style["plain"] > by_style["night"]


def test_ends_of_clips_count_double_and_flicker_counts():
    weights = end_weights(14, CPU)
    assert float(weights.mean()) == pytest.approx(1)
    assert float(weights[0] / weights[1]) == float(weights[-1] / weights[6]) == 2
    torch.testing.assert_close(end_weights(1, CPU), torch.ones(1))
    clip = torch.zeros(1, 4, 3, 16, 16)
    constant, flickering, at_end, within = (clip.clone() for _ in range(4))
    constant += 0.1
    flickering[:, ::2] += 0.1
    flickering[:, 1::2] -= 0.1
    steady, flicker = (clip_loss(c, clip, end_weights(4, CPU)) for c in (constant, flickering))
    assert float(flicker - steady) == pytest.approx(temporal_autoencoder.FLICKER * 0.2, rel=1e-4)
    at_end[:, 0], within[:, 1] = 0.1, 0.1
    lone = reconstruction_loss(at_end[:, 0], clip[:, 0])
    end, inside = (clip_loss(c, clip, end_weights(4, CPU)) for c in (at_end, within))
    changes = temporal_autoencoder.FLICKER * 0.1 / 3  # of three changes, one and two
    torch.testing.assert_close(end, lone[0] / 3 + changes)
    torch.testing.assert_close(inside, lone[0] / 6 + 2 * changes)


def test_clips_move_at_rates_of_their_own():
    scenes = encode(sample_scenes(3, 0, motion="right", speed="fast", style="plain", objects=1))
    torch.manual_seed(0)
    clips = film(scenes, 6, 4)
    assert clips.shape == (6, 4, 3, 128, 128)
    assert clips.min() >= -1
    assert clips.max() <= 1
    assert (clips.diff(dim=1).abs().amax((1, 2, 3, 4)) > 0.1).all()
    assert clips[:, 0].diff(dim=0).abs().amax((1, 2, 3)).min() > 0.1


def test_image_autoencoder_trains_and_is_shipped_with_its_scale(tmp_path, monkeypatch):
    tiny = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 2}
    monkeypatch.setattr(image_autoencoder, "VAE", image_autoencoder.VAE | tiny)
    monkeypatch.setattr(loop, "WARMUP_STEPS", 1)
    torch.manual_seed(0)
    image_autoencoder.train(Settings(tmp_path, CPU, steps=20, batch=2))
    log = (tmp_path / "image_autoencoder.log").read_text()
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", log)]
    assert losses[-1] < 0.8 * losses[0]
    folder = tmp_path / "weights" / "text_to_image" / "vae"
    stored = load_file(folder / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    vae = AutoencoderKL.from_pretrained(folder, local_files_only=True)
    figures = json.loads((tmp_path / "image_autoencoder.json").read_text())
    assert vae.config.scaling_factor == figures["scaling_factor"]
    seen = encode(sample_scenes(40, 0))
    with torch.no_grad():
        drawn = image_autoencoder.draw(seen, torch.zeros(40, 1))
        latents = vae.encode(drawn).latent_dist.mode() * vae.config.scaling_factor
    assert latents.shape == (40, 4, 16, 16)
    assert float(latents.std()) == pytest.approx(1, abs=0.1)
    assert Image.open(tmp_path / "image_autoencoder.png").size == (12 * 130 - 2, 6 * 130 - 2)


def test_temporal_autoencoder_trains_and_decodes_clips_and_lone_frames(tmp_path, monkeypatch):
    tiny = {"block_out_channels": (32, 32, 32, 32)}
    monkeypatch.setattr(temporal_autoencoder, "VAE", temporal_autoencoder.VAE | tiny)
    monkeypatch.setattr(temporal_autoencoder, "FRAMES", 3)
    monkeypatch.setattr(temporal_autoencoder, "LENGTHS", ((3, 1), (1, 2)))
    temporal_autoencoder.train(Settings(tmp_path, CPU, steps=2, batch=1))
    folder = tmp_path / "weights" / "image_to_video" / "vae"
    vae = AutoencoderKLTemporalDecoder.from_pretrained(folder, local_files_only=True)
    figures = json.loads((tmp_path / "temporal_autoencoder.json").read_text())
    assert vae.config.scaling_factor == figures["scaling_factor"]
    assert figures["pictures"] == 6
    assert {key for key in figures if key.startswith("psnr_")} == {
        "psnr_lowest_tenth",
        "psnr_by_style",
        "psnr_first_frame",
        "psnr_last_frame",
        "psnr_inner_frames",
        "psnr_frame_alone",
    }
    assert Image.open(tmp_path / "temporal_autoencoder.png").size == (3 * 130 - 2, 4 * 130 - 2)


def test_shipped_sizes_keep_to_the_budget_and_to_the_classes_groups():
    image = AutoencoderKL(**image_autoencoder.VAE)
    clips = AutoencoderKLTemporalDecoder(**temporal_autoencoder.VAE)
    for vae, megabytes in ((image, 1.65), (clips, 2.2)):
        assert 2 * sum(p.numel() for p in vae.parameters()) < megabytes * 1e6
    for norm in (clips.encoder.conv_norm_out, clips.decoder.conv_norm_out):
        assert norm.num_channels >= 2 * norm.num_groups


def test_autoencoder_is_found_below_the_output_first(tmp_path, monkeypatch):
    monkeypatch.setattr(autoencoders, "mini_weights", lambda: tmp_path / "shipped")
    with pytest.raises(FileNotFoundError, match=r"out.weights.model.vae.*train image_autoencoder"):
        find_autoencoder(tmp_path / "out", "model", "image_autoencoder", patience=0.0)
    shipped, trained = (
        tmp_path / "shipped" / "model" / "vae",
        tmp_path / "out" / "weights" / "model" / "vae",
    )
    for folder in (shipped, trained):
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
        (folder / "diffusion_pytorch_model.safetensors").touch()
        found = find_autoencoder(tmp_path / "out", "model", "image_autoencoder", patience=0.0)
        assert found == folder
