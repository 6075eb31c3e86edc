"""What the trainings of CLIP and ViCLIP share: losses between embeddings, texts as ids."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.backbones import bpe
from metrics.backbones.clip import ClipSettings
from metrics.backbones.viclip import ViClipSettings
from mora.checkpoints import mini_weights


def contrast(seen: Tensor, said: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """The symmetric contrastive loss of CLIP (arXiv:2103.00020, figure 3).

    Args:
        seen: Embeddings of pictures or clips (B, D).
        said: Embeddings of their texts (B, D), in the same order.
        scale: What cosines are multiplied by.

    Returns:
        The loss, and the share of pictures whose own text is the nearest of the batch's.
    """
    logits = scale * F.normalize(seen.float(), dim=-1) @ F.normalize(said.float(), dim=-1).T
    own = torch.arange(len(logits), device=logits.device)
    loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    return loss, (logits.argmax(1) == own).float().mean()


def shares(labels: Tensor, count: int) -> Tensor:
    """Spreads a weight of 1 over the labels (B, n) of each row: (B, count); -1 is no label."""
    hits = (labels[..., None] == torch.arange(count, device=labels.device)).float().sum(1)
    return hits / hits.sum(1, keepdim=True)


def text_ids(texts: Sequence[str], settings: ClipSettings | ViClipSettings) -> Tensor:
    """Splits texts with the miniature vocabulary: int64 (B, context).

    Raises:
        ValueError: The vocabulary has another size than the network is built for.
    """
    if settings.merges is None:
        raise ValueError("expected the settings of a miniature network, found published ones")
    tokenizer = bpe.tokenizer(mini_weights() / settings.merges)
    if tokenizer.eot_token_id != settings.vocabulary - 1:
        raise ValueError(
            f"{settings.merges} has {tokenizer.eot_token_id + 1} ids and the network "
            f"{settings.vocabulary}; give the card's settings the size of the vocabulary"
        )
    return bpe.tokenize(tokenizer, texts, settings.context).ids
