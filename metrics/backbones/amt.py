"""AMT, the frame interpolation network of motion smoothness.

Source: Li, Zhu, Han, Hou, Guo and Cheng, "AMT: All-Pairs Multi-Field Transforms for Efficient
Frame Interpolation", CVPR 2023; the published weights are AMT-S of the authors' repository
MCG-NKU/AMT. Written from the paper and the shapes of those weights.

Four decoders go from coarse to fine. Each refines two flows, from the frame in between to the
frame before and to the one after; after each but the last, both are corrected by what the
correlation of the two frames shows where they point. The last decoder makes several flow pairs,
whose warped frames are averaged and corrected.

Before anything is encoded, the mean of both frames of the pair is taken off each, so that what the
encoders see of a frame differs from pair to pair, and no encoding can be shared between pairs.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metrics.backbones import published
from metrics.backbones.amt_parts import (
    AmtSettings,
    ContextEncoder,
    CorrelationEncoder,
    Decoder,
    Motion,
    TwoWayCorrelation,
    Update,
    resized,
)
from metrics.backbones.bands import in_bands
from metrics.backbones.card import Card, Preprocessing, Shipped
from metrics.backbones.correlation import coordinates, large
from metrics.backbones.layout import laid_out
from metrics.backbones.loading import read_card
from metrics.backbones.padding import pad_to_multiple
from mora.checkpoints.tensors import filled

ROWS = 128
"""Rows in a band, where a frame is too large for a decoder to see all of it at once."""

BORDER = 12
"""Rows that a band sees beyond its own. A decoder, bilinear doubling and last block reach 9."""

_PREPROCESSING = Preprocessing(multiple=16, smallest=128)

OFFICIAL = published.AMT_S.card(
    settings=AmtSettings(),
    preprocessing=_PREPROCESSING,
)

MINI = Card(
    name="amt_mini",
    weights="mini",
    settings=AmtSettings(
        channels=(12, 14, 16, 18),
        skip=8,
        features=(16, 24, 40, 48),
        correlation=28,
        flow=8,
        motion=24,
        hidden=24,
    ),
    preprocessing=_PREPROCESSING,
    origin=Shipped("amt/amt.safetensors"),
    licence="Apache-2.0",
    source="trained by lab/train/amt.py on textured motion of known flow",
)


class Interpolation(NamedTuple):
    """What the network makes of two frames.

    Attributes:
        frame: (B, 3, H, W) in [0, 1], the frame in between.
        flows: Pairs of flows (to the frame before, to the frame after) that the three updates
            left, at 1/8, 1/4 and 1/2 of the size. Each is (B, 2, h, w), x then y, in pixels of
            its own size.
    """

    frame: Tensor
    flows: list[tuple[Tensor, Tensor]]


class Amt(nn.Module):
    """AMT with one update after each of the three coarser decoders.

    Args:
        settings: Sizes of the network.
    """

    def __init__(self, settings: AmtSettings) -> None:
        super().__init__()
        self.settings = settings
        half, quarter, eighth, sixteenth = settings.channels
        pairs, skip = settings.pairs, settings.skip
        self.feat_encoder = CorrelationEncoder(settings.features)
        self.encoder = ContextEncoder(settings.channels)
        self.decoder4 = Decoder(2 * sixteenth + 1, 2 * sixteenth, 4 + eighth, skip)
        self.decoder3 = Decoder(3 * eighth + 4, 3 * eighth, 4 + quarter, skip)
        self.decoder2 = Decoder(3 * quarter + 4, 3 * quarter, 4 + half, skip)
        self.decoder1 = Decoder(3 * half + 4, 3 * half, 8 * pairs, skip)
        self.update4 = Update(settings, eighth, ratio=1)
        self.update3 = Update(settings, quarter, ratio=2)
        self.update2 = Update(settings, half, ratio=4)
        self.comb_block = nn.Sequential(
            nn.Conv2d(3 * pairs, 6 * pairs, 3, padding=1),
            nn.PReLU(6 * pairs),
            nn.Conv2d(6 * pairs, 3, 3, padding=1),
        )

    def forward(
        self, frame0: Tensor, frame1: Tensor, t: float = 0.5, scale: float = 1.0
    ) -> Interpolation:
        """Interpolates between two frames.

        Args:
            frame0: (B, 3, H, W), RGB in [0, 1]; times `scale`, both sides are multiples of 16 and
                at least 128.
            frame1: Like `frame0`.
            t: Time of the frame asked for, between 0 (`frame0`) and 1 (`frame1`), both excluded.
            scale: Size, relative to the frames', at which the flows are estimated. Less than 1
                saves memory.
        """
        mean = torch.cat([frame0, frame1], dim=2).mean((1, 2, 3), keepdim=True)
        frame0, frame1 = frame0 - mean, frame1 - mean
        small0, small1 = resized(frame0, scale), resized(frame1, scale)

        features0, features1 = self._features(small0, small1)
        correlation = TwoWayCorrelation(features0, features1, t, self.settings)
        context0, context1 = self.encoder(small0), self.encoder(small1)

        time = torch.full_like(context0[3][:, :1], t)
        out = self.decoder4(torch.cat([context0[3], context1[3], time], dim=1))
        motions = [self.update4(_split(out), correlation)]
        join = _in_bands if scale == 1 and _too_large(frame0) else _in_one_piece
        for level, decoder, update in (
            (2, self.decoder3, self.update3),
            (1, self.decoder2, self.update2),
        ):
            finer = partial(_decoded, decoder, contexts=(context0[level], context1[level]))
            flow0, flow1, feature = _split(join(finer, motions[-1], decoder.outputs))
            doubled0, doubled1 = _doubled(motions[-1])
            refined = Motion(flow0 + doubled0, flow1 + doubled1, feature)
            motions.append(update(refined, correlation))

        finest = partial(
            self._finest,
            contexts=(context0[0], context1[0]),
            frames=(frame0, frame1),
            mean=mean,
            scale=scale,
        )
        frame = join(finest, motions[-1], 3)
        return Interpolation(frame, [(flow0, flow1) for flow0, flow1, _ in motions])

    def _features(self, frame0: Tensor, frame1: Tensor) -> Sequence[Tensor]:
        """Features for the correlation, of large frames one after the other."""
        if _too_large(frame0):
            return [self.feat_encoder(frame) for frame in (frame0, frame1)]
        features: Tensor = self.feat_encoder(torch.cat([frame0, frame1]))
        return features.chunk(2)

    def _finest(
        self,
        motion: Motion,
        contexts: tuple[Tensor, Tensor],
        frames: tuple[Tensor, Tensor],
        mean: Tensor,
        scale: float,
        first: int = 0,
    ) -> Tensor:
        """The last decoder, and the frame that its candidates add up to.

        Args:
            motion: What the last update left, at 1/2 of the size; all rows of it or some.
            contexts: Context features of both frames at 1/2.
            frames: Both frames less their mean.
            mean: Their mean.
            scale: Size at which the motion was estimated.
            first: Row that `motion` begins at.
        """
        pairs = self.settings.pairs
        out = _decoded(self.decoder1, motion, contexts, first).float()
        out0, out1, masks, residuals = out.split([2 * pairs, 2 * pairs, pairs, 3 * pairs], dim=1)
        doubled0, doubled1 = _doubled(motion)
        flows0 = resized(out0 + doubled0.repeat(1, pairs, 1, 1), 1 / scale) / scale
        flows1 = resized(out1 + doubled1.repeat(1, pairs, 1, 1), 1 / scale) / scale
        masks = resized(torch.sigmoid(masks), 1 / scale)
        residuals = resized(residuals, 1 / scale)
        frame0, frame1 = frames
        candidates = torch.cat(
            [
                mask * warp(frame0, flow0, 2 * first)
                + (1 - mask) * warp(frame1, flow1, 2 * first)
                + mean
                + residual
                for flow0, flow1, mask, residual in zip(
                    flows0.split(2, dim=1),
                    flows1.split(2, dim=1),
                    masks.split(1, dim=1),
                    residuals.split(3, dim=1),
                    strict=True,
                )
            ],
            dim=1,
        )
        average = candidates.unflatten(1, (pairs, 3)).mean(1)
        frame: Tensor = (average + self.comb_block(candidates)).clamp(0, 1)
        return frame


def warp(picture: Tensor, flow: Tensor, first: int = 0) -> Tensor:
    """Fetches each pixel from where its flow points: bilinear, the border repeated outside.

    Args:
        picture: (B, C, H, W).
        flow: (B, 2, rows, W), pixels, x then y: all rows, or some.
        first: Row of the picture that the flow begins at.

    Returns:
        (B, C, rows, W) in float32.
    """
    height, width = picture.shape[-2:]
    places = coordinates(flow.shape[-2], flow.shape[-1], flow.device)
    x, y = (places + flow).unbind(dim=1)
    y = y + first
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    return F.grid_sample(
        picture.float(), grid, mode="bilinear", padding_mode="border", align_corners=True
    )


def load(card: Card[AmtSettings], path: Path, device: torch.device) -> Amt:
    """Loads the network of `card` with the weights in the file `path`, ready to infer.

    Raises:
        WeightsError: The file is absent, unreadable, another one, or does not fit.
    """
    tensors = read_card(card, path)
    return laid_out(in_bands(filled(partial(Amt, card.settings), tensors, path, device)))


@torch.inference_mode()
def interpolate(
    model: Amt, frames0: Tensor, frames1: Tensor, t: float = 0.5, scale: float = 1.0
) -> Tensor:
    """Frames between pairs of frames of any size that the network can take.

    Args:
        model: The network.
        frames0: uint8 (N, 3, H, W), RGB.
        frames1: Like `frames0`; the i-th pair is `frames0[i]`, `frames1[i]`.
        t: Time of the frames asked for, between 0 and 1, both excluded.
        scale: Size, relative to the frames', at which motion is estimated: 16 / n for a whole
            number n of at least 16.

    Returns:
        float32 (N, 3, H, W) in [0, 1].

    Raises:
        FrameTooSmallError: A padded side times `scale` is shorter than 128 pixels: the coarsest
            level of the correlation would be a single pixel, which cannot be sampled.
    """
    device = next(model.parameters()).device
    padded, padding = pad_to_multiple(
        torch.cat([frames0, frames1]).to(device).float() / 255,
        multiple=round(_PREPROCESSING.multiple / scale),
        smallest=math.ceil(_PREPROCESSING.smallest / scale),
        network="AMT",
    )
    return padding.crop(model(*padded.chunk(2), t=t, scale=scale).frame)


def _split(out: Tensor) -> Motion:
    """A decoder's output: two flows, which keep float32 under autocast, and a feature."""
    flow0, flow1, feature = out.tensor_split([2, 4], dim=1)
    return Motion(flow0.float(), flow1.float(), feature)


