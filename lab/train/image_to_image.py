"""Trains the miniature image-to-image model, a `StableDiffusionInstructPix2PixPipeline`.

The class and the conditioning are those of InstructPix2Pix (Brooks et al. 2022, arXiv:2211.09800),
so that the pipeline of diffusers runs unchanged. The network sees the noisy latents of the wanted
picture, scaled, beside the latents of the given one, the posterior's mode and *not* scaled; the
instruction comes by cross-attention from one CLIP text encoder, trained along. As in the paper a
few examples lose their text, their picture or both, which guidance by either needs: the pipeline's
"no text" is the empty text, its "no picture" are zeros.

It learns from pairs of scenes that `lab.world.edit` makes. Texts about motion alone ask a picture
to stay as it is, since the tasks that animate a picture edit it first by the same text. Half of the
given pictures went through the autoencoder once, as those do that another model has drawn; what is
wanted is always the world's own picture.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from transformers import CLIPTextModel

from lab.train.autoencoders import FACTOR, HELD_OUT, LATENT_CHANNELS, SIDE, find_autoencoder
from lab.train.export import save_json, save_pipeline_fp16, save_sheet
from lab.train.held_out_edits import held_out_figures
from lab.train.image_autoencoder import draw, modes
from lab.train.loop import Settings, Training, autocast
from lab.train.noise import SCHEDULER, random_steps
from lab.train.text_encoders import empty_text, liven, text_config
from lab.world.edit_pool import EditPool
from lab.world.vocabulary import clip_tokenizer

FOLDER: Final = "image_to_image"
"""Folder of the pipeline below the weights."""

EDITS: Final = 80_000
WORDINGS: Final = 3
BATCH: Final = 192
STEPS: Final = 16_000
DECODED: Final = 0.5
"""Share of given pictures that the autoencoder has coded and decoded once."""
DROPPED: Final = 0.05
"""Share of edits that lose their text; as many lose their picture, and as many lose both."""

_TEXT: Final = 96

TEXT_ENCODER: Final[dict[str, Any]] = {
    "hidden_size": _TEXT,
    "intermediate_size": 4 * _TEXT,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "projection_dim": _TEXT,
    "hidden_act": "gelu",
}

UNET: Final[dict[str, Any]] = {
    "sample_size": SIDE // FACTOR,
    "in_channels": 2 * LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    # Text reaches both levels, as in text-to-image.
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (64, 80),
    "layers_per_block": 1,
    "norm_num_groups": 16,
    "attention_head_dim": (4, 5),  # the library's name for the number of heads
    "cross_attention_dim": _TEXT,
    "use_linear_projection": True,
    "time_embedding_dim": 128,
}


def train(settings: Settings) -> None:
    """Trains the network and its text encoder, writes the pipeline and measures its edits.

    Writes `weights/image_to_image/`, `image_to_image.json` with held-out figures and the
    instructions of `image_to_image.png`, in which each given picture stands above its edit, below
    `settings.out`.

    Raises:
        FileNotFoundError: The image autoencoder did not come in time.
    """
    started = time.monotonic()
    device, gpu = settings.device, settings.device.type == "cuda"
    torch.backends.cudnn.benchmark = True  # every shape is fixed and seen before the capture
    vae_folder = find_autoencoder(
        settings.out, "text_to_image", "image_autoencoder", settings.seconds if gpu else 0.0
    )
    vae = AutoencoderKL.from_pretrained(vae_folder).to(device).eval()
    batch = settings.batch or BATCH
    count = min(EDITS, batch * (settings.steps or STEPS))
    pairs = Pairs.build(vae, EditPool.build(count, settings.seed, WORDINGS).to(device))
    torch.manual_seed(settings.seed)
    networks = Networks(device)
    preparation = time.monotonic() - started
    print(f"image_to_image: {vae_folder}, {count} edits, {preparation:.0f} s", flush=True)
    training = Training(
        "image_to_image",
        networks.by_name(),
        Denoising(networks, pairs, batch),
        replace(settings, seconds=max(1.0, settings.seconds - preparation)),
        steps=STEPS,
    )
    training.run()
    training.averaged()
    folder = settings.out / "weights" / FOLDER
    sizes = assemble(networks, vae_folder, folder)

    # Read back: what is measured is what is shipped, rounded to half precision.
    pipeline = load(folder, device)
    each, scales = (12, SCALES) if gpu else (1, SCALES[:1])  # on a CPU a trial of the code
    figures, sheet, texts = held_out_figures(pipeline, each, settings.seed + HELD_OUT, scales)
    save_json(
        settings.out / "image_to_image.json",
        {"bytes": sizes, "steps": training.step, **figures, "instructions": texts},
    )
    save_sheet(settings.out / "image_to_image.png", sheet)
    print(f"image_to_image: {figures}", flush=True)


SCALES: Final = ((1.0, 1.0), (2.0, 1.0), (4.0, 1.0), (4.0, 1.5))
"""Guidance by text and by picture at which held-out figures are taken; the first is none."""


def load(folder: Path, device: torch.device) -> StableDiffusionInstructPix2PixPipeline:
    """Loads the miniature pipeline as the library does.

    Args:
        folder: Its folder.
        device: Where to.
    """
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class Networks:
    """The two networks that are trained together, fresh.

    Args:
        device: Where to.
    """

    def __init__(self, device: torch.device) -> None:
        self.text_encoder = CLIPTextModel(text_config(TEXT_ENCODER)).to(device)
        self.unet = UNet2DConditionModel(**UNET).to(device)
        liven(self.text_encoder.embeddings)

    def by_name(self) -> dict[str, nn.Module]:
        """The networks by their names in the pipeline."""
        return {"unet": self.unet, "text_encoder": self.text_encoder}

    def encode(self, tokens: Tensor) -> Tensor:
        """Encodes texts as the pipeline does: ids (B, 77), int64, to (B, 77, 96)."""
        # Without an attention mask, as in the pipeline.
        states: Tensor = self.text_encoder(tokens).last_hidden_state
        return states


@dataclass(frozen=True)
class Pairs:
    """A pool of edits on the device, as the autoencoder sees them.

    Attributes:
        given: Latents of the given pictures (N, 4, 16, 16), float16, unscaled.
        wanted: Latents of the wanted ones, of the same shape, scaled to about unit variance.
        tokens: Instructions (N, wordings, 77), int16.
    """

    given: Tensor
    wanted: Tensor
    tokens: Tensor

    @staticmethod
    @torch.no_grad()
    def build(vae: AutoencoderKL, pool: EditPool) -> "Pairs":
        """Draws and encodes both pictures of each edit of a pool, on the pool's device.

        Raises:
            FloatingPointError: The autoencoder gave latents that are not finite.
        """
        device = pool.tokens.device
        given, wanted = [], []
        for first in range(0, len(pool), 64):
            chosen = slice(first, first + 64)
            start = torch.zeros(len(pool.before[chosen]), 1, device=device)
            pictures = draw(pool.before[chosen], start)
            given.append(encode(vae, decoded_once(vae, pictures, DECODED)).half())
            wanted.append(encode(vae, draw(pool.after[chosen], start)).half())
        pairs = Pairs(torch.cat(given), torch.cat(wanted) * vae.config.scaling_factor, pool.tokens)
        if not bool(pairs.given.isfinite().all() & pairs.wanted.isfinite().all()):
            raise FloatingPointError(
                "the image autoencoder gave latents that are not finite: its training has failed; "
                "look at its figures and train it anew"
            )
        return pairs


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """Unscaled latents (N, 4, h, w) of pictures (N, 3, H, W) in [-1, 1]: the posteriors' modes."""
    return torch.cat(list(modes(vae, pictures)))


