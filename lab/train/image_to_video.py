"""Trains the miniature image-to-video model, a `StableVideoDiffusionPipeline`, on the world.

The classes, the preconditioning and the conditioning are those of Stable Video Diffusion (Blattmann
et al. 2023, arXiv:2311.15127, with Karras et al. 2022, arXiv:2206.00364), so that the pipeline of
diffusers runs unchanged. A latent clip z with unit variance is disturbed to x = z + σ n. The
network sees x / √(σ² + 1), next to the latents of the first frame in every frame, at the time
step ¼ ln σ, and learns the velocity (n − σ z) / √(σ² + 1).

What conditions it, as in the pipeline's call:

- the first frame, once through a CLIP picture tower as a single token for cross-attention, once
  through the autoencoder with a little noise on its pixels. Those latents are the posterior's mode
  and are *not* multiplied by the autoencoder's `scaling_factor`, unlike the clip's;
- `fps − 1`, the motion bucket (see `motion_bucket`) and the strength of the noise on the pixels.

In `DROPPED` of the clips both forms of the first frame are zeroed, which is the pipeline's
unconditional branch.

Like its model, the miniature takes no text. How fast things move is asked for by the motion
bucket. Where they move, whether they turn, grow, bounce or go round, and which of two objects does,
comes from the initial noise alone, among the motions of the world that the first frame leaves room
for. A seed therefore decides the direction; a prompt cannot.
"""

import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from lab.train.autoencoders import FACTOR, HELD_OUT, LATENT_CHANNELS, SIDE, find_autoencoder
from lab.train.export import save_json, save_pretrained_fp16
from lab.train.held_out_clips import animate, first_frames, held_out_figures, write_sheet
from lab.train.loop import Settings, Training, autocast
from lab.train.motion_bucket import motion_bucket, motion_speed
from lab.world.render import render
from lab.world.scene import encode, sample_scenes

FOLDER: Final = "image_to_video"
"""Folder of the pipeline below the weights; its autoencoder is trained into `vae` there."""

FRAMES: Final = 14
FPS: Final = (5, 10)
"""Slowest and fastest rate that clips are trained at, in frames a second."""
CLIPS: Final = 20_480
"""Clips in the pool of latents: on the device 0.6 GB, and 1 GB of first frames."""
BATCH: Final = 48
STEPS: Final = 14_000
DROPPED: Final = 0.12
NOISE: Final = (0.7, 1.6)
"""Mean and standard deviation of ln σ, as in SVD's training."""
FRAME_NOISE: Final = (-3.0, 0.5)
"""Mean and standard deviation of the logarithm of the noise on the first frame, as in SVD's."""

EMBEDDING: Final = 64
IDS_EMBEDDING: Final = 32
CLIP_SIDE: Final = 224

UNET: Final[dict[str, Any]] = {
    "sample_size": SIDE // FACTOR,
    "in_channels": 2 * LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    # Attention at 8 × 8 only: it carries an object to where it goes, and what the 16 × 16 levels
    # add is local. GroupNorm's 32 groups are the library's, so 64 is the least useful width.
    "down_block_types": ("DownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"),
    "block_out_channels": (64, 64),
    "layers_per_block": 1,
    "num_attention_heads": (4, 4),
    "cross_attention_dim": EMBEDDING,
    "addition_time_embed_dim": IDS_EMBEDDING,
    "projection_class_embeddings_input_dim": 3 * IDS_EMBEDDING,
    "num_frames": FRAMES,
}

IMAGE_ENCODER: Final[dict[str, Any]] = {
    "image_size": CLIP_SIDE,
    "patch_size": 16,
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "projection_dim": EMBEDDING,
    "hidden_act": "gelu",
}

SCHEDULER: Final[dict[str, Any]] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "timestep_type": "continuous",
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "use_karras_sigmas": True,
    "sigma_min": 0.002,
    # SVD's 700 is for latents 36 times as large; at 80 no motion of these clips can be made out.
    "sigma_max": 80.0,
}
"""SVD's scheduler but for `sigma_max`."""


