"""Trains the autoencoder of the miniature image-to-video model.

It is an `AutoencoderKLTemporalDecoder`, as Stable Video Diffusion's: frames are encoded one by one
and decoded together. It learns in two phases, as that model's did. First it learns pictures, each a
clip of one frame. Then the encoder stays as it is, and the decoder learns clips.

The decoder pads with nothing in time, so what it learns at the ends of a clip differs from what it
learns within, and from what a lone frame needs. In the second phase it therefore sees clips of
several lengths, and their first and last frames count double.
"""

from dataclasses import replace
from typing import Any, Final

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import Tensor, nn

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
PICTURES: Final = 48
"""Lone pictures a step of the first phase."""
BATCH: Final = 1
"""Sets of clips a step of the second phase."""
PICTURE_STEPS: Final = 9_000
CLIP_STEPS: Final = 3_000
PICTURE_SHARE: Final = 0.6
"""Share of the time that the first phase takes."""
PICTURE_RATE: Final = 4e-3
"""Peak learning rate of the first phase. With so few channels a group the usual 1e-3 leaves colours
unlearnt for long: 32 pictures a step, it reached 20.6 dB after 400 steps, 4e-3 reached 22.5 dB."""
CLIP_RATE: Final = 1e-3
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
    drawn = sets * (settings.steps or CLIP_STEPS)
    scenes = encode(sample_scenes(min(SCENES, 8 * drawn), settings.seed)).to(device)
    vae = AutoencoderKLTemporalDecoder(**VAE)
    start_with_little_noise(vae)
    start_blind_in_time(vae)
    steps = train_on_pictures(vae, scenes, settings) + train_on_clips(vae, scenes, sets, settings)
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
        {"bytes": size, "steps": steps, **figures, **latents},
    )
    rows = [row for clip in clips[:4] for row in (clip, reconstruct(shipped, clip))]
    save_sheet(settings.out / "temporal_autoencoder.png", [(row + 1) / 2 for row in rows])
    print(f"temporal_autoencoder: {figures}", flush=True)


def start_blind_in_time(vae: AutoencoderKLTemporalDecoder) -> None:
    """Makes an untrained decoder's frames independent of one another.

    The kernels in time begin as nothing but their middle, and the last of them hands its colours
    on. Lone frames teach the outer parts nothing, so that a clip still decodes frame by frame after
    the first phase, but for the norms in time.
    """
    with torch.no_grad():
        for module in vae.decoder.modules():
            if isinstance(module, nn.Conv3d) and module.kernel_size[0] == 3:
                module.weight[:, :, 0] = 0
                module.weight[:, :, 2] = 0
        last = vae.decoder.time_conv_out
        last.weight[:, :, 1, 0, 0] = torch.eye(last.out_channels)
        last.bias.zero_()


def train_on_pictures(
    vae: AutoencoderKLTemporalDecoder, scenes: SceneBatch, settings: Settings
) -> int:
    """The first phase: trains the whole autoencoder on lone frames.

    Args:
        vae: The autoencoder; it is moved to the device and ends with its averaged weights.
        scenes: Scenes to draw from, on the device.
        settings: The training's; a share of its time and all of its steps.

    Returns:
        Steps made.
    """

    def loss() -> tuple[Tensor, dict[str, Tensor]]:
        pictures = film(scenes, PICTURES if settings.batch is None else settings.batch, 1)[:, 0]
        # Not in bfloat16: its group norms go by float32, and the casts cost more than they save.
        posterior = vae.encode(pictures).latent_dist
        decoded = vae.decode(posterior.sample(), num_frames=1).sample
        latent = latent_loss(posterior)
        wrong = reconstruction_loss(decoded, pictures).mean()
        return wrong + latent, {"latent": latent, "psnr": psnr(decoded.detach(), pictures).mean()}

    training = Training(
        "temporal_autoencoder_pictures",
        {"vae": vae},
        loss,
        replace(settings, seconds=PICTURE_SHARE * settings.seconds),
        steps=PICTURE_STEPS,
        lr=PICTURE_RATE,
    )
    training.run()
    training.averaged()
    return training.step


def train_on_clips(
    vae: AutoencoderKLTemporalDecoder, scenes: SceneBatch, sets: int, settings: Settings
) -> int:
    """The second phase: trains the decoder on clips of several lengths.

    Args:
        vae: The autoencoder after the first phase; its decoder ends with its averaged weights.
        scenes: Scenes to draw from, on the device.
        sets: Sets of clips a step.
        settings: The training's; the rest of its time and all of its steps.

    Returns:
        Steps made.
    """
    weights = {length: end_weights(length, settings.device) for length, _ in LENGTHS}
    total = sum(length * count for length, count in LENGTHS)

    def loss() -> tuple[Tensor, dict[str, Tensor]]:
        clips = [film(scenes, sets * count, length) for length, count in LENGTHS]
        with torch.no_grad():
            posterior = vae.encode(torch.cat([clip.flatten(0, 1) for clip in clips])).latent_dist
        parts = posterior.sample().split([clip.shape[0] * clip.shape[1] for clip in clips])
        wrong = torch.zeros((), device=settings.device)
        values = {}
        for clip, latents in zip(clips, parts, strict=True):
            length = clip.shape[1]
            decoded = vae.decode(latents, num_frames=length).sample.unflatten(0, clip.shape[:2])
            share = len(latents) / (sets * total)
            wrong = wrong + clip_loss(decoded, clip, weights[length]) * share
            values[f"psnr_{length}"] = psnr(
                decoded.detach().flatten(0, 1), clip.flatten(0, 1)
            ).mean()
        return wrong, values

    training = Training(
        "temporal_autoencoder_clips",
        {"decoder": vae.decoder},
        loss,
        replace(settings, seconds=(1 - PICTURE_SHARE) * settings.seconds),
        steps=CLIP_STEPS,
        lr=CLIP_RATE,
    )
    training.run()
    training.averaged()
    return training.step


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
