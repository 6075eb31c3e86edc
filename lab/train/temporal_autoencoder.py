"""Trains the autoencoder of the miniature image-to-video model.

It is an `AutoencoderKLTemporalDecoder`, as Stable Video Diffusion's: frames are encoded one by one
and decoded together. Its decoder pads with nothing in time, so what it learns at the ends of a clip
differs from what it learns within, and from what a lone frame needs. It therefore sees clips of
several lengths, and their first and last frames count double.
"""

from typing import Any, Final

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import Tensor

from lab.train.autoencoders import (
    HELD_OUT,
    LATENT_CHANNELS,
    SIDE,
    latent_loss,
    latent_scale,
    picture_figures,
    psnr,
    reconstruction_loss,
    start_with_little_noise,
)
from lab.train.export import save_json, save_pretrained_fp16, save_sheet
from lab.train.loop import Settings, Training
from lab.world.render import render
from lab.world.scene import SceneBatch, encode, sample_scenes

FOLDER: Final = "image_to_video/vae"
"""Where the weights lie below the folder of all weights."""

FRAMES: Final = 14
FPS: Final = (5.0, 10.0)
"""Slowest and fastest rate of the clips it learns from, in frames a second."""
LENGTHS: Final = ((FRAMES, 2), (5, 1), (1, 3))
"""Lengths of clips in frames, and how many there are of each in one set."""
ENDS: Final = 2.0
"""Weight of a clip's first and last frame; the others have 1."""
FLICKER: Final = 0.5
"""Weight of an error's change from frame to frame."""

SCENES: Final = 16_384
BATCH: Final = 1
"""Sets of clips a step."""
STEPS: Final = 6_000
RATE: Final = 4e-3
"""Peak learning rate. With so few channels a group the usual 1e-3 leaves colours unlearnt for long:
on lone pictures, 32 a step, it reached 20.6 dB after 400 steps, 4e-3 reached 22.5 dB."""
CLIPS: Final = 48
"""Held-out clips that figures are taken on, and training clips that the scale is."""

VAE: Final[dict[str, Any]] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    # The class normalises in 32 groups. With 32 channels each would be a group of its own, and the
    # last norm of the encoder (64 here, the last) and of the decoder (64, the first) would take
    # away every channel's mean: the very thing that says how bright and of what colour a frame is.
    "block_out_channels": (64, 32, 32, 64),
    "layers_per_block": 1,
    "latent_channels": LATENT_CHANNELS,
    "sample_size": SIDE,
}


def train(settings: Settings) -> None:
    """Trains the autoencoder, writes it and measures it on held-out clips.

    Writes `weights/image_to_video/vae/`, `temporal_autoencoder.json` with figures, and
    `temporal_autoencoder.png`, each clip above its decoded copy, below `settings.out`.
    """
    device = settings.device
    torch.backends.cudnn.benchmark = True  # every shape is fixed and seen before the capture
    sets = settings.batch or BATCH
    drawn = sets * (settings.steps or STEPS)
    scenes = encode(sample_scenes(min(SCENES, 8 * drawn), settings.seed)).to(device)
    vae = AutoencoderKLTemporalDecoder(**VAE)
    start_with_little_noise(vae)
    weights = {length: end_weights(length, device) for length, _ in LENGTHS}

    def loss() -> tuple[Tensor, dict[str, Tensor]]:
        clips = [film(scenes, sets * count, length) for length, count in LENGTHS]
        # Not in bfloat16: its group norms go by float32, and the casts cost more than they save.
        posterior = vae.encode(torch.cat([clip.flatten(0, 1) for clip in clips])).latent_dist
        parts = posterior.sample().split([clip.shape[0] * clip.shape[1] for clip in clips])
        frames = sum(len(part) for part in parts)
        latent = latent_loss(posterior)
        wrong = torch.zeros((), device=device)
        values = {"latent": latent}
        for clip, latents in zip(clips, parts, strict=True):
            length = clip.shape[1]
            decoded = vae.decode(latents, num_frames=length).sample.unflatten(0, clip.shape[:2])
            wrong = wrong + clip_loss(decoded, clip, weights[length]) * (len(latents) / frames)
            error = (decoded - clip).detach() / 2
            values[f"psnr_{length}"] = -10 * error.square().mean().log10()
        return wrong + latent, values

    training = Training("temporal_autoencoder", {"vae": vae}, loss, settings, steps=STEPS, lr=RATE)
    training.run()
    training.averaged()
    count = min(CLIPS, drawn)
    with torch.no_grad():
        seen = film_evenly(scenes[:count])
        factor, offset = latent_scale(vae.encode(clip).latent_dist.mode() for clip in seen)
    vae.register_to_config(scaling_factor=factor)
    size = save_pretrained_fp16(vae, settings.out / "weights" / FOLDER)

    # Read back: what is measured is what is shipped, rounded to half precision.
    folder = settings.out / "weights" / FOLDER
    shipped = AutoencoderKLTemporalDecoder.from_pretrained(folder).to(device).eval()
    unseen = encode(sample_scenes(count, settings.seed + HELD_OUT)).to(device)
    clips = film_evenly(unseen)
    figures = clip_figures(shipped, clips, unseen.style)
    latents = {"scaling_factor": factor, "largest_channel_mean": offset}
    save_json(
        settings.out / "temporal_autoencoder.json",
        {"bytes": size, "steps": training.step, **figures, **latents},
    )
    rows = [row for clip in clips[:4] for row in (clip, reconstruct(shipped, clip))]
    save_sheet(settings.out / "temporal_autoencoder.png", [(row + 1) / 2 for row in rows])
    print(f"temporal_autoencoder: {figures}", flush=True)


