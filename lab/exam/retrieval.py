"""Embeddings against embeddings: retrieval, and the right text against a false one."""

import torch
from torch import Tensor


def retrieved(queries: Tensor, targets: Tensor) -> float:
    """Share of queries (N, D) whose nearest of the targets (N, D) is their own."""
    nearest = (queries @ targets.T).argmax(1)
    return float((nearest == torch.arange(len(queries), device=nearest.device)).float().mean())


def preferred(queries: Tensor, right: Tensor, false: Tensor) -> float:
    """Share of queries (N, D) that are nearer to their right text (N, D) than to the false one.

    A tie counts one half.
    """
    margin = (queries * (right - false)).sum(1)
    return float(((margin > 0).float() + 0.5 * (margin == 0).float()).mean())


def area_under_curve(positive: Tensor, negative: Tensor) -> float:
    """Chance that one of the positive scores (N,) is above one of the negative (M,), ties half."""
    above = positive[:, None] - negative[None]
    return float(((above > 0).float() + 0.5 * (above == 0).float()).mean())