@torch.no_grad()
def decoded_once(vae: AutoencoderKL, pictures: Tensor, share: float) -> Tensor:
    """Codes and decodes a random share of pictures, as if a model had drawn them.

    Args:
        vae: The autoencoder.
        pictures: (N, 3, H, W), in [-1, 1].
        share: Share of them, in [0, 1].

    Returns:
        The same pictures, some through the autoencoder, on 8 bits.
    """
    through = vae.decode(encode(vae, pictures)).sample.clamp(-1, 1)
    chosen = torch.rand(len(pictures), 1, 1, 1, device=pictures.device) < share
    return (torch.where(chosen, through, pictures) * 127.5).round() / 127.5


class Denoising:
    """The loss: draws edits and asks for the velocity of the wanted picture at random times.

    Args:
        networks: What is trained.
        pairs: The pool.
        batch: Edits a step.
    """

    def __init__(self, networks: Networks, pairs: Pairs, batch: int) -> None:
        self.networks, self.pairs, self.batch = networks, pairs, batch
        self.scheduler = DDIMScheduler(**SCHEDULER)
        self.empty = empty_text(pairs.given.device)

    def __call__(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the loss, and apart the part of it that the noisiest quarter has."""
        pairs, batch, device = self.pairs, self.batch, self.empty.device
        index = torch.randint(len(pairs.given), (batch,), device=device)
        wording = torch.randint(pairs.tokens.shape[1], (batch,), device=device)
        clean = pairs.wanted[index].float()
        # In thirds of what is dropped: the text, both, the picture.
        fate = torch.rand(batch, device=device) / DROPPED
        text = torch.where((fate < 2)[:, None], self.empty, pairs.tokens[index, wording].long())
        given = pairs.given[index].float() * ((fate < 1) | (fate >= 3))[:, None, None, None]
        steps = random_steps(batch, device)
        noise = torch.randn_like(clean)
        noisy = self.scheduler.add_noise(clean, noise, steps)
        with autocast(device):
            predicted = self.networks.unet(
                torch.cat((noisy, given), 1),
                steps,
                encoder_hidden_states=self.networks.encode(text),
                return_dict=False,
            )[0]
        velocity = self.scheduler.get_velocity(clean, noise, steps)
        error = (predicted.float() - velocity).square().mean((1, 2, 3))
        noisiest = (steps >= 3 * self.scheduler.config.num_train_timesteps // 4).float()
        return error.mean(), {"noisiest": (error * noisiest).sum() / noisiest.sum().clamp(min=1)}


def assemble(networks: Networks, vae_folder: Path, folder: Path) -> dict[str, int]:
    """Writes the pipeline's folder: float16 safetensors in the layout of diffusers.

    The autoencoder's files are text-to-image's, byte for byte.

    Args:
        networks: The trained networks.
        vae_folder: The autoencoder.
        folder: Where to; what it held is replaced.

    Returns:
        Sizes of the trained networks' weights in bytes, by their names in the pipeline.
    """
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=AutoencoderKL.from_pretrained(vae_folder),
        text_encoder=networks.text_encoder,
        tokenizer=clip_tokenizer(),
        unet=networks.unet,
        scheduler=DDIMScheduler(**SCHEDULER),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return save_pipeline_fp16(pipeline, folder, networks.by_name(), {"vae": vae_folder})
