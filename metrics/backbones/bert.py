"""BERT as an encoder of sentences: the mean of a text's token vectors, at unit length.

The network is that of transformers, with the published names. Its pooler, a layer on the first
token that the training of sentence encoders leaves as it was, is loaded because the file has it,
and is not used.

Source: "BERT" (arXiv:1810.04805); "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks"
(arXiv:1908.10084), whose mean pooling this is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertConfig, BertModel

from metrics.backbones import published
from metrics.backbones.card import Card, Preprocessing, Published
from metrics.backbones.loading import file_sha256, read_card
from mora.checkpoints.tensors import WeightsError, filled

Pooling = Literal["mean", "first"]

_POSITIONS = "embeddings.position_ids"
"""Integers in the published file that only count; today's class makes them itself."""


@dataclass(frozen=True)
class BertSettings:
    """Size of the network.

    Attributes:
        width: Numbers in a token, and in a sentence's embedding.
        layers: Its blocks.
        heads: Its attention heads.
        inner: Numbers in the middle of a block's feed-forward layer.
        vocabulary: Ids of the tokenizer.
        positions: Most tokens that it has positions for.
        context: Tokens that a text is cut to, markers included.
        tokenizer: What turns texts into tokens, a file of the library `tokenizers`.
    """

    width: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    context: int
    tokenizer: Published


OFFICIAL = published.MINILM.card(
    BertSettings(
        width=384,
        layers=6,
        heads=12,
        inner=1536,
        vocabulary=30522,
        positions=512,
        context=256,
        tokenizer=published.MINILM_TOKENIZER,
    ),
    Preprocessing(),
)


class Tokens(NamedTuple):
    """Texts as ids, int64 `(B, N)`, N the longest text's length, and what is text in them.

    Attributes:
        ids: Start marker, text, end marker, padding.
        mask: 1 for text and markers, 0 for padding.
    """

    ids: Tensor
    mask: Tensor


def build(settings: BertSettings) -> BertModel:
    """Builds the network with random weights."""
    return BertModel(
        BertConfig(
            vocab_size=settings.vocabulary,
            hidden_size=settings.width,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            intermediate_size=settings.inner,
            max_position_embeddings=settings.positions,
        )
    )


def load(card: Card[BertSettings], path: Path, device: torch.device) -> BertModel:
    """Loads the network of `card` with the weights in the file `path`, ready to infer.

    Raises:
        WeightsError: The file is absent, unreadable, another one, or does not fit.
    """
    tensors = read_card(card, path)
    tensors.pop(_POSITIONS, None)
    return filled(partial(build, card.settings), tensors, path, device)


def tokenizer(settings: BertSettings, path: Path) -> Tokenizer:
    """Reads the tokenizer, and has it cut texts as the settings say.

    The cut and the padding that the file itself asks for are those of the training.

    Raises:
        WeightsError: The file is absent or is not the one that the settings name.
    """
    expected = settings.tokenizer.sha256
    found = file_sha256(path) if path.is_file() else None
    if found is None or found != expected:
        raise WeightsError(
            f"{path}: expected the tokenizer with sha256 {expected}, found "
            + ("no such file" if found is None else found)
            + "; fetch it again"
        )
    made = Tokenizer.from_file(str(path))
    made.enable_truncation(settings.context)
    made.enable_padding()
    return made


def tokenize(using: Tokenizer, texts: Sequence[str]) -> Tokens:
    """Turns texts into rows of ids, the shorter ones padded."""
    rows = using.encode_batch(list(texts))
    return Tokens(
        torch.tensor([row.ids for row in rows]), torch.tensor([row.attention_mask for row in rows])
    )


@torch.inference_mode()
def sentence_features(model: BertModel, tokens: Tokens, pooling: Pooling) -> Tensor:
    """Embeds texts.

    Args:
        model: The network.
        tokens: The texts, on its device.
        pooling: `mean` is the mean of all tokens that are not padding, the markers included;
            `first` is the start marker's.

    Returns:
        float32 `(B, width)` of unit length.
    """
    states = model(input_ids=tokens.ids, attention_mask=tokens.mask).last_hidden_state.float()
    if pooling == "first":
        return F.normalize(states[:, 0], dim=-1)
    kept = tokens.mask[:, :, None].to(states.dtype)
    return F.normalize((states * kept).sum(1) / kept.sum(1), dim=-1)