def encode_pictures(vae: AutoencoderKLTemporalDecoder, pictures: Tensor) -> Tensor:
    """Latents of pictures: the mode of the autoencoder's posterior, not scaled.

    Args:
        vae: An `AutoencoderKLTemporalDecoder`.
        pictures: (N, 3, H, W), in [-1, 1].

    Returns:
        float32 (N, 4, H/8, W/8).
    """
    device = pictures.device.type
    # Half precision, whose mantissa is three bits longer than bfloat16's: these are targets.
    half = torch.autocast(device, torch.float16, enabled=device == "cuda", cache_enabled=False)
    with torch.no_grad(), half:
        mode: Tensor = vae.encode(pictures).latent_dist.mode()
    return mode.float()


def clip_pixels(pictures: Tensor) -> Tensor:
    """What the pipeline feeds its CLIP tower for pictures of at most 224 × 224.

    The pipeline's own resize blurs before it shrinks; enlarging, as here, it is a plain bicubic
    interpolation whose corners are aligned. It also builds its kernel on the host, which a
    captured step must not.

    Args:
        pictures: (N, 3, H, W), in [0, 1].

    Returns:
        (N, 3, 224, 224), normalised.
    """
    size = (CLIP_SIDE, CLIP_SIDE)
    large = F.interpolate(pictures, size, mode="bicubic", align_corners=True)
    # One fill a channel: a tensor of constants would be a copy from the host.
    channels = zip(large.unbind(1), _IMAGE_MEAN, _IMAGE_STD, strict=True)
    return torch.stack([(channel - mean) / std for channel, mean, std in channels], 1)


_IMAGE_MEAN: Final = tuple(CLIPImageProcessor().image_mean)
_IMAGE_STD: Final = tuple(CLIPImageProcessor().image_std)


@dataclass(frozen=True)
class Clips:
    """A pool of clips on the device, as the autoencoder sees them.

    Attributes:
        latents: Clips (N, 14, 4, 16, 16), float16, of about unit variance (scaled).
        first: First frames (N, 3, 128, 128), uint8.
        fps: Frames a second (N,), whole numbers as float32.
        bucket: Motion buckets (N,), float32.
    """

    latents: Tensor
    first: Tensor
    fps: Tensor
    bucket: Tensor

    @staticmethod
    def build(
        vae: AutoencoderKLTemporalDecoder, count: int, seed: int, device: torch.device
    ) -> "Clips":
        """Draws scenes from a seed, films each at a rate of its own and encodes the frames.

        Args:
            vae: The temporal autoencoder, on `device`.
            count: Number of clips.
            seed: Seed of scenes and rates.
            device: Where to.

        Raises:
            FloatingPointError: The autoencoder gave latents that are not finite.
        """
        rng = np.random.default_rng([seed, 1])
        rates = torch.from_numpy(rng.integers(FPS[0], FPS[1] + 1, count)).float().to(device)
        latents, first, buckets = [], [], []
        chunk = 64 if device.type == "cuda" else 4
        for start in range(0, count, chunk):
            size = min(chunk, count - start)
            scenes = encode(sample_scenes(size, seed, first=start)).to(device)
            times = frame_times(rates[start : start + size])
            frames = (render(scenes, times, SIDE, SIDE) * 255).round()
            pictures = frames.flatten(0, 1) / 127.5 - 1
            scaled = encode_pictures(vae, pictures) * vae.config.scaling_factor
            latents.append(scaled.unflatten(0, (size, FRAMES)).half())
            first.append(frames[:, 0].byte())
            buckets.append(motion_bucket(motion_speed(scenes)))
        clips = Clips(torch.cat(latents), torch.cat(first), rates, torch.cat(buckets))
        if not bool(clips.latents.isfinite().all()):
            raise FloatingPointError(
                "the temporal autoencoder gave latents that are not finite: its training has "
                "failed; look at its figures and train it anew"
            )
        return clips