def film(scenes: SceneBatch, count: int, length: int) -> Tensor:
    """Draws clips at random of random scenes, each with a rate and a start of its own.

    Args:
        scenes: Scenes to choose from.
        count: Number of clips.
        length: Frames of a clip.

    Returns:
        (count, length, 3, 128, 128) in [-1, 1].
    """
    device = scenes.device
    index = torch.randint(len(scenes), (count,), device=device)
    slowest, fastest = FPS
    rate = slowest + (fastest - slowest) * torch.rand(count, 1, device=device)
    start = torch.rand(count, 1, device=device)
    times = start + torch.arange(length, device=device) / rate
    return 2 * render(scenes[index], times, SIDE, SIDE) - 1


def film_evenly(scenes: SceneBatch, fps: float = 7.0) -> Tensor:
    """Draws one clip of 14 frames of each of N scenes: (N, 14, 3, 128, 128) in [-1, 1]."""
    times = (torch.arange(FRAMES, device=scenes.device) / fps).expand(len(scenes), -1)
    return 2 * render(scenes, times, SIDE, SIDE) - 1


def end_weights(length: int, device: torch.device) -> Tensor:
    """Weights of a clip's frames (length,), of mean 1."""
    weights = torch.ones(length, device=device)
    weights[0] = weights[-1] = ENDS
    return weights / weights.mean()


def clip_loss(decoded: Tensor, clips: Tensor, weights: Tensor) -> Tensor:
    """What a decoder got wrong in clips.

    Args:
        decoded: Decoded clips (N, T, 3, H, W).
        clips: The true ones, of the same shape.
        weights: Weights of the frames (T,), of mean 1.

    Returns:
        The weighted mean over frames of the reconstruction loss, with the mean absolute change of
        the error from frame to frame, which is seen as flicker. A scalar.
    """
    frames = reconstruction_loss(decoded.flatten(0, 1), clips.flatten(0, 1))
    loss = (frames.unflatten(0, clips.shape[:2]) * weights).mean()
    if clips.shape[1] > 1:
        loss = loss + FLICKER * (decoded - clips).diff(dim=1).abs().mean()
    return loss


@torch.no_grad()
def reconstruct(vae: AutoencoderKLTemporalDecoder, frames: Tensor) -> Tensor:
    """Encodes and decodes one clip (T, 3, H, W)."""
    latents = vae.encode(frames).latent_dist.mode()
    decoded: Tensor = vae.decode(latents, num_frames=len(frames)).sample
    return decoded


def clip_figures(
    vae: AutoencoderKLTemporalDecoder, clips: Tensor, styles: Tensor
) -> dict[str, object]:
    """Says how true decoded clips are.

    Args:
        vae: The autoencoder.
        clips: True clips (N, T, 3, H, W), on its device.
        styles: Labels of their styles (N,).

    Returns:
        `picture_figures` over all frames; the mean PSNR of the first, the last and the other
        frames, and of first frames that are decoded alone; and `flicker`, the mean absolute change
        of the error from frame to frame, in levels of 255.
    """
    decoded = torch.stack([reconstruct(vae, clip) for clip in clips])
    alone = torch.cat([reconstruct(vae, clip[:1]) for clip in clips])
    ratios = psnr(decoded.flatten(0, 1), clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
    flicker = (decoded.clamp(-1, 1) - clips).diff(dim=1).abs().mean() * 127.5
    every_style = styles[:, None].expand(clips.shape[:2]).flatten()
    return {
        **picture_figures(decoded.flatten(0, 1), clips.flatten(0, 1), every_style),
        "psnr_first_frame": float(ratios[:, 0].mean()),
        "psnr_last_frame": float(ratios[:, -1].mean()),
        "psnr_inner_frames": float(ratios[:, 1:-1].mean()),
        "psnr_frame_alone": float(psnr(alone, clips[:, 0]).mean()),
        "flicker": float(flicker),
    }
