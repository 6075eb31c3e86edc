"""SEINE: makes the frames of a clip that are not given.

Source: Chen et al., "SEINE: Short-to-Long Video Diffusion Model for Generative Transition and
Prediction", arXiv 2310.20700. What is given decides the task: a frame at each end is a transition,
the first frame alone sets a picture in motion.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from mora.models.lavie.mask import mask
from mora.models.lavie.sampling import Schedule, guided, sample
from mora.models.lavie.stable_diffusion import Posterior, StableDiffusion
from mora.models.lavie.unet import UNet


@dataclass(frozen=True)
class Seine:
    """SEINE in memory.

    Attributes:
        unet: Its own network.
        stable_diffusion: Text encoder and autoencoder.
    """

    unet: UNet
    stable_diffusion: StableDiffusion

    @property
    def device(self) -> torch.device:
        """Where its networks are."""
        return self.unet.conv_in.weight.device

    @torch.inference_mode()
    def fill(
        self,
        first: Tensor,
        last: Tensor,
        texts: Sequence[str],
        negative_text: str,
        *,
        frames: int,
        schedule: Schedule,
        guidance: float,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """Makes clips around given frames.

        Given frames come back as the autoencoder renders them, not bit for bit.

        Args:
            first: Frames given at each clip's start, uint8 (B, K, 3, H, W).
            last: Frames given at its end, uint8 (B, L, 3, H, W); K + L is at least 1. H and W are
                multiples of the autoencoder's cell, 8 in Stable Diffusion.
            texts: What each clip shows.
            negative_text: What guidance leads away from.
            frames: Frames of a clip, at least K + L.
            schedule: Levels of the sampling.
            guidance: 1 follows the text and leaves the negative one unread.
            generators: One for each clip, on the CPU. It gives the noise that the clip begins with,
                then that of the given frames' latents, then that of ancestral steps.

        Returns:
            uint8 (B, frames, 3, H, W), on the CPU.

        Raises:
            ValueError: More frames are given than there are, or the values are not finite.
        """
        parts = self.stable_diffusion
        made = mask(frames, first.shape[1], last.shape[1])
        posterior = self._posterior(first, last, frames)
        shape, drawn = posterior.mean.shape, list(generators)
        noise = randn_tensor(shape, drawn, posterior.mean.device, torch.float32)
        spread = randn_tensor(shape, drawn, posterior.mean.device, torch.float32)
        given = posterior.mean + posterior.deviation * spread
        where = made.to(given.device)[:, None, None].expand_as(given[:, :1])
        predict = guided(
            self.unet,
            torch.cat((where, given), dim=1),
            parts.embed(texts),
            parts.embed([negative_text] * len(texts)),
            guidance,
        )
        latents = sample(predict, schedule, noise, drawn)
        return torch.stack([_levels(parts.decode(clip)) for clip in latents])

    def _posterior(self, first: Tensor, last: Tensor, frames: int) -> Posterior:
        """The latents of the clips whose frames to be made are mid grey, (B, 4, F, h, w)."""
        count, ends = first.shape[1], first.shape[1] + last.shape[1]
        given = torch.cat((first, last), dim=1).float() / 127.5 - 1
        # All grey frames have one posterior: it is computed once, and drawn from for each.
        pictures = torch.cat((given.flatten(0, 1), torch.zeros_like(given[0, :1])))
        encoded = self.stable_diffusion.encode(pictures)

        def clips(values: Tensor) -> Tensor:
            known = values[:-1].unflatten(0, (len(given), ends))
            grey = values[-1].expand(len(given), frames - ends, *values.shape[1:])
            return torch.cat((known[:, :count], grey, known[:, count:]), dim=1).transpose(1, 2)

        return Posterior(clips(encoded.mean), clips(encoded.deviation))


def _levels(pixels: Tensor) -> Tensor:
    """Pixels in [-1, 1] as uint8."""
    if not bool(pixels.isfinite().all()):
        raise ValueError("SEINE gave values that are not finite; in float16, try dtype=float32")
    return ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().byte()