def frame_times(fps: Tensor) -> Tensor:
    """Seconds (B, 14) of a clip's frames at rates (B,) in frames a second."""
    return torch.arange(FRAMES, device=fps.device) / fps[:, None]


@dataclass(frozen=True)
class Condition:
    """What the network is told of B clips, in the forms that the pipeline gives it.

    Attributes:
        embedding: The first frame's token (B, 1, 64).
        latents: The first frame's latents (B, 4, 16, 16), unscaled.
        ids: `fps − 1`, motion bucket and noise on the first frame (B, 3).
    """

    embedding: Tensor
    latents: Tensor
    ids: Tensor


def condition(
    vae: AutoencoderKLTemporalDecoder,
    image_encoder: CLIPVisionModelWithProjection,
    first: Tensor,
    fps: Tensor,
    bucket: Tensor,
    strength: Tensor,
) -> Condition:
    """Makes the conditioning of the pipeline's conditional branch.

    Args:
        vae: The temporal autoencoder.
        image_encoder: The CLIP picture tower.
        first: First frames uint8 (B, 3, 128, 128).
        fps: Frames a second (B,).
        bucket: Motion buckets (B,).
        strength: Standard deviation of the noise on the first frames (B,), in [-1, 1] pixels.
    """
    pixels = first.float()
    embedding = image_encoder(clip_pixels(pixels / 255)).image_embeds[:, None]
    noise = strength[:, None, None, None] * torch.randn_like(pixels)
    latents = encode_pictures(vae, pixels / 127.5 - 1 + noise)
    return Condition(embedding, latents, torch.stack((fps - 1, bucket, strength), 1))


