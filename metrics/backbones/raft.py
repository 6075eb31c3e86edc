"""RAFT, the optical flow network of dynamic degree.

Source: Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020;
the published weights are those of the authors' repository princeton-vl/RAFT.

The parts are torchvision's. Its `RAFT.forward` is not used: it makes its grids on the host at
every update, which a CUDA graph cannot capture, and upsamples the flow after every update although
only the last is asked for.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.optical_flow.raft import (
    FeatureEncoder,
    FlowHead,
    MaskPredictor,
    MotionEncoder,
    RecurrentBlock,
    ResidualBlock,
    UpdateBlock,
    upsample_flow,
)

from metrics.backbones import published
from metrics.backbones.bands import in_bands
from metrics.backbones.card import Card, Preprocessing, Shipped
from metrics.backbones.correlation import coordinates, large, one_way
from metrics.backbones.loading import filled, read_card
from metrics.backbones.padding import pad_to_multiple


@dataclass(frozen=True)
class RaftSettings:
    """Sizes of the network. The defaults are the published ones.

    Attributes:
        features: Channels of the feature encoder: stem, three stages (the first as wide as the
            stem), output.
        context: Channels of the context encoder; its output splits into `hidden` channels that
            start the recurrence and the rest, which each update sees.
        levels: Levels of the correlation pyramid.
        radius: Radius of the window that is looked up in each level.
        correlation: Channels of the motion encoder's two convolutions over the correlation.
        flow: Channels of its two convolutions over the flow.
        motion: Channels that it gives, the flow itself included.
        hidden: Channels of the recurrent state.
        heads: Hidden channels of the flow head and of the mask head.
        updates: Recurrent updates of the flow.
    """

    features: tuple[int, int, int, int, int] = (64, 64, 96, 128, 256)
    context: tuple[int, int, int, int, int] = (64, 64, 96, 128, 256)
    levels: int = 4
    radius: int = 4
    correlation: tuple[int, int] = (256, 192)
    flow: tuple[int, int] = (128, 64)
    motion: int = 128
    hidden: int = 128
    heads: tuple[int, int] = (256, 256)
    updates: int = 20


_PREPROCESSING = Preprocessing(multiple=8, smallest=128, mean=(0.5,) * 3, std=(0.5,) * 3)

OFFICIAL = published.RAFT.card(
    settings=RaftSettings(),
    preprocessing=_PREPROCESSING,
)

MINI = Card(
    name="raft_mini",
    weights="mini",
    settings=RaftSettings(
        features=(24, 24, 40, 56, 96),
        context=(16, 16, 32, 48, 80),
        radius=3,
        correlation=(96, 64),
        flow=(40, 24),
        motion=56,
        hidden=40,
        heads=(48, 48),
        updates=8,
    ),
    preprocessing=_PREPROCESSING,
    origin=Shipped("raft/raft.safetensors"),
    licence="Apache-2.0",
    source="trained by lab/train/raft.py on textured motion of known flow",
)


class Raft(nn.Module):
    """RAFT with residual encoders, a separable GRU and convex upsampling ("large").

    Its parts are named as in torchvision, but its state dict as in the published checkpoint.

    Args:
        settings: Sizes of the network.
    """

    def __init__(self, settings: RaftSettings) -> None:
        super().__init__()
        self.settings = settings
        self.feature_encoder = FeatureEncoder(
            block=ResidualBlock, layers=settings.features, norm_layer=nn.InstanceNorm2d
        )
        self.context_encoder = FeatureEncoder(
            block=ResidualBlock, layers=settings.context, norm_layer=nn.BatchNorm2d
        )
        motion_encoder = MotionEncoder(
            in_channels_corr=settings.levels * (2 * settings.radius + 1) ** 2,
            corr_layers=settings.correlation,
            flow_layers=settings.flow,
            out_channels=settings.motion,
        )
        recurrent_block = RecurrentBlock(
            input_size=settings.motion + settings.context[-1] - settings.hidden,
            hidden_size=settings.hidden,
            kernel_size=((1, 5), (5, 1)),
            padding=((0, 2), (2, 0)),
        )
        flow_head = FlowHead(in_channels=settings.hidden, hidden_size=settings.heads[0])
        self.update_block = UpdateBlock(
            motion_encoder=motion_encoder, recurrent_block=recurrent_block, flow_head=flow_head
        )
        self.mask_predictor = MaskPredictor(
            in_channels=settings.hidden, hidden_size=settings.heads[1], multiplier=0.25
        )
        self.register_state_dict_post_hook(_publish_names)
        self.register_load_state_dict_pre_hook(_accept_published_names)

    def forward(self, frames0: Tensor, frames1: Tensor) -> Tensor:
        """Flow from `frames0` to `frames1`.

        Args:
            frames0: (B, 3, H, W), RGB, 0 to 255, sides multiples of 8 and at least 128.
            frames1: Like `frames0`.

        Returns:
            (B, 2, H, W), pixels, x then y: what is at (x, y) in `frames0` is at (x, y) + flow in
            `frames1`.
        """
        return self._upsampled(*deque(self._updates(frames0, frames1), maxlen=1).pop())

    def all_flows(self, frames0: Tensor, frames1: Tensor) -> list[Tensor]:
        """Like `forward`, but gives the flow after every update, which training is about."""
        return [self._upsampled(*state) for state in self._updates(frames0, frames1)]

    def _updates(self, frames0: Tensor, frames1: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Gives the flow at 1/8 of the size and the hidden state after each update."""
        features0, features1 = self._features(frames0, frames1)
        look_up = one_way(features0, features1, self.settings.levels, self.settings.radius)
        seen: Tensor = _encoded(self.context_encoder, frames0)
        hidden, context = seen.tensor_split([self.settings.hidden], dim=1)
        hidden, context = torch.tanh(hidden), torch.relu(context)
        height, width = features0.shape[-2:]
        start = coordinates(height, width, features0.device)
        flow = torch.zeros_like(start).repeat(len(frames0), 1, 1, 1)
        for _ in range(self.settings.updates):
            flow = flow.detach()  # each update learns from its own step alone (section 3.3)
            hidden, step = self.update_block(hidden, context, look_up(start + flow), flow)
            flow = flow + step
            yield flow, hidden

    def _features(self, frames0: Tensor, frames1: Tensor) -> Sequence[Tensor]:
        """Features of both frames at 1/8 of the size, of large frames one after the other."""
        if _too_large(frames0):
            return [_encoded(self.feature_encoder, frames) for frames in (frames0, frames1)]
        return _encoded(self.feature_encoder, torch.cat([frames0, frames1])).chunk(2)

    def _upsampled(self, flow: Tensor, hidden: Tensor) -> Tensor:
        upsampled: Tensor = upsample_flow(flow, self.mask_predictor(hidden).float())
        return upsampled


