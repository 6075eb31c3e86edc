"""RAFT, the optical flow network of dynamic degree.

Source: Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020;
the published weights are those of the authors' repository princeton-vl/RAFT.

The parts are torchvision's. Its `RAFT.forward` is not used: it makes its grids on the host at
every update, which a CUDA graph cannot capture, upsamples the flow after every update although only
the last is asked for, encodes a frame anew for each pair that it is in, and convolves the context,
a third of what the recurrence sees, anew at every update.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.optical_flow.raft import (
    ConvGRU,
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
from metrics.backbones.correlation import LookUp, coordinates, one_way
from metrics.backbones.layout import InstanceNorm, laid_out, like
from metrics.backbones.loading import read_card
from metrics.backbones.padding import Padding, pad_to_multiple
from mora.checkpoints.tensors import filled


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
            block=ResidualBlock, layers=settings.features, norm_layer=InstanceNorm
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
        return self.flow(self.encode(frames0), self.features(frames1))

    def all_flows(self, frames0: Tensor, frames1: Tensor) -> list[Tensor]:
        """Like `forward`, but gives the flow after every update, which training is about."""
        updates = self._updates(self.encode(frames0), self.features(frames1))
        return [self._upsampled(*state) for state in updates]

    def encode(self, frames: Tensor) -> "Encoding":
        """What is to know of frames (B, 3, H, W), as `forward` takes them, for any pair."""
        seen = _encoded(self.context_encoder, frames)
        hidden, context = seen.tensor_split([self.settings.hidden], dim=1)
        return Encoding(self.features(frames), torch.tanh(hidden), torch.relu(context))

    def features(self, frames: Tensor) -> Tensor:
        """The part of `encode` that is to know of the second frame of a pair."""
        return _encoded(self.feature_encoder, frames)

    def flow(self, before: "Encoding", after: Tensor) -> Tensor:
        """Like `forward`, from the encoding of one frame and the features of the other."""
        return self._upsampled(*deque(self._updates(before, after), maxlen=1).pop())

    def _updates(self, before: "Encoding", after: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Gives the flow at 1/8 of the size and the hidden state after each update."""
        features, hidden, context = before
        look_up = one_way(features, after, self.settings.levels, self.settings.radius)
        start = coordinates(features.shape[-2], features.shape[-1], features.device)
        flow = torch.zeros_like(features[:, :2], dtype=torch.float32)
        recurrence = self.update_block.recurrent_block
        halves = [Gru(gru, context) for gru in (recurrence.convgru1, recurrence.convgru2)]
        for _ in range(self.settings.updates):
            flow = flow.detach()  # each update learns from its own step alone (section 3.3)
            flow, hidden = self.update(flow, hidden, start, look_up, halves)
            yield flow, hidden

    def update(
        self, flow: Tensor, hidden: Tensor, start: Tensor, look_up: LookUp, halves: "list[Gru]"
    ) -> tuple[Tensor, Tensor]:
        """The next flow and hidden state.

        Args:
            flow: (B, 2, h, w), in pixels of that size.
            hidden: (B, `hidden`, h, w).
            start: Each pixel's own place.
            look_up: Looks at the other frame.
            halves: Both halves of the recurrence.
        """
        motion = self.update_block.motion_encoder(flow, look_up(start + flow)).to(hidden.dtype)
        for half in halves:
            hidden = half(hidden, motion)
        return flow + self.update_block.flow_head(hidden), hidden

    def _upsampled(self, flow: Tensor, hidden: Tensor) -> Tensor:
        upsampled: Tensor = upsample_flow(flow, self.mask_predictor(hidden).float())
        return upsampled


class Encoding(NamedTuple):
    """What RAFT knows of single frames, at 1/8 of their size.

    Attributes:
        features: (B, C, h, w), compared with another frame's.
        hidden: (B, `hidden`, h, w), start of the recurrent state.
        context: (B, C, h, w), seen by each update.
    """

    features: Tensor
    hidden: Tensor
    context: Tensor


