"""Attention over time: rotary positions on part of each head, and a learned bias of distance."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RotaryEmbedding(nn.Module):
    """Turns the first channels of queries and keys by angles that grow with the frame's position.

    Neighbouring channels (0, 1), (2, 3) ... form the planes that are turned; channels beyond
    `channels` stay as they are. The frequencies are a fixed table, which the published checkpoints
    store nevertheless.

    Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", section
    3.2.2, arXiv 2104.09864.

    Args:
        channels: Channels of a head that are turned; even.
    """

    freqs: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("freqs", 10000 ** (-torch.arange(0, channels, 2) / channels))

    def forward(self, heads: Tensor) -> Tensor:
        """Turns queries or keys (..., frames, head width); returns the same shape and type."""
        positions = torch.arange(heads.shape[-2], device=heads.device)
        angles = positions[:, None] * self.freqs.float()
        cosine, sine = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
        turned, rest = heads.tensor_split([2 * len(self.freqs)], dim=-1)
        first, second = turned.unflatten(-1, (-1, 2)).unbind(-1)
        planes = (first * cosine - second * sine, second * cosine + first * sine)
        return torch.cat((torch.stack(planes, dim=-1).flatten(-2), rest), dim=-1)


class RelativePositionBias(nn.Module):
    """A learned bias for each head and each distance between query and key.

    Half of the buckets are for keys that come later than the query. Of each half, the first half
    holds one distance a bucket, and the rest is spaced logarithmically up to `furthest`.

    Source: Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
    Transformer", section 2.1, arXiv 1910.10683.

    Args:
        heads: Heads of the attention.
        buckets: Distances that are told apart; a multiple of 4.
        furthest: Distance from which on all are alike.
    """

    def __init__(self, heads: int, buckets: int, furthest: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.furthest = furthest
        self.relative_attention_bias = nn.Embedding(buckets, heads)

    def forward(self, frames: int) -> Tensor:
        """Returns the bias (heads, frames of the queries, frames of the keys)."""
        table = self.relative_attention_bias
        return table(self.bucket(frames, table.weight.device)).permute(2, 0, 1)

    def bucket(self, frames: int, device: torch.device) -> Tensor:
        """Returns each pair's bucket: int64 (frames of the queries, frames of the keys)."""
        positions = torch.arange(frames, device=device)
        ahead = positions[:, None] - positions
        half = self.buckets // 2
        exact = half // 2
        distance = ahead.abs()
        # In float32, as where the weights were trained: rounding decides buckets at their bounds.
        ratio = torch.log(distance.clamp(min=1).float() / exact) / math.log(self.furthest / exact)
        spaced = (exact + (ratio * (half - exact)).long()).clamp(max=half - 1)
        return torch.where(distance < exact, distance, spaced) + half * (ahead < 0)


class TemporalAttention(nn.Module):
    """Self-attention of each pixel over the frames, in both directions.

    Args:
        width: Channels.
        heads: Heads, which divide the channels.
        rotary_channels: Channels of a head with rotary positions.
        buckets: Buckets of the relative position bias.
        furthest: Distance in frames from which on the bias is the same.
    """

    def __init__(
        self, width: int, heads: int, rotary_channels: int, buckets: int, furthest: int
    ) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width, bias=False)
        self.to_v = nn.Linear(width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        self.time_rel_pos_bias = RelativePositionBias(heads, buckets, furthest)
        self.rotary_emb = RotaryEmbedding(rotary_channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mixes tokens (sequences, frames, width) over the frames; returns the same shape."""
        query, key, value = (
            project(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.to_q, self.to_k, self.to_v)
        )
        mixed = F.scaled_dot_product_attention(
            self.rotary_emb(query),
            self.rotary_emb(key),
            value,
            attn_mask=self.time_rel_pos_bias(tokens.shape[1]).to(query.dtype),
        )
        output: Tensor = self.to_out[0](mixed.transpose(1, 2).flatten(2))
        return output