def _encoded(encoder: FeatureEncoder, frames: Tensor) -> Tensor:
    """What an encoder makes of frames (B, 3, H, W), 0 to 255, at 1/8 of their size.

    Of large frames it holds three activations at once, where torchvision's forward holds five: at
    3840 x 2160 each takes 0.5 GB.
    """
    x = frames / 127.5 - 1
    if not _too_large(frames) or torch.is_grad_enabled():
        whole: Tensor = encoder(x)
        return whole
    x = _stage(encoder.convnormrelu, x).relu_()
    for block in chain(encoder.layer1, encoder.layer2, encoder.layer3):
        y = _stage(block.convnormrelu1, x).relu_()
        y = _stage(block.convnormrelu2, y).relu_()
        if not isinstance(block.downsample, nn.Identity):
            x = _stage(block.downsample, x)
        x = y.add_(x).relu_()
    encoded: Tensor = encoder.conv(x)
    return encoded


def _stage(stage: nn.Sequential, x: Tensor) -> Tensor:
    """A convolution and a norm, the norm in place."""
    y: Tensor = stage[0](x)
    norm: Any = stage[1]
    if isinstance(norm, nn.InstanceNorm2d):
        variance, mean = torch.var_mean(y, dim=(2, 3), correction=0, keepdim=True)
        return y.sub_(mean).mul_(torch.rsqrt(variance + norm.eps))
    scale: Tensor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift: Tensor = norm.bias - norm.running_mean * scale
    return y.mul_(scale[:, None, None]).add_(shift[:, None, None])


