"""What the LaVie family takes over from Stable Diffusion 1.4: text encoder and autoencoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from mora.checkpoints.tensors import WeightsError


@dataclass(frozen=True)
class Posterior:
    """The autoencoder's distribution over the latents of N pictures, scaled to unit variance.

    Attributes:
        mean: float32 (N, 4, h, w).
        deviation: Standard deviation, of the same shape.
    """

    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class StableDiffusion:
    """Text encoder and autoencoder in memory.

    Attributes:
        tokenizer: CLIP's.
        text_encoder: CLIP ViT-L/14's text tower, or a smaller one of the class.
        vae: The autoencoder; a latent stands for a square of pixels, of side 8 in Stable Diffusion.
        chunk: Pictures that the autoencoder takes at once.
    """

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    chunk: int

    @classmethod
    def load(
        cls,
        source: str,
        device: torch.device,
        dtype: torch.dtype,
        *,
        chunk: int,
        revision: str | None = None,
        variant: str | None = None,
    ) -> Self:
        """Loads the folders `tokenizer`, `text_encoder` and `vae` of a pipeline of diffusers.

        Args:
            source: A local folder, or with a `revision` a repository of the hub.
            device: Where to.
            dtype: Precision of weights and arithmetic.
            chunk: Pictures that the autoencoder takes at once.
            revision: Commit on the hub.
            variant: Variant of the weight files.

        Raises:
            WeightsError: A part is missing or cannot be read.
        """
        where: dict[str, Any] = {"revision": revision, "local_files_only": revision is None}
        networks = where | {"variant": variant, "dtype": dtype, "use_safetensors": True}
        try:
            tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer", **where)
            text_encoder = CLIPTextModel.from_pretrained(
                source, subfolder="text_encoder", **networks
            )
            vae = AutoencoderKL.from_pretrained(source, subfolder="vae", **networks)
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"{source}: expected the folders tokenizer, text_encoder and vae of Stable "
                f"Diffusion: {' '.join(str(error).split())}"
            ) from error
        for network in (text_encoder, vae):
            network.to(device).eval().requires_grad_(requires_grad=False)
        return cls(tokenizer, text_encoder, vae, chunk)

    @property
    def cell(self) -> int:
        """Pixels along the side of a latent."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Encodes texts, of which what goes beyond the tower's 77 tokens is cut off.

        Args:
            texts: B texts.

        Returns:
            The last hidden states after the final norm, (B, 77, width), in the tower's precision.
        """
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.text_encoder.config.max_position_embeddings,
            truncation=True,
            return_tensors="pt",
        )
        states: Tensor = self.text_encoder(
            tokens.input_ids.to(self.text_encoder.device)
        ).last_hidden_state
        return states

    def encode(self, pictures: Tensor) -> Posterior:
        """Encodes pictures (N, 3, H, W) in [-1, 1], whose sides are multiples of `cell`."""
        vae, scale = self.vae, self.vae.config.scaling_factor
        parts = [
            vae.encode(part.to(vae.device, vae.dtype)).latent_dist
            for part in pictures.split(self.chunk)
        ]
        return Posterior(
            scale * torch.cat([part.mean.float() for part in parts]),
            scale * torch.cat([part.std.float() for part in parts]),
        )

    def decode(self, latents: Tensor) -> Tensor:
        """Decodes latents of a clip (4, F, h, w), scaled, to float32 pixels on the CPU.

        Returns:
            (F, 3, H, W) in [-1, 1], up to what the decoder overshoots.
        """
        vae = self.vae
        frames = (latents.transpose(0, 1) / vae.config.scaling_factor).to(vae.dtype)
        return torch.cat(
            [
                vae.decode(part, return_dict=False)[0].float().cpu()
                for part in frames.split(self.chunk)
            ]
        )