class Gru:
    """One half of the recurrence, with all convolutions of the context done beforehand.

    A gate's convolution takes the state, the context and the motion side by side, so it is the sum
    of three; and the two gates that see the same are one convolution.

    Args:
        gru: torchvision's half, which gives the weights.
        context: What all updates see.
    """

    def __init__(self, gru: ConvGRU, context: Tensor) -> None:
        gates, new = torch.cat([gru.convz.weight, gru.convr.weight]), gru.convq.weight
        state = len(new)
        seen = slice(state, state + context.shape[1])
        self.padding = gru.convz.padding
        self.gates_of_context = self._convolved(
            context, gates[:, seen], torch.cat([gru.convz.bias, gru.convr.bias])
        )
        self.new_of_context = self._convolved(context, new[:, seen], gru.convq.bias)
        self.gates, self.new = (
            torch.cat([weight[:, : seen.start], weight[:, seen.stop :]], dim=1)
            for weight in (gates, new)
        )

    def __call__(self, hidden: Tensor, motion: Tensor) -> Tensor:
        """Gives the next state."""
        gates = self._convolved(torch.cat([hidden, motion], dim=1), self.gates)
        update, reset = torch.sigmoid(gates + self.gates_of_context).chunk(2, dim=1)
        new = self._convolved(torch.cat([reset * hidden, motion], dim=1), self.new)
        return torch.lerp(hidden, torch.tanh(new + self.new_of_context), update)

    def _convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.conv2d(x, weight, bias, padding=self.padding)


def _encoded(encoder: FeatureEncoder, frames: Tensor) -> Tensor:
    """What an encoder makes of frames (B, 3, H, W), 0 to 255, at 1/8 of their size.

    Where nothing is to be learnt, it works in place and holds three activations at once, where
    torchvision's forward holds five: of a frame of 3840 x 2160 each takes 0.5 GB.
    """
    x = frames / 127.5 - 1
    if torch.is_grad_enabled():
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
    """A convolution and a norm that infers."""
    y: Tensor = stage[0](x)
    norm: Any = stage[1]
    if isinstance(norm, InstanceNorm):
        return norm(y)
    scale: Tensor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift: Tensor = norm.bias - norm.running_mean * scale
    return y.mul_(scale[:, None, None]).add_(shift[:, None, None])


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
    return laid_out(in_bands(filled(partial(Raft, card.settings), tensors, path, device)))


@torch.inference_mode()
def encode(model: Raft, frames: Tensor) -> Encoding:
    """What is to know of frames of any size that the network can take, each by itself.

    A frame between two others is in two pairs, and so has to be encoded once only.

    Args:
        model: The network.
        frames: uint8 (N, 3, H, W), RGB.

    Returns:
        Tensors with N as first axis; of a frame of 1024 x 576 they take 19 MB.

    Raises:
        FrameTooSmallError: A padded side is shorter than 128 pixels: the coarsest level of the
            correlation would be a single pixel, which cannot be sampled.
    """
    return model.encode(_padded(model, frames)[0])


@torch.inference_mode()
def flows_between(model: Raft, before: tuple[Tensor, ...], after: tuple[Tensor, ...]) -> Tensor:
    """Flow between pairs of frames that were encoded.

    Args:
        model: The network.
        before: What `encode` gave for N frames.
        after: Likewise; the i-th pair is the i-th of both.

    Returns:
        float32 (N, 2, H', W'), as `flows` gives it uncropped.
    """
    weight = model.update_block.flow_head.conv1.weight
    features, hidden, context = (like(each, weight) for each in before)
    return model.flow(Encoding(features, hidden, context), after[0])


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
        FrameTooSmallError: As `encode`.
    """
    (padded0, padding), (padded1, _) = _padded(model, frames0), _padded(model, frames1)
    flow: Tensor = model(padded0, padded1)
    return padding.crop(flow) if crop else flow


def _padded(model: Raft, frames: Tensor) -> tuple[Tensor, Padding]:
    device = next(model.parameters()).device
    return pad_to_multiple(
        frames.to(device).float(), _PREPROCESSING.multiple, _PREPROCESSING.smallest, "RAFT"
    )