def _too_large(frames: Tensor) -> bool:
    height, width = frames.shape[-2:]
    return large(height // 8, width // 8)


def _published_name(name: str) -> str:
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return f"module.{name}"


def _publish_names(
    model: nn.Module, state: dict[str, Tensor], prefix: str, _metadata: object
) -> None:
    for name in _names(model):
        state[prefix + _published_name(name)] = state.pop(prefix + name)


def _accept_published_names(
    model: nn.Module, state: dict[str, Tensor], prefix: str, *_rest: object
) -> None:
    for name in _names(model):
        published = prefix + _published_name(name)
        if published in state:
            state[prefix + name] = state.pop(published)


def _names(model: nn.Module) -> list[str]:
    return [name for name, _ in chain(model.named_parameters(), model.named_buffers())]


_RENAMES = (
    (r"^mask_predictor\.convrelu\.0\.", "update_block.mask.0."),
    (r"^mask_predictor\.conv\.", "update_block.mask.2."),
    (r"^feature_encoder\.", "fnet."),
    (r"^context_encoder\.", "cnet."),
    (r"^([fc]net)\.conv\.", r"\1.conv2."),
    (r"^([fc]net)\.convnormrelu\.0\.", r"\1.conv1."),
    (r"^([fc]net)\.convnormrelu\.1\.", r"\1.norm1."),
    (r"\.convnormrelu([12])\.0\.", r".conv\1."),
    (r"\.convnormrelu([12])\.1\.", r".norm\1."),
    (r"\.motion_encoder\.conv(corr|flow)([12])\.0\.", lambda m: f".encoder.conv{m[1][0]}{m[2]}."),
    (r"\.motion_encoder\.conv\.0\.", ".encoder.conv."),
    (r"\.recurrent_block\.convgru([12])\.conv([zrq])\.", r".gru.conv\2\1."),
)
"""From torchvision's names to the authors', in this order."""

_ALIAS = re.compile(r"^module\.cnet\.layer[23]\.0\.norm3\.")
"""The published file holds the norms of the two strided shortcuts twice, under these names too."""


def load(card: Card[RaftSettings], path: Path, device: torch.device) -> Raft:
    """Loads the network of `card` with the weights in the file `path`, ready to infer.

    Raises:
        WeightsError: The file is absent, unreadable, another one, or does not fit.
    """
    tensors = read_card(card, path)
    tensors = {name: value for name, value in tensors.items() if not _ALIAS.match(name)}
    return in_bands(filled(partial(Raft, card.settings), tensors, path, device))


@torch.inference_mode()
def flows(model: Raft, frames0: Tensor, frames1: Tensor, *, crop: bool = False) -> Tensor:
    """Flow between pairs of frames of any size that the network can take.

    Args:
        model: The network.
        frames0: uint8 (N, 3, H, W), RGB.
        frames1: Like `frames0`; the i-th pair is `frames0[i]`, `frames1[i]`.
        crop: Whether to cut the flow to the frames' size. VBench's arithmetic is on the padded
            size, so the default is not to.

    Returns:
        float32 (N, 2, H', W'), pixels, x then y; H' and W' are the sides padded to multiples of 8,
        or H and W if cropped.

    Raises:
        FrameTooSmallError: A padded side is shorter than 128 pixels: the coarsest level of the
            correlation would be a single pixel, which cannot be sampled.
    """
    device = next(model.parameters()).device
    pairs, padding = pad_to_multiple(
        torch.cat([frames0, frames1]).to(device).float(),
        _PREPROCESSING.multiple,
        _PREPROCESSING.smallest,
        "RAFT",
    )
    flow: Tensor = model(*pairs.chunk(2))
    return padding.crop(flow) if crop else flow