def _decoded(
    decoder: Decoder, motion: Motion, contexts: tuple[Tensor, Tensor], first: int = 0
) -> Tensor:
    """What a decoder makes of the feature, both contexts fetched along the flows, and the flows."""
    flow0, flow1, feature = motion
    warped0, warped1 = (
        warp(context, flow, first) for context, flow in zip(contexts, (flow0, flow1), strict=True)
    )
    out: Tensor = decoder(torch.cat([feature, warped0, warped1, flow0, flow1], dim=1))
    return out


def _in_one_piece(finer: Callable[..., Tensor], motion: Motion, _channels: int) -> Tensor:
    return finer(motion)


def _in_bands(finer: Callable[..., Tensor], motion: Motion, channels: int) -> Tensor:
    """Joins what `finer`, which doubles the size and gives `channels`, makes of bands of rows.

    Each band sees `BORDER` more rows on both sides than are kept of it. That is further than a
    decoder reaches, so that the bands' borders do not show.
    """
    height, width = motion.flow0.shape[-2:]
    joined = motion.flow0.new_empty(len(motion.flow0), channels, 2 * height, 2 * width)
    for start in range(0, height, ROWS):
        end = min(start + ROWS, height)
        first, last = max(start - BORDER, 0), min(end + BORDER, height)
        band = finer(Motion(*(each[..., first:last, :] for each in motion)), first=first)
        joined[..., 2 * start : 2 * end, :] = band[..., 2 * (start - first) : 2 * (end - first), :]
    return joined


def _too_large(frame: Tensor) -> bool:
    height, width = frame.shape[-2:]
    return large(height // 8, width // 8)


def _doubled(motion: Motion) -> tuple[Tensor, Tensor]:
    """Both flows at twice the size, and so twice as long."""
    return 2 * resized(motion.flow0, 2), 2 * resized(motion.flow1, 2)
