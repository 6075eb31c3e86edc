"""What the UNet is built of: residual blocks, transformers, and the levels that hold them.

Hidden states are (batch, channels, frames, height, width). Convolutions see one frame at a time.
Modules have the names of diffusers' `UNet2DConditionModel`, which the published checkpoints keep.
"""

from collections.abc import Callable
from dataclasses import dataclass

from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, cat, nn
from torch.nn import functional as F

from mora.models.lavie.attention import TemporalAttention


@dataclass(frozen=True)
class UNetSettings:
    """Sizes of the network. The defaults are those of the published SEINE.

    Attributes:
        in_channels: Channels in: 4 noisy latents, then what the model is conditioned on (SEINE: 1
            mask, 4 latents of the masked video).
        out_channels: Channels out: the noise in the latents.
        channels: Channels of each level, from the finest to the coarsest. All levels but the
            coarsest have transformers. Multiples of `groups` and of `heads`.
        layers: Residual blocks of a level on the way down; one more on the way up.
        heads: Heads of all attentions. (Configurations of Stable Diffusion 1 call this number
            `attention_head_dim`.)
        text_width: Channels of the text's tokens.
        groups: Groups of the group norms.
        rotary_channels: Channels of a head with rotary positions over time; at most its width.
        buckets: Buckets of the relative position bias over time.
        furthest: Distance in frames from which on that bias is the same.
    """

    in_channels: int = 9
    out_channels: int = 4
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers: int = 2
    heads: int = 8
    text_width: int = 768
    groups: int = 32
    rotary_channels: int = 32
    buckets: int = 32
    furthest: int = 32

    @property
    def time_width(self) -> int:
        """Channels of the timestep's embedding."""
        return 4 * self.channels[0]


def per_frame(module: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
    """Applies `module`, which takes pictures, to each frame of `states` (B, C, F, h, w)."""
    pictures = module(states.transpose(1, 2).flatten(0, 1))
    return pictures.unflatten(0, (len(states), -1)).transpose(1, 2)


class ResidualBlock(nn.Module):
    """Two convolutions with the timestep's embedding between, beside a shortcut.

    The group norms take their statistics over all frames of a clip together.

    Args:
        width_in: Channels in.
        width_out: Channels out.
        settings: Of the network.
    """

    def __init__(self, width_in: int, width_out: int, settings: UNetSettings) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(settings.groups, width_in, eps=1e-5)
        self.conv1 = nn.Conv2d(width_in, width_out, kernel_size=3, padding=1)
        self.time_emb_proj = nn.Linear(settings.time_width, width_out)
        self.norm2 = nn.GroupNorm(settings.groups, width_out, eps=1e-5)
        self.conv2 = nn.Conv2d(width_out, width_out, kernel_size=3, padding=1)
        self.conv_shortcut = (
            nn.Conv2d(width_in, width_out, kernel_size=1) if width_in != width_out else None
        )

    def forward(self, states: Tensor, time: Tensor) -> Tensor:
        """Maps (B, width in, F, h, w) to (B, width out, F, h, w).

        Args:
            states: Hidden states.
            time: Embedding of the timestep, (B, time width).
        """
        hidden = per_frame(self.conv1, F.silu(self.norm1(states)))
        hidden = hidden + self.time_emb_proj(F.silu(time))[:, :, None, None, None]
        hidden = per_frame(self.conv2, F.silu(self.norm2(hidden)))
        if self.conv_shortcut is not None:
            states = per_frame(self.conv_shortcut, states)
        return states + hidden


class TransformerBlock(nn.Module):
    """Attention within the frame, to the text, and over time, then a feed-forward.

    Args:
        width: Channels.
        settings: Of the network.
    """

    def __init__(self, width: int, settings: UNetSettings) -> None:
        super().__init__()
        head = width // settings.heads
        self.attn1 = Attention(width, heads=settings.heads, dim_head=head)
        self.norm1 = nn.LayerNorm(width)
        self.attn2 = Attention(width, settings.text_width, heads=settings.heads, dim_head=head)
        self.norm2 = nn.LayerNorm(width)
        self.attn_temp = TemporalAttention(
            width, settings.heads, settings.rotary_channels, settings.buckets, settings.furthest
        )
        self.norm_temp = nn.LayerNorm(width)
        self.ff = FeedForward(width, activation_fn="geglu")
        self.norm3 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, text: Tensor) -> Tensor:
        """Mixes tokens (B, F, pixels, width) with each other and with text (B, words, width)."""
        batch, frames, pixels, _ = tokens.shape
        within = self.attn1(self.norm1(tokens).flatten(0, 1))
        tokens = tokens + within.unflatten(0, (batch, frames))
        # All frames read the same text, so all their pixels can ask it as one sequence.
        told = self.attn2(self.norm2(tokens).flatten(1, 2), encoder_hidden_states=text)
        tokens = tokens + told.unflatten(1, (frames, pixels))
        over_time = self.attn_temp(self.norm_temp(tokens).transpose(1, 2).flatten(0, 1))
        tokens = tokens + over_time.unflatten(0, (batch, pixels)).transpose(1, 2)
        return tokens + self.ff(self.norm3(tokens))


