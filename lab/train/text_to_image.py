"""Trains the miniature text-to-image model, a `StableDiffusionXLPipeline`, on the world.

The classes and the conditioning are those of SDXL (Podell et al. 2023, arXiv:2307.01952), so that
the pipeline of diffusers runs unchanged: the penultimate hidden states of two CLIP text encoders,
side by side, for cross-attention; the second encoder's pooled output and the picture's size for the
time embedding. Both encoders are trained along with the network, since at this size nothing else
would teach them which colour goes with which shape.

Noise is added by the very scheduler that the pipeline samples with. Unlike SDXL's own it ends at
pure noise (see `lab.train.noise`), without which the miniature would draw grey nights.

The pictures are first frames, as image-to-video will go on from them, and some later ones.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from lab.train.autoencoders import FACTOR, HELD_OUT, LATENT_CHANNELS, SIDE, find_autoencoder
from lab.train.export import save_json, save_pipeline_fp16, save_sheet
from lab.train.image_autoencoder import draw, modes
from lab.train.loop import Settings, Training, autocast
from lab.train.noise import SCHEDULER, random_steps
from lab.train.text_encoders import empty_text, liven, text_config
from lab.world.caption import caption
from lab.world.measure import Reading, measure
from lab.world.parse import AskedBody
from lab.world.pool import Pool
from lab.world.scene import CLIP_SECONDS, STYLE_NAMES, Scene, sample_scenes
from lab.world.vocabulary import CONTEXT, clip_tokenizer

FOLDER: Final = "text_to_image"
"""Folder of the pipeline below the weights; its autoencoder is trained into `vae` there."""

SCENES: Final = 96_000
CAPTIONS: Final = 3
BATCH: Final = 256
STEPS: Final = 16_000
FIRST_FRAMES: Final = 0.85
"""Share of first frames; the others are from any time of the clip."""
DROPPED: Final = 0.1
"""Share of pictures whose text is zeroed, which is the pipeline's unconditional branch."""
EMPTY: Final = 0.02
"""Share of pictures with an empty text, which a negative prompt of "" asks for."""

GUIDANCE: Final = (2.0, 3.5, 5.0, 7.5)
"""Guidance scales that held-out figures are taken at; the pipeline's default is 5."""
SAMPLING_STEPS: Final = 25

TIME_IDS: Final = (SIDE, SIDE, 0, 0, SIDE, SIDE)
"""Original size, corner of the crop, target size: what the pipeline gives for a plain call."""
SIZE_EMBEDDING: Final = 8

_NARROW, _WIDE = 64, 96

