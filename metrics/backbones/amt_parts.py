"""The parts of AMT: its encoders, its decoders, its updates, and what passes between them."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metrics.backbones.correlation import coordinates, one_way
from metrics.backbones.layout import InstanceNorm


@dataclass(frozen=True)
class AmtSettings:
    """Sizes of the network. The defaults are the published AMT-S.

    Attributes:
        channels: Channels of the context features and decoders at 1/2, 1/4, 1/8 and 1/16.
        skip: Channels at the end of a residual block that its inner convolutions act on.
        pairs: Pairs of flows, and so candidate frames, that the last decoder makes.
        features: Channels of the encoder of correlation features: its three stages, output.
        levels: Levels of the correlation pyramid.
        radius: Radius of the window that is looked up in each level.
        correlation: Channels that an update makes of the correlation.
        flow: Channels that an update makes of the flows.
        motion: Channels of the two merged.
        hidden: Hidden channels of an update.
    """

    channels: tuple[int, int, int, int] = (20, 32, 44, 56)
    skip: int = 20
    pairs: int = 3
    features: tuple[int, int, int, int] = (32, 64, 96, 84)
    levels: int = 4
    radius: int = 3
    correlation: int = 64
    flow: int = 20
    motion: int = 68
    hidden: int = 76


class Motion(NamedTuple):
    """The running estimate between two decoders.

    Attributes:
        flow0: (B, 2, h, w), flow from the frame in between to the one before.
        flow1: Like `flow0`, to the one after.
        feature: (B, C, h, w).
    """

    flow0: Tensor
    flow1: Tensor
    feature: Tensor


class TwoWayCorrelation:
    """Correlation of two frames' features at 1/8, asked from the frame in between.

    Motion is taken to be straight: a pixel at `flow0` before and `flow1` after moved from the one
    frame to the other by `flow1 / t`, and back by `flow0 / (1 - t)`.
    """

    def __init__(
        self, features0: Tensor, features1: Tensor, t: float, settings: AmtSettings
    ) -> None:
        self.forth = one_way(features0, features1, settings.levels, settings.radius)
        self.back = one_way(features1, features0, settings.levels, settings.radius)
        height, width = features0.shape[-2:]
        self.places = coordinates(height, width, features0.device)
        self.t = t

    def __call__(self, flow0: Tensor, flow1: Tensor) -> Tensor:
        """Looks up where flows (B, 2, H / 8, W / 8), in pixels of that size, point."""
        forth = self.forth(self.places + flow1 / self.t)
        back = self.back(self.places + flow0 / (1 - self.t))
        return torch.cat([forth, back], dim=1)


class CorrelationEncoder(nn.Module):
    """Features of one frame at 1/8 of its size, for the correlation.

    Args:
        channels: Of the three stages and of the output.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        one, two, three, out = channels
        self.conv1 = nn.Conv2d(3, one, 7, stride=2, padding=3)
        self.norm1 = InstanceNorm(one)
        self.layer1 = nn.Sequential(Bottleneck(one, one, 1), Bottleneck(one, one, 1))
        self.layer2 = nn.Sequential(Bottleneck(one, two, 2), Bottleneck(two, two, 1))
        self.layer3 = nn.Sequential(Bottleneck(two, three, 2), Bottleneck(three, three, 1))
        self.conv2 = nn.Conv2d(three, out, 1)

    def forward(self, frame: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H / 8, W / 8)."""
        stem = torch.relu(self.norm1(self.conv1(frame)))
        features: Tensor = self.conv2(self.layer3(self.layer2(self.layer1(stem))))
        return features


class Bottleneck(nn.Module):
    """Residual block through a quarter of the channels, with instance norm.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        stride: Of the middle convolution and of the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = outputs // 4
        self.conv1 = nn.Conv2d(inputs, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1)
        self.conv3 = nn.Conv2d(inner, outputs, 1)
        self.norm1, self.norm2 = InstanceNorm(inner), InstanceNorm(inner)
        self.norm3 = InstanceNorm(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride), InstanceNorm(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / stride, W / stride)."""
        y = torch.relu(self.norm1(self.conv1(x)))
        y = torch.relu(self.norm2(self.conv2(y)))
        y = torch.relu(self.norm3(self.conv3(y)))
        return torch.relu(self.downsample(x) + y)


class ContextEncoder(nn.Module):
    """Features of one frame at 1/2, 1/4, 1/8 and 1/16 of its size, for the decoders.

    Args:
        channels: At each size.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        one, two, three, four = channels
        self.pyramid1 = nn.Sequential(conv_prelu(3, one, stride=2), conv_prelu(one, one))
        self.pyramid2 = nn.Sequential(conv_prelu(one, two, stride=2), conv_prelu(two, two))
        self.pyramid3 = nn.Sequential(conv_prelu(two, three, stride=2), conv_prelu(three, three))
        self.pyramid4 = nn.Sequential(conv_prelu(three, four, stride=2), conv_prelu(four, four))

    def forward(self, frame: Tensor) -> list[Tensor]:
        """Gives the features from fine to coarse."""
        levels = []
        for stage in (self.pyramid1, self.pyramid2, self.pyramid3, self.pyramid4):
            frame = stage(frame)
            levels.append(frame)
        return levels


