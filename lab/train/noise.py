"""The noise that pictures are drawn out of, for the pipelines that sample by DDIM."""

from typing import Any, Final

import torch
from torch import Tensor

SCHEDULER: Final[dict[str, Any]] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "rescale_betas_zero_snr": True,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",  # the first step is then the one of pure noise
    "clip_sample": False,
}
"""Of a `DDIMScheduler`. It predicts velocity and ends at pure noise (Lin et al. 2023,
arXiv:2305.08891): a schedule that does not betrays the mean brightness in training. It samples
exactly in numbers of steps that divide 1000 (10, 20, 25, 40, 50)."""


def random_steps(batch: int, device: torch.device) -> Tensor:
    """Time steps (B,), int64: one at random in each of B equal parts of all steps.

    Spread evenly over the batch they make a loss less noisy than B independent ones would.
    """
    total: int = SCHEDULER["num_train_timesteps"]
    at = (torch.arange(batch, device=device) + torch.rand(batch, device=device)) / batch
    return (at * total).long().clamp(max=total - 1)
