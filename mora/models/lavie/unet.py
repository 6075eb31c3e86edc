"""The UNet of the LaVie family: predicts the noise in the latents of a clip."""

from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn
from torch.nn import functional as F

from mora.models.lavie.blocks import DownBlock, MiddleBlock, UNetSettings, UpBlock, per_frame


class UNet(nn.Module):
    """Stable Diffusion 1.4's UNet, whose transformers also attend over time.

    The state dict has the names and shapes of the published checkpoints.

    Args:
        settings: Sizes of the network.
    """

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        self.settings = settings
        widths = settings.channels
        coarsest = len(widths) - 1
        self.time_proj = Timesteps(widths[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(widths[0], settings.time_width)
        self.conv_in = nn.Conv2d(settings.in_channels, widths[0], kernel_size=3, padding=1)

        self.down_blocks = nn.ModuleList()
        skips = [widths[0]]
        for level, width in enumerate(widths):
            before = widths[max(level - 1, 0)]
            shrinks = level < coarsest
            self.down_blocks.append(
                DownBlock(before, width, settings, attends=level < coarsest, shrinks=shrinks)
            )
            skips += [width] * (settings.layers + shrinks)
        self.mid_block = MiddleBlock(widths[-1], settings)
        self.up_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            before = widths[min(level + 1, coarsest)]
            taken = [skips.pop() for _ in range(settings.layers + 1)]
            self.up_blocks.append(
                UpBlock(before, width, taken, settings, attends=level < coarsest, grows=level > 0)
            )
        self.conv_norm_out = nn.GroupNorm(settings.groups, widths[0], eps=1e-5)
        self.conv_out = nn.Conv2d(widths[0], settings.out_channels, kernel_size=3, padding=1)

    def forward(self, sample: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        """Predicts the noise.

        Args:
            sample: (B, input channels, F, h, w), of any height, width and number of frames.
            timesteps: (B,), of the 1000 steps of training.
            text: Tokens of the text encoder, (B, words, text width); the same for all frames.

        Returns:
            The noise, (B, output channels, F, h, w).
        """
        sinusoids = self.time_proj(timesteps).to(sample.dtype)  # in float32 until here
        time = self.time_embedding(sinusoids)
        states = per_frame(self.conv_in, sample)
        skips = [states]
        for block in self.down_blocks:
            states = block(states, time, text, skips)
        states = self.mid_block(states, time, text)
        for block in self.up_blocks:
            states = block(states, time, text, skips)
        return per_frame(self.conv_out, F.silu(self.conv_norm_out(states)))
