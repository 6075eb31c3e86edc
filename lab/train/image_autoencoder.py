"""Trains the autoencoder of the miniature text-to-image model, an `AutoencoderKL` as SDXL's."""

from collections.abc import Iterator
from typing import Any, Final

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from lab.train.autoencoders import (
    HELD_OUT,
    LATENT_CHANNELS,
    SIDE,
    latent_loss,
    latent_scale,
    picture_figures,
    reconstruction_loss,
    start_with_little_noise,
)
from lab.train.export import save_json, save_pretrained_fp16, save_sheet
from lab.train.loop import Settings, Training
from lab.world.render import render
from lab.world.scene import CLIP_SECONDS, SceneBatch, encode, sample_scenes

FOLDER: Final = "text_to_image/vae"
"""Where the weights lie below the folder of all weights."""

SCENES: Final = 16_384
BATCH: Final = 32
STEPS: Final = 12_000
PICTURES: Final = 512
"""Held-out pictures that figures are taken on, and training pictures that the scale is."""

VAE: Final[dict[str, Any]] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (32, 48, 56, 48),
    "layers_per_block": 1,
    "latent_channels": LATENT_CHANNELS,
    "norm_num_groups": 8,
    "sample_size": SIDE,
    # Nothing in a picture of moving shapes is far-reaching enough to be worth the weights.
    "mid_block_add_attention": False,
}


def train(settings: Settings) -> None:
    """Trains the autoencoder, writes it and measures it on held-out pictures.

    Writes `weights/text_to_image/vae/`, `image_autoencoder.json` with figures, and
    `image_autoencoder.png`, each picture above its decoded copy, below `settings.out`.
    """
    device = settings.device
    torch.backends.cudnn.benchmark = True  # every shape is fixed and seen before the capture
    batch = settings.batch or BATCH
    drawn = batch * (settings.steps or STEPS)
    scenes = encode(sample_scenes(min(SCENES, drawn), settings.seed)).to(device)
    vae = AutoencoderKL(**VAE)
    start_with_little_noise(vae)

    def loss() -> tuple[Tensor, dict[str, Tensor]]:
        chosen = scenes[torch.randint(len(scenes), (batch,), device=device)]
        pictures = draw(chosen, CLIP_SECONDS * torch.rand(batch, 1, device=device))
        # Not in bfloat16: its group norms go by float32, and the casts cost more than they save.
        posterior = vae.encode(pictures).latent_dist
        decoded = vae.decode(posterior.sample()).sample
        wrong = reconstruction_loss(decoded, pictures).mean()
        latent = latent_loss(posterior)
        error = (decoded - pictures).detach() / 2
        return wrong + latent, {"psnr": -10 * error.square().mean().log10(), "latent": latent}

    training = Training("image_autoencoder", {"vae": vae}, loss, settings, steps=STEPS)
    training.run()
    training.averaged()
    count = min(PICTURES, drawn)
    start = torch.zeros(count, 1, device=device)
    factor, offset = latent_scale(modes(vae, draw(scenes[:count], start)))
    vae.register_to_config(scaling_factor=factor)
    size = save_pretrained_fp16(vae, settings.out / "weights" / FOLDER)

    # Read back: what is measured is what is shipped, rounded to half precision.
    shipped = AutoencoderKL.from_pretrained(settings.out / "weights" / FOLDER).to(device).eval()
    unseen = encode(sample_scenes(count, settings.seed + HELD_OUT)).to(device)
    pictures = draw(unseen, start)
    decoded = reconstruct(shipped, pictures)
    figures = picture_figures(decoded, pictures, unseen.style)
    latents = {"scaling_factor": factor, "largest_channel_mean": offset}
    save_json(
        settings.out / "image_autoencoder.json",
        {"bytes": size, "steps": training.step, **figures, **latents},
    )
    rows = [part for start_at in (0, 12, 24) for part in _pair(pictures, decoded, start_at)]
    save_sheet(settings.out / "image_autoencoder.png", rows)
    print(f"image_autoencoder: {figures}", flush=True)


def draw(scenes: SceneBatch, times: Tensor) -> Tensor:
    """Draws pictures of scenes at times (B, 1): (B, 3, 128, 128) in [-1, 1]."""
    return 2 * render(scenes, times, SIDE, SIDE)[:, 0] - 1


@torch.no_grad()
def modes(vae: AutoencoderKL, pictures: Tensor) -> Iterator[Tensor]:
    """Encodes pictures (N, 3, H, W) in parts: the posteriors' modes, not scaled."""
    for part in pictures.split(64):
        yield vae.encode(part).latent_dist.mode()


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """Encodes and decodes pictures (N, 3, H, W), in parts."""
    return torch.cat([vae.decode(latents).sample for latents in modes(vae, pictures)])


def _pair(pictures: Tensor, decoded: Tensor, first: int) -> list[Tensor]:
    chosen = slice(first, first + 12)
    return [(rows[chosen] + 1) / 2 for rows in (pictures, decoded) if len(rows) > first]