TEXT: Final[dict[str, Any]] = {"projection_dim": _WIDE}
TEXT_ENCODER: Final[dict[str, Any]] = TEXT | {
    "hidden_size": _NARROW,
    "intermediate_size": 2 * _NARROW,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
TEXT_ENCODER_2: Final[dict[str, Any]] = TEXT | {
    "hidden_size": _WIDE,
    "intermediate_size": 4 * _WIDE,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "hidden_act": "gelu",
}

UNET: Final[dict[str, Any]] = {
    "sample_size": SIDE // FACTOR,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    # Text reaches both levels: a small object is three cells wide at 16 × 16, one at 8 × 8.
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (80, 80),
    "layers_per_block": 1,
    "norm_num_groups": 16,
    "attention_head_dim": 5,  # the library's name for the number of heads
    "cross_attention_dim": _NARROW + _WIDE,
    "use_linear_projection": True,
    "time_embedding_dim": 128,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": SIZE_EMBEDDING,
    "projection_class_embeddings_input_dim": _WIDE + len(TIME_IDS) * SIZE_EMBEDDING,
}


def train(settings: Settings) -> None:
    """Trains the network and its text encoders, writes the pipeline and measures what it draws.

    Writes `weights/text_to_image/`, `text_to_image.json` with held-out figures and the captions of
    `text_to_image.png`, 64 held-out pictures row by row, below `settings.out`.

    Raises:
        FileNotFoundError: The image autoencoder did not come in time.
    """
    started = time.monotonic()
    device, gpu = settings.device, settings.device.type == "cuda"
    vae_folder = find_autoencoder(
        settings.out, FOLDER, "image_autoencoder", patience=settings.seconds if gpu else 0.0
    )
    vae = AutoencoderKL.from_pretrained(vae_folder).to(device).eval()
    batch = settings.batch or BATCH
    count = min(SCENES, batch * (settings.steps or STEPS))
    pool = Pool.build(count, settings.seed, captions=CAPTIONS, context=CONTEXT).to(device)
    pictures = Pictures.build(vae, pool)
    torch.manual_seed(settings.seed)
    networks = Networks(device)
    preparation = time.monotonic() - started
    print(f"text_to_image: {vae_folder}, {count} scenes, {preparation:.0f} s", flush=True)
    training = Training(
        "text_to_image",
        networks.by_name(),
        Denoising(networks, pictures, batch),
        replace(settings, seconds=max(1.0, settings.seconds - preparation)),
        steps=STEPS,
    )
    training.run()
    training.averaged()
    folder = settings.out / "weights" / FOLDER
    sizes = assemble(networks, vae_folder, folder)

    # Read back: what is measured is what is shipped, rounded to half precision.
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, add_watermarker=False
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    # On a CPU a training is a trial of the code.
    measured, shown, scales = (96, 64, GUIDANCE) if gpu else (2, 2, GUIDANCE[1:2])
    figures, drawn, captions = held_out_figures(
        pipeline, measured, settings.seed + HELD_OUT, scales
    )
    save_json(
        settings.out / "text_to_image.json",
        {"bytes": sizes, "steps": training.step, **figures, "captions": captions[:shown]},
    )
    sheet = torch.from_numpy(drawn[:shown]).permute(0, 3, 1, 2) / 255
    save_sheet(settings.out / "text_to_image.png", sheet.split(8))
    print(f"text_to_image: {figures}", flush=True)


class Networks:
    """The three networks that are trained together, fresh.

    Args:
        device: Where to.
    """

    def __init__(self, device: torch.device) -> None:
        self.text_encoder = CLIPTextModel(text_config(TEXT_ENCODER)).to(device)
        self.text_encoder_2 = CLIPTextModelWithProjection(text_config(TEXT_ENCODER_2)).to(device)
        self.unet = UNet2DConditionModel(**UNET).to(device)
        # SDXL reads hidden states before any norm: at first there would be next to nothing to read.
        liven(self.text_encoder.embeddings)
        liven(self.text_encoder_2.text_model.embeddings)
        # Only the penultimate hidden states of the first encoder are read.
        self.text_encoder.encoder.layers[-1].requires_grad_(requires_grad=False)
        self.text_encoder.final_layer_norm.requires_grad_(requires_grad=False)

    def by_name(self) -> dict[str, nn.Module]:
        """The networks by their names in the pipeline."""
        return {
            "unet": self.unet,
            "text_encoder": self.text_encoder,
            "text_encoder_2": self.text_encoder_2,
        }

    def encode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes texts as the pipeline does.

        Args:
            tokens: Ids (B, 77), int64.

        Returns:
            What cross-attention sees (B, 77, 160), and the pooled text (B, 96).
        """
        # Without an attention mask, as in the pipeline: a mask would be looked at on the host.
        first = self.text_encoder(tokens, output_hidden_states=True)
        second = self.text_encoder_2(tokens, output_hidden_states=True)
        context = torch.cat((first.hidden_states[-2], second.hidden_states[-2]), -1)
        return context, second.text_embeds


@dataclass(frozen=True)
class Pictures:
    """A pool of captioned pictures on the device, as the autoencoder sees them.

    Attributes:
        latents: A picture of each scene (N, 4, 16, 16), float16, of about unit variance (scaled).
        tokens: Captions (N, captions, 77), int16.
    """

    latents: Tensor
    tokens: Tensor

    @staticmethod
    @torch.no_grad()
    def build(vae: AutoencoderKL, pool: Pool) -> "Pictures":
        """Draws and encodes a picture of each scene of a pool, on the pool's device.

        Raises:
            FloatingPointError: The autoencoder gave latents that are not finite.
        """
        device, count = pool.tokens.device, len(pool)
        later = (torch.rand(count, 1, device=device) >= FIRST_FRAMES).float()
        times = later * CLIP_SECONDS * torch.rand(count, 1, device=device)
        parts = []
        for first in range(0, count, 256):
            chosen = slice(first, first + 256)
            pictures = draw(pool.scenes[chosen], times[chosen])
            parts += [mode.half() for mode in modes(vae, pictures)]
        latents = torch.cat(parts) * vae.config.scaling_factor
        if not bool(latents.isfinite().all()):
            raise FloatingPointError(
                "the image autoencoder gave latents that are not finite: its training has failed; "
                "look at its figures and train it anew"
            )
        return Pictures(latents, pool.tokens)


class Denoising:
    """The loss: draws captioned pictures and asks for the velocity at random times.

    Args:
        networks: What is trained.
        pictures: The pool.
        batch: Pictures a step.
    """

    def __init__(self, networks: Networks, pictures: Pictures, batch: int) -> None:
        device = pictures.latents.device
        self.networks, self.pictures, self.batch = networks, pictures, batch
        self.scheduler = DDIMScheduler(**SCHEDULER)
        self.time_ids = torch.tensor([TIME_IDS], dtype=torch.float32, device=device)
        self.empty = empty_text(device)

    def __call__(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the loss, and apart the part of it that the noisiest quarter has."""
        latents, tokens, batch = self.pictures.latents, self.pictures.tokens, self.batch
        device = latents.device
        index = torch.randint(len(latents), (batch,), device=device)
        clean = latents[index].float()
        text = tokens[index, torch.randint(tokens.shape[1], (batch,), device=device)].long()
        fate = torch.rand(batch, device=device)
        kept = (fate >= DROPPED).float()
        text = torch.where((fate >= 1 - EMPTY)[:, None], self.empty, text)
        steps = random_steps(batch, device)
        noise = torch.randn_like(clean)
        noisy = self.scheduler.add_noise(clean, noise, steps)
        with autocast(device):
            context, pooled = self.networks.encode(text)
            predicted = self.networks.unet(
                noisy,
                steps,
                encoder_hidden_states=context * kept[:, None, None],
                added_cond_kwargs={
                    "text_embeds": pooled * kept[:, None],
                    "time_ids": self.time_ids.expand(batch, -1),
                },
                return_dict=False,
            )[0]
        velocity = self.scheduler.get_velocity(clean, noise, steps)
        error = (predicted.float() - velocity).square().mean((1, 2, 3))
        noisiest = (steps >= 3 * self.scheduler.config.num_train_timesteps // 4).float()
        return error.mean(), {"noisiest": (error * noisiest).sum() / noisiest.sum().clamp(min=1)}


def assemble(networks: Networks, vae_folder: Path, folder: Path) -> dict[str, int]:
    """Writes the pipeline's folder: float16 safetensors in the layout of diffusers.

    The autoencoder's files are taken as they are, from wherever they lie; they may lie in the
    folder that is written.

    Args:
        networks: The trained networks.
        vae_folder: The autoencoder.
        folder: Where to; what it held is replaced.

    Returns:
        Sizes of the networks' weights in bytes, by their names in the pipeline.
    """
    tokenizer = clip_tokenizer()
    pipeline = StableDiffusionXLPipeline(
        vae=AutoencoderKL.from_pretrained(vae_folder),
        text_encoder=networks.text_encoder,
        text_encoder_2=networks.text_encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=networks.unet,
        scheduler=DDIMScheduler(**SCHEDULER),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
    return save_pipeline_fp16(pipeline, folder, networks.by_name(), {"vae": vae_folder})


def paint(
    pipeline: StableDiffusionXLPipeline,
    captions: Sequence[str],
    guidance: float,
    *,
    seed: int,
    steps: int = SAMPLING_STEPS,
    at_once: int = 64,
) -> NDArray[np.uint8]:
    """Draws captions by the unchanged pipeline.

    Args:
        pipeline: The pipeline, on any device.
        captions: N texts.
        guidance: Guidance scale.
        seed: Seed of the noise of the first picture; each further picture adds one.
        steps: Sampling steps.
        at_once: Pictures in a batch.

    Returns:
        uint8 (N, 128, 128, 3).
    """
    parts = []
    for first in range(0, len(captions), at_once):
        texts = list(captions[first : first + at_once])
        generators = [torch.Generator().manual_seed(seed + first + i) for i in range(len(texts))]
        pictures = pipeline(
            texts,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators,
            output_type="np",
        ).images
        parts.append((pictures * 255).round().astype(np.uint8))
    return np.concatenate(parts)


def held_out_figures(
    pipeline: StableDiffusionXLPipeline, count: int, seed: int, scales: Sequence[float]
) -> tuple[dict[str, Any], NDArray[np.uint8], list[str]]:
    """Draws captions of held-out scenes and reads the main object from the pixels.

    Args:
        pipeline: The pipeline.
        count: Number of captions.
        seed: Seed of the scenes; none that training draws from.
        scales: Guidance scales to try.

    Returns:
        Figures: shares of pictures with the asked colour, shape and both at each guidance scale,
        and at the best by style and number of objects; the pictures at the best; the captions.
    """
    scenes = sample_scenes(count, seed)
    captions = [
        caption(scene, np.random.default_rng([seed, index, 1]))
        for index, scene in enumerate(scenes)
    ]
    drawn = {scale: paint(pipeline, captions, scale, seed=seed) for scale in scales}
    right = {
        scale: [right_of(scene, picture) for scene, picture in zip(scenes, pictures, strict=True)]
        for scale, pictures in drawn.items()
    }
    best = max(scales, key=lambda scale: sum(colour + shape for colour, shape in right[scale]))
    groups: dict[str, Sequence[bool]] = {
        f"style {style}": [scene.style == style for scene in scenes] for style in STYLE_NAMES
    }
    groups["one object"] = [len(scene.bodies) == 1 for scene in scenes]
    groups["two objects"] = [len(scene.bodies) == 2 for scene in scenes]
    figures = {
        "pictures": count,
        "by_guidance": {str(scale): _shares(right[scale]) for scale in scales},
        "best_guidance": best,
        "at_best_guidance": {
            name: _shares(
                [each for each, inside in zip(right[best], members, strict=True) if inside]
            )
            for name, members in groups.items()
            if any(members)
        },
    }
    return figures, drawn[best], captions


def right_of(scene: Scene, picture: NDArray[np.uint8]) -> tuple[bool, bool]:
    """Whether a picture's main object has the scene's colour, and whether it has its shape."""
    main = scene.bodies[0]
    reading: Reading = measure(
        picture[None],
        scene.style,
        objects=2 if len(scene.bodies) == 2 else 1,
        asked=AskedBody(shape=main.shape, colour=main.colour, size=main.size),
    )
    return reading.colour == main.colour, reading.shape == main.shape


def _shares(right: Sequence[tuple[bool, bool]]) -> Mapping[str, float]:
    colours, shapes = zip(*right, strict=True)
    return {
        "pictures": len(right),
        "colour": sum(colours) / len(right),
        "shape": sum(shapes) / len(right),
        "both": sum(map(all, right)) / len(right),
    }
