"""The aesthetic head: one linear layer from CLIP's picture embedding to a rating.

Source: LAION-AI/aesthetic-predictor, whose head for CLIP ViT-L/14 ships with this project. The
miniature head takes miniature CLIP's embedding; what its ratings mean is said in
`lab/train/aesthetic.py`.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metrics.backbones import clip, published
from metrics.backbones.card import Card, Preprocessing, Shipped
from metrics.backbones.loading import read_card
from mora.checkpoints.tensors import filled


@dataclass(frozen=True)
class HeadSettings:
    """Size of the head.

    Attributes:
        embedding: Numbers in the embedding that it takes.
    """

    embedding: int


OFFICIAL = published.AESTHETIC.card(
    settings=HeadSettings(embedding=clip.L14.settings.embedding),
    preprocessing=Preprocessing(),
)

OFFICIAL_PATH = published.AESTHETIC.path(Path())
"""The published head as it ships with this project."""

MINI = Card(
    name="aesthetic_mini",
    weights="mini",
    settings=HeadSettings(embedding=clip.MINI.settings.embedding),
    preprocessing=Preprocessing(),
    origin=Shipped("aesthetic/model.safetensors"),
    licence="Apache-2.0",
    source="lab/train/aesthetic.py",
)


def build(settings: HeadSettings) -> nn.Linear:
    """Builds the head with random weights."""
    return nn.Linear(settings.embedding, 1)


def load(card: Card[HeadSettings], path: Path, device: torch.device) -> nn.Linear:
    """Loads the head of `card` with the weights in the file `path`, ready to infer.

    Raises:
        WeightsError: The file is absent, unreadable, another one, or does not fit.
    """
    return filled(partial(build, card.settings), read_card(card, path), path, device)


@torch.inference_mode()
def scores(head: nn.Linear, features: Tensor) -> Tensor:
    """Rates pictures by their embeddings.

    Args:
        head: The head.
        features: CLIP's picture embeddings `(B, embedding)`; brought to unit length here.

    Returns:
        float32 `(B,)`, ratings meant for 1 to 10 and not clamped to it.
    """
    # In half precision, where CLIP may be, the rating itself would be rounded to 0.004.
    with torch.autocast(features.device.type, enabled=False):
        return head(F.normalize(features.float(), dim=-1))[:, 0]
