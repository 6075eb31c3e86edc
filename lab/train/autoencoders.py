"""What the two autoencoders share: the loss, the latents' scale, the figures, and where they lie.

Both turn 128 × 128 pictures into 16 × 16 latents of four channels, as those of SDXL and of Stable
Video Diffusion do. Pictures are in [-1, 1] throughout, as the libraries have them.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.world.scene import STYLE_NAMES
from mora.checkpoints import mini_weights

SIDE: Final = 128
FACTOR: Final = 8
"""Pixels along the side of a latent's cell."""
LATENT_CHANNELS: Final = 4

EDGES: Final = 0.5
COLOURS: Final = 1.0
DIVERGENCE: Final = 0.01

HELD_OUT: Final = 900_000
"""Added to the seed for scenes that training never sees."""


def start_with_little_noise(vae: Any) -> None:
    """Makes an untrained autoencoder's posteriors narrow.

    By default they have the prior's width at first. A decoder that is shown little but noise learns
    nothing, until the encoder has learnt to be less uncertain.

    Args:
        vae: `AutoencoderKL` or `AutoencoderKLTemporalDecoder`.
    """
    with torch.no_grad():
        vae.quant_conv.bias[LATENT_CHANNELS:] = -4.0  # the logarithms of the variances


def reconstruction_loss(decoded: Tensor, pictures: Tensor) -> Tensor:
    """What a decoder got wrong in each picture.

    The sum of the mean squared and the mean absolute error, of the latter for differences of
    neighbouring pixels, which keeps edges sharp, and for means of 8 × 8 pixels, which keeps flat
    colours true: an error of one level all over the ground is small in each pixel and yet seen.

    Args:
        decoded: Decoded pictures (N, 3, H, W).
        pictures: The true ones, of the same shape.

    Returns:
        Losses (N,).
    """
    error = decoded - pictures
    axes = (1, 2, 3)
    across = (error[..., 1:] - error[..., :-1]).abs().mean(axes)
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean(axes)
    cells = F.avg_pool2d(error, FACTOR).abs().mean(axes)
    pixels = error.square().mean(axes) + error.abs().mean(axes)
    return pixels + EDGES * (across + down) + COLOURS * cells


def latent_loss(posterior: Any) -> Tensor:
    """What is wrong with latents as something for a diffusion model to draw.

    The mean divergence of the posteriors from the unit normal distribution, small enough to cost
    little detail, makes near-by latents decode alike. The same divergence of each channel's
    distribution over the whole batch gives all channels mean 0 and variance 1, so that the one
    scaling factor that the libraries know suits them all.

    Args:
        posterior: `DiagonalGaussianDistribution` of diffusers over N pictures.

    Returns:
        The loss, a scalar.
    """
    mean, variance = posterior.mean, posterior.var
    each = 0.5 * (mean.square() + variance - 1 - posterior.logvar).mean()
    channel_mean = mean.mean((0, 2, 3))
    channel_variance = mean.var((0, 2, 3)) + variance.mean((0, 2, 3))
    every = 0.5 * (channel_mean.square() + channel_variance - 1 - channel_variance.log()).mean()
    return DIVERGENCE * (each + every)


def latent_scale(modes: Iterable[Tensor]) -> tuple[float, float]:
    """Measures latents.

    Args:
        modes: Posteriors' modes (N, C, h, w), in parts.

    Returns:
        The scaling factor, 1 over the standard deviation of all values, and the mean of the
        channel that is farthest from 0.
    """
    latents = torch.cat([part.detach().float().cpu() for part in modes])
    channels = latents.mean((0, 2, 3))
    return 1 / float(latents.std()), float(channels[channels.abs().argmax()])


def psnr(decoded: Tensor, pictures: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures (N, 3, H, W) in [-1, 1], in dB (N,).

    Decoded pictures are clipped and rounded to 8 bits first, as they are when they are written.
    """
    decoded = (decoded.clamp(-1, 1) * 127.5).round() / 127.5
    error = ((decoded - pictures) / 2).square().mean((1, 2, 3)).clamp(min=1e-10)
    return -10 * error.log10()


def picture_figures(decoded: Tensor, pictures: Tensor, styles: Tensor) -> dict[str, object]:
    """Says how true decoded pictures are.

    Args:
        decoded: Decoded pictures (N, 3, H, W).
        pictures: The true ones, of the same shape.
        styles: Labels of their styles (N,).

    Returns:
        `psnr`, the mean in dB; `psnr_lowest_tenth`, the mean of the worst tenth; `psnr_by_style`;
        `colour_shift`, the mean absolute error of a picture's mean colour, in levels of 255;
        `sharpness`, the root mean square difference of neighbouring pixels relative to the true
        pictures' (their mean difference would be blind to a blur, which makes an edge wide, but
        not less high).
    """
    decoded, pictures, styles = decoded.clamp(-1, 1).cpu(), pictures.cpu(), styles.cpu()
    ratios = psnr(decoded, pictures)
    worst = ratios.sort().values[: max(1, len(ratios) // 10)]
    shift = (decoded - pictures).mean((2, 3)).abs().mean() * 127.5
    return {
        "pictures": len(pictures),
        "psnr": float(ratios.mean()),
        "psnr_lowest_tenth": float(worst.mean()),
        "psnr_by_style": {
            name: float(ratios[styles == label].mean())
            for label, name in enumerate(STYLE_NAMES)
            if (styles == label).any()
        },
        "colour_shift": float(shift),
        "sharpness": float(_contrast(decoded) / _contrast(pictures)),
    }


def find_autoencoder(out: Path, folder: str, trainer: str, patience: float) -> Path:
    """Finds the autoencoder on whose latents a diffusion model is to be trained.

    The one below `out` is preferred to the one that is shipped. Where there is neither, its
    training may still be under way.

    Args:
        out: Folder that the trainings write to.
        folder: Folder of the diffusion model below the weights; the autoencoder is its `vae`.
        trainer: Name of the autoencoder's training, for the message.
        patience: Seconds to wait for it.

    Returns:
        Folder with `config.json` and the weights.

    Raises:
        FileNotFoundError: It did not come in time.
    """
    places: Sequence[Path] = [root / folder / "vae" for root in (out / "weights", mini_weights())]
    end = time.monotonic() + patience
    while True:
        for place in places:
            if (place / "config.json").is_file() and any(place.glob("*.safetensors")):
                return place
        if time.monotonic() > end:
            raise FileNotFoundError(
                f"no autoencoder in {places[0]} or {places[1]} after {patience:.0f} s. The "
                f"diffusion model {folder} is trained on its latents: run "
                f"`python -m lab.train {trainer} --out {out}` first."
            )
        time.sleep(1.0)


def _contrast(pictures: Tensor) -> Tensor:
    across, down = pictures.diff(dim=-1), pictures.diff(dim=-2)
    return (across.square().mean() + down.square().mean()).sqrt()