class Transformer(nn.Module):
    """One transformer block between two convolutions of 1x1, beside the identity.

    The group norm takes its statistics within a frame.

    Args:
        width: Channels.
        settings: Of the network.
    """

    def __init__(self, width: int, settings: UNetSettings) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(settings.groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, kernel_size=1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, settings)])
        self.proj_out = nn.Conv2d(width, width, kernel_size=1)

    def forward(self, states: Tensor, text: Tensor) -> Tensor:
        """Mixes states (B, C, F, h, w) with text (B, words, text width); keeps their shape."""
        hidden = per_frame(lambda pictures: self.proj_in(self.norm(pictures)), states)
        tokens = hidden.flatten(3).permute(0, 2, 3, 1)
        for block in self.transformer_blocks:
            tokens = block(tokens, text)
        hidden = tokens.permute(0, 3, 1, 2).unflatten(3, states.shape[3:])
        return states + per_frame(self.proj_out, hidden)


class DownBlock(nn.Module):
    """A level on the way down.

    Args:
        width_in: Channels of the level before.
        width: Channels of this level.
        settings: Of the network.
        attends: Whether a transformer follows each residual block.
        shrinks: Whether the picture is halved at the end.
    """

    def __init__(
        self, width_in: int, width: int, settings: UNetSettings, *, attends: bool, shrinks: bool
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            ResidualBlock(width if layer else width_in, width, settings)
            for layer in range(settings.layers)
        )
        self.attentions = nn.ModuleList(
            Transformer(width, settings) for _ in range(settings.layers if attends else 0)
        )
        # The name `op` keeps diffusers from storing the convolution under a second name too.
        self.downsamplers = nn.ModuleList(
            [Downsample2D(width, use_conv=True, padding=1, name="op")] if shrinks else []
        )

    def forward(self, states: Tensor, time: Tensor, text: Tensor, skips: list[Tensor]) -> Tensor:
        """Returns the states for the next level, and appends to `skips` what the way up needs."""
        for layer, resnet in enumerate(self.resnets):
            states = resnet(states, time)
            if self.attentions:
                states = self.attentions[layer](states, text)
            skips.append(states)
        for downsampler in self.downsamplers:
            states = per_frame(downsampler, states)
            skips.append(states)
        return states


class MiddleBlock(nn.Module):
    """The coarsest level's residual block, transformer, residual block.

    Args:
        width: Channels.
        settings: Of the network.
    """

    def __init__(self, width: int, settings: UNetSettings) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([Transformer(width, settings)])
        self.resnets = nn.ModuleList(ResidualBlock(width, width, settings) for _ in range(2))

    def forward(self, states: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """Keeps the shape (B, C, F, h, w) of `states`."""
        states = self.resnets[0](states, time)
        states = self.attentions[0](states, text)
        output: Tensor = self.resnets[1](states, time)
        return output


class UpBlock(nn.Module):
    """A level on the way up.

    Args:
        width_in: Channels of the level before, on the way up.
        width: Channels of this level.
        skip_widths: Channels of the skips, in the order in which they are taken.
        settings: Of the network.
        attends: Whether a transformer follows each residual block.
        grows: Whether the picture is enlarged at the end.
    """

    def __init__(
        self,
        width_in: int,
        width: int,
        skip_widths: list[int],
        settings: UNetSettings,
        *,
        attends: bool,
        grows: bool,
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            ResidualBlock((width if layer else width_in) + skip, width, settings)
            for layer, skip in enumerate(skip_widths)
        )
        self.attentions = nn.ModuleList(
            Transformer(width, settings) for _ in (skip_widths if attends else [])
        )
        self.upsamplers = nn.ModuleList([Upsample2D(width, use_conv=True)] if grows else [])

    def forward(self, states: Tensor, time: Tensor, text: Tensor, skips: list[Tensor]) -> Tensor:
        """Returns the states for the next level, and takes from the end of `skips`."""
        for layer, resnet in enumerate(self.resnets):
            states = resnet(cat((states, skips.pop()), dim=1), time)
            if self.attentions:
                states = self.attentions[layer](states, text)
        for upsampler in self.upsamplers:
            # To the size of the next skip, since sides that were odd on the way down were rounded.
            size = skips[-1].shape[3:]
            states = per_frame(lambda pictures: upsampler(pictures, size), states)  # noqa: B023
        return states