class Decoder(nn.Module):
    """Refines the motion and doubles the size.

    Args:
        inputs: Channels in.
        width: Channels within.
        outputs: Channels out.
        skip: Channels that the residual block's inner convolutions act on.
    """

    def __init__(self, inputs: int, width: int, outputs: int, skip: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.convblock = nn.Sequential(
            conv_prelu(inputs, width),
            ResidualBlock(width, skip),
            nn.ConvTranspose2d(width, outputs, 4, stride=2, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', 2 * H, 2 * W)."""
        out: Tensor = self.convblock(x)
        return out


class ResidualBlock(nn.Module):
    """Five convolutions, of which the second and fourth act on the last `skip` channels only.

    Args:
        width: Channels in and out.
        skip: Channels that those two act on.
    """

    def __init__(self, width: int, skip: int) -> None:
        super().__init__()
        self.skip = skip
        self.conv1 = conv_prelu(width, width)
        self.conv2 = conv_prelu(skip, skip)
        self.conv3 = conv_prelu(width, width)
        self.conv4 = conv_prelu(skip, skip)
        self.conv5 = nn.Conv2d(width, width, 3, padding=1)
        self.prelu = nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape."""
        y = self.conv1(x)
        y = torch.cat([y[:, : -self.skip], self.conv2(y[:, -self.skip :])], dim=1)
        y = self.conv3(y)
        y = torch.cat([y[:, : -self.skip], self.conv4(y[:, -self.skip :])], dim=1)
        out: Tensor = self.prelu(x + self.conv5(y))
        return out


class Update(nn.Module):
    """Corrects flows and feature by the correlation found where the flows point.

    Args:
        settings: Sizes of the network.
        channels: Channels of the feature.
        ratio: Size of flows and feature relative to the correlation's, which is 1/8.
    """

    def __init__(self, settings: AmtSettings, channels: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        hidden = settings.hidden
        looked_up = 2 * settings.levels * (2 * settings.radius + 1) ** 2
        self.convc1 = nn.Conv2d(looked_up, settings.correlation, 1)
        self.convf1 = nn.Conv2d(4, 2 * settings.flow, 7, padding=3)
        self.convf2 = nn.Conv2d(2 * settings.flow, settings.flow, 3, padding=1)
        self.conv = nn.Conv2d(settings.correlation + settings.flow, settings.motion, 3, padding=1)
        self.gru = two_convs(settings.motion + 4 + channels, hidden, hidden)
        self.feat_head = two_convs(hidden, hidden, channels)
        self.flow_head = two_convs(hidden, hidden, 4)

    def forward(self, motion: Motion, correlation: TwoWayCorrelation) -> Motion:
        """Gives the motion corrected, at the size it came."""
        flow0 = resized(motion.flow0, 1 / self.ratio) / self.ratio
        flow1 = resized(motion.flow1, 1 / self.ratio) / self.ratio
        feature = resized(motion.feature, 1 / self.ratio)
        flows = torch.cat([flow0, flow1], dim=1)
        seen = _leaky(self.convc1(correlation(flow0, flow1)))
        moved = _leaky(self.convf2(_leaky(self.convf1(flows))))
        merged = _leaky(self.conv(torch.cat([seen, moved], dim=1)))
        hidden = self.gru(torch.cat([merged, flows, feature], dim=1))
        feature_step = resized(self.feat_head(hidden), self.ratio)
        flow_step = resized(self.flow_head(hidden).float(), self.ratio) * self.ratio
        step0, step1 = flow_step.chunk(2, dim=1)
        return Motion(motion.flow0 + step0, motion.flow1 + step1, motion.feature + feature_step)


def conv_prelu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution and PReLU with a slope for each channel."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), nn.PReLU(outputs))


def two_convs(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions with a leaky ReLU between them."""
    return nn.Sequential(
        nn.Conv2d(inputs, hidden, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(hidden, outputs, 3, padding=1),
    )


def resized(x: Tensor, factor: float) -> Tensor:
    """Resizes pictures (B, C, H, W) by a factor, bilinearly."""
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1)