def velocity(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The network's target for clean + sigma · noise, which the scheduler turns into the clean."""
    return (noise - sigma * clean) / (sigma.square() + 1).sqrt()


class Denoising:
    """The loss: draws clips from a pool and asks for the velocity at a random noise level.

    Args:
        unet: An `UNetSpatioTemporalConditionModel`.
        image_encoder: The CLIP picture tower, trained along with it.
        vae: The frozen autoencoder.
        clips: The pool.
        batch: Clips a step.
    """

    def __init__(
        self,
        unet: UNetSpatioTemporalConditionModel,
        image_encoder: CLIPVisionModelWithProjection,
        vae: AutoencoderKLTemporalDecoder,
        clips: Clips,
        batch: int,
    ) -> None:
        self.unet, self.image_encoder, self.vae = unet, image_encoder, vae
        self.clips, self.batch = clips, batch

    def __call__(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the loss, and apart the part of it that noise levels above 2 have."""
        clips, batch, device = self.clips, self.batch, self.clips.latents.device
        index = torch.randint(len(clips.latents), (batch,), device=device)
        clean = clips.latents[index].float()
        sigma = (NOISE[0] + NOISE[1] * torch.randn(batch, device=device)).exp()
        strength = (FRAME_NOISE[0] + FRAME_NOISE[1] * torch.randn(batch, device=device)).exp()
        kept = (torch.rand(batch, device=device) >= DROPPED).float()
        with autocast(device):
            given = condition(
                self.vae,
                self.image_encoder,
                clips.first[index],
                clips.fps[index],
                clips.bucket[index],
                strength,
            )
            level = sigma[:, None, None, None, None]
            noise = torch.randn_like(clean)
            seen = (clean + level * noise) / (level.square() + 1).sqrt()
            first = (given.latents * kept[:, None, None, None])[:, None].expand_as(clean)
            predicted = self.unet(
                torch.cat((seen, first), 2),
                0.25 * sigma.log(),
                encoder_hidden_states=given.embedding * kept[:, None, None],
                added_time_ids=given.ids,
                return_dict=False,
            )[0]
        error = (predicted.float() - velocity(clean, noise, level)).square().mean((1, 2, 3, 4))
        coarse = (sigma > 2).float()
        return error.mean(), {"coarse": (error * coarse).sum() / coarse.sum().clamp(min=1)}


def assemble(
    unet: UNetSpatioTemporalConditionModel,
    image_encoder: CLIPVisionModelWithProjection,
    vae_folder: Path,
    folder: Path,
) -> None:
    """Writes the pipeline's folder: float16 safetensors in the layout of diffusers.

    The autoencoder's files are taken as they are, from wherever they lie; they may lie in the
    folder that is written.

    Args:
        unet: The trained network.
        image_encoder: The trained CLIP tower.
        vae_folder: The autoencoder.
        folder: Where to.

    Raises:
        ValueError: A tensor holds what half precision cannot: the training has diverged.
    """
    pipeline = StableVideoDiffusionPipeline(
        vae=AutoencoderKLTemporalDecoder.from_pretrained(vae_folder),
        image_encoder=image_encoder,
        unet=unet,
        scheduler=EulerDiscreteScheduler(**SCHEDULER),
        feature_extractor=CLIPImageProcessor(),
    )
    if vae_folder != folder / "vae":
        shutil.copytree(vae_folder, folder / "vae", dirs_exist_ok=True)
    save_pretrained_fp16(unet, folder / "unet")
    save_pretrained_fp16(image_encoder, folder / "image_encoder")
    pipeline.scheduler.save_pretrained(folder / "scheduler")
    pipeline.feature_extractor.save_pretrained(folder / "feature_extractor")
    pipeline.save_config(folder)


def train(settings: Settings) -> None:
    """Trains the pipeline's two networks, writes its folder, and measures it on held-out scenes.

    Writes `weights/image_to_video/`, `image_to_video.json` with held-out figures, and 16 clips as
    `image_to_video.png` and `.mp4` below `settings.out`.

    Raises:
        FileNotFoundError: The temporal autoencoder did not come in time.
    """
    started = time.monotonic()
    device, gpu = settings.device, settings.device.type == "cuda"
    torch.backends.cudnn.benchmark = True  # every shape is fixed and seen before the capture
    vae_folder = find_autoencoder(
        settings.out, FOLDER, "temporal_autoencoder", patience=settings.seconds if gpu else 0.0
    )
    vae = AutoencoderKLTemporalDecoder.from_pretrained(vae_folder)
    vae = vae.to(device, torch.float32).eval().requires_grad_(requires_grad=False)
    batch = settings.batch or BATCH
    count = min(CLIPS, batch * (settings.steps or STEPS))
    clips = Clips.build(vae, count, settings.seed, device)
    torch.manual_seed(settings.seed)
    unet = UNetSpatioTemporalConditionModel(**UNET).to(device)
    image_encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**IMAGE_ENCODER)).to(device)
    preparation = time.monotonic() - started
    print(f"image_to_video: {vae_folder}, {count} clips encoded, {preparation:.0f} s", flush=True)
    training = Training(
        "image_to_video",
        {"unet": unet, "image_encoder": image_encoder},
        Denoising(unet, image_encoder, vae, clips, batch),
        replace(settings, seconds=max(1.0, settings.seconds - preparation)),
        steps=STEPS,
    )
    training.run()
    training.averaged()
    folder = settings.out / "weights" / FOLDER
    assemble(unet, image_encoder, vae_folder, folder)
    # Read back: what is measured is what is shipped, rounded to half precision.
    pipeline = StableVideoDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline = pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    shown, measured = (16, 32) if gpu else (1, 1)  # on a CPU training is a trial of the code
    held_out = settings.seed + HELD_OUT
    pictures = first_frames(sample_scenes(shown, held_out + 1))
    write_sheet(animate(pipeline, pictures, bucket=127, seed=held_out), settings.out)
    figures = {
        f"guidance {guidance:g}": held_out_figures(pipeline, measured, held_out, guidance)
        for guidance in ((1.0, 2.0) if gpu else (1.0,))
    }
    save_json(settings.out / "image_to_video.json", figures)
    print(f"image_to_video: {json.dumps(figures)}", flush=True)
