"""Sampling of the LaVie family: which noise levels are visited, and the loop over them.

All three models were trained with 1000 levels whose betas grow linearly. SEINE and LaVie's
interpolation make a shorter process out of levels that they keep ("respaced", Nichol and Dhariwal,
"Improved Denoising Diffusion Probabilistic Models", section 4, arXiv 2102.09672); LaVie's base
model strides over all 1000. The arithmetic of a step is that of diffusers' schedulers.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, repeat
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler
from numpy.typing import NDArray
from torch import Tensor

LEVELS: Final = 1000
"""Noise levels of the training."""
BETAS: Final = (1e-4, 0.02)
"""First and last beta of the training; between them they grow linearly."""


class Schedule(NamedTuple):
    """How a sampling goes through the noise levels. Good for one sampling: schedulers count steps.

    Attributes:
        scheduler: A scheduler of diffusers whose timesteps are set.
        timesteps: What the network is told at each of the scheduler's timesteps: a level of the
            training.
    """

    scheduler: Any
    timesteps: tuple[float, ...]


def signal() -> NDArray[np.float64]:
    """Returns the share of the clean latents' variance at each level, (1000,), falling from 1."""
    kept: NDArray[np.float64] = np.cumprod(1 - np.linspace(*BETAS, LEVELS), dtype=np.float64)
    return kept


def kept_levels(steps: int) -> tuple[int, ...]:
    """Returns the levels that a respaced process keeps, ascending from 0 to 999.

    Args:
        steps: How many; at least 2 and at most 1000.
    """
    # A sum that runs, as in the reference: where a level falls between two, its rounding decides.
    stride = (LEVELS - 1) / (steps - 1)
    return tuple(round(place) for place in accumulate(repeat(stride, steps - 1), initial=0.0))


def respaced(sampler: Literal["ddpm", "ddim"], steps: int) -> Schedule:
    """A process of `steps` levels, whose betas follow from the signal at the levels it keeps.

    Args:
        sampler: `ddpm` is ancestral, with the betas as variances ("fixed large"); `ddim` draws no
            noise.
        steps: Levels, 2 to 1000.
    """
    levels = kept_levels(steps)
    kept = signal()[list(levels)]
    betas = 1 - kept / np.concatenate(([1.0], kept[:-1]))
    shared = {"num_train_timesteps": steps, "trained_betas": betas, "clip_sample": False}
    scheduler = (
        DDPMScheduler(**shared, variance_type="fixed_large")
        if sampler == "ddpm"
        else DDIMScheduler(**shared, set_alpha_to_one=True)
    )
    scheduler.set_timesteps(steps)
    return Schedule(scheduler, levels[::-1])


def strided(sampler: Literal["ddpm", "ddim", "euler"], steps: int) -> Schedule:
    """Steps of equal length over all 1000 levels, as LaVie's base model samples.

    Args:
        sampler: `ddpm` is ancestral ("fixed small" variances); `ddim` and `euler` draw no noise.
        steps: Steps, 1 to 1000.
    """
    shared = {"beta_start": BETAS[0], "beta_end": BETAS[1], "beta_schedule": "linear"}
    scheduler: Any
    match sampler:
        case "ddpm":
            scheduler = DDPMScheduler(
                **shared, clip_sample=False, timestep_spacing="leading", steps_offset=0
            )
        case "ddim":
            scheduler = DDIMScheduler(
                **shared,
                clip_sample=False,
                timestep_spacing="leading",
                steps_offset=1,
                set_alpha_to_one=False,
            )
        case "euler":
            scheduler = EulerDiscreteScheduler(**shared, timestep_spacing="linspace")
    scheduler.set_timesteps(steps)
    return Schedule(scheduler, tuple(scheduler.timesteps.tolist()))


def guided(
    network: Callable[[Tensor, Tensor, Tensor], Tensor],
    condition: Tensor | None,
    text: Tensor,
    negative: Tensor,
    scale: float,
) -> Callable[[Tensor, float], Tensor]:
    """Classifier-free guidance: what `sample` asks for the noise.

    The network sees both texts in one batch of twice the size (Ho and Salimans, arXiv 2207.12598).

    Args:
        network: Takes latents (N, channels, F, h, w), timesteps (N,) and text, and predicts the
            noise.
        condition: Channels that follow the latents' own, (B, channels, F, h, w).
        text: Tokens (B, words, width), in the network's precision.
        negative: Tokens of what is led away from, of the same shape.
        scale: 1 follows the text and leaves the other unread; more goes beyond it.

    Returns:
        Predicts the noise, float32, in latents (B, 4, F, h, w) at a level.
    """
    texts = text if scale == 1 else torch.cat((text, negative))

    def predict(latents: Tensor, timestep: float) -> Tensor:
        seen = latents if condition is None else torch.cat((latents, condition), dim=1)
        seen = seen.repeat(len(texts) // len(text), 1, 1, 1, 1).to(text.dtype)
        timesteps = torch.full((len(seen),), timestep, device=seen.device)
        noise = network(seen, timesteps, texts).float()
        if scale == 1:
            return noise
        towards, away = noise.chunk(2)
        return away + scale * (towards - away)

    return predict


def sample(
    predict: Callable[[Tensor, float], Tensor],
    schedule: Schedule,
    noise: Tensor,
    generators: Sequence[torch.Generator] | None = None,
) -> Tensor:
    """Turns noise into latents, step by step.

    Args:
        predict: The noise in latents at a level, both float32 and of one shape.
        schedule: Which levels.
        noise: Where it begins, unit normal, float32 (B, 4, F, h, w).
        generators: One for each of the batch, on the CPU, which give the noise of ancestral steps;
            samplers without noise need none.

    Returns:
        float32 latents (B, 4, F, h, w), at the autoencoder's scaled size.
    """
    scheduler = schedule.scheduler
    latents = noise * scheduler.init_noise_sigma
    drawn = None if generators is None else list(generators)
    for index, timestep in zip(scheduler.timesteps, schedule.timesteps, strict=True):
        seen = scheduler.scale_model_input(latents, index)
        predicted = predict(seen, timestep)
        latents = scheduler.step(predicted, index, latents, generator=drawn).prev_sample
    return latents
