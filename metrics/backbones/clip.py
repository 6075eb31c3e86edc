"""CLIP: a picture tower and a text tower whose embeddings agree where text and picture do.

The network is open_clip's, with quick GELU and tensors of the published names. The published
program holds most matrices in half precision, so even in float32 on a CPU it computes with rounded
weights; `load` rounds the official ones in the same way, which moves embeddings by about 3e-3.

Source: "Learning Transferable Visual Models From Natural Language Supervision" (arXiv:2103.00020).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from open_clip import CLIP, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor, nn

from metrics.backbones import published
from metrics.backbones.card import Card, Preprocessing, Shipped
from metrics.backbones.loading import read_card
from mora.checkpoints.tensors import filled

_SHAPES_ONLY = ("input_resolution", "context_length", "vocab_size")
"""Integers in the published files that repeat the network's size."""


@dataclass(frozen=True)
class ClipSettings:
    """Size of the network.

    Attributes:
        embedding: Numbers in an embedding of a picture or of a text.
        side: Side of a picture in pixels.
        patch: Side of a patch in pixels.
        width: Numbers in a token of the picture tower.
        layers: Its blocks.
        heads: Its attention heads.
        vocabulary: Ids of the tokenizer.
        context: Ids of a text, markers included.
        text_width: Numbers in a token of the text tower.
        text_layers: Its blocks.
        text_heads: Its attention heads.
        merges: The tokenizer's merges, relative to the folder of mini weights; `None` takes the
            published ones.
        half: Whether matrices are rounded to half precision when they are loaded.
        texts: Whether the text tower is kept once its weights were read. Who embeds pictures only
            saves its memory, 0.5 GB of ViT-L/14.
    """

    embedding: int
    side: int
    patch: int
    width: int
    layers: int
    heads: int
    vocabulary: int
    context: int
    text_width: int
    text_layers: int
    text_heads: int
    merges: str | None = None
    half: bool = False
    texts: bool = True


def _preprocessing(side: int) -> Preprocessing:
    return Preprocessing(
        side=side,
        interpolation="bicubic",
        crop=True,
        mean=OPENAI_DATASET_MEAN,
        std=OPENAI_DATASET_STD,
    )


B32 = published.CLIP_B32.card(
    settings=ClipSettings(
        embedding=512,
        side=224,
        patch=32,
        width=768,
        layers=12,
        heads=12,
        vocabulary=49408,
        context=77,
        text_width=512,
        text_layers=12,
        text_heads=8,
        half=True,
    ),
    preprocessing=_preprocessing(224),
)

L14 = published.CLIP_L14.card(
    settings=ClipSettings(
        embedding=768,
        side=224,
        patch=14,
        width=1024,
        layers=24,
        heads=16,
        vocabulary=49408,
        context=77,
        text_width=768,
        text_layers=12,
        text_heads=12,
        half=True,
        texts=False,
    ),
    preprocessing=_preprocessing(224),
)

MINI = Card(
    name="clip_mini",
    weights="mini",
    settings=ClipSettings(
        embedding=128,
        side=96,
        patch=8,
        width=120,
        layers=4,
        heads=5,
        vocabulary=938,
        context=77,
        text_width=96,
        text_layers=2,
        text_heads=3,
        merges="vocabulary/bpe.txt.gz",
    ),
    preprocessing=_preprocessing(96),
    origin=Shipped("clip/model.safetensors"),
    licence="Apache-2.0",
    source="lab/train/clip.py",
)


def build(settings: ClipSettings) -> CLIP:
    """Builds the network with random weights."""
    return CLIP(
        settings.embedding,
        CLIPVisionCfg(
            layers=settings.layers,
            width=settings.width,
            head_width=settings.width // settings.heads,
            patch_size=settings.patch,
            image_size=settings.side,
        ),
        CLIPTextCfg(
            context_length=settings.context,
            vocab_size=settings.vocabulary,
            width=settings.text_width,
            heads=settings.text_heads,
            layers=settings.text_layers,
        ),
        quick_gelu=True,
    )


def half_tensors(settings: ClipSettings) -> Iterator[str]:
    """Names the tensors that the published program holds in half precision.

    They are the matrices and biases of convolutions, linear layers and attention, and both
    projections; embeddings, norms and the scale of the logits stay in float32.
    """
    with torch.device("meta"):
        model = build(settings)
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.MultiheadAttention):
            for name, _ in module.named_parameters(path, recurse=False):
                yield name
    yield from ("visual.proj", "text_projection")


def load(card: Card[ClipSettings], path: Path, device: torch.device) -> CLIP:
    """Loads the network of `card` with the weights in the file `path`, ready to infer.

    Raises:
        WeightsError: The file is absent, unreadable, another one, or does not fit.
    """
    tensors = as_published(read_card(card, path), card.settings)
    model = filled(partial(build, card.settings), tensors, path, torch.device("cpu"))
    if not card.settings.texts:
        model.transformer = model.token_embedding = model.ln_final = nn.Identity()
        del model.positional_embedding, model.text_projection
    return model.to(device)


def as_published(tensors: Mapping[str, Tensor], settings: ClipSettings) -> dict[str, Tensor]:
    """Gives tensors as the published program holds them: some of them rounded to half precision.

    What only repeats the network's size is left out.
    """
    rounded = set(half_tensors(settings)) if settings.half else set()
    return {
        name: tensor.half() if name in rounded else tensor
        for name, tensor in tensors.items()
        if name not in _SHAPES_ONLY
    }


@torch.inference_mode()
def image_features(model: CLIP, pixels: Tensor) -> Tensor:
    """Embeds pictures.

    Args:
        model: The network.
        pixels: Normalised `(B, 3, side, side)`.

    Returns:
        float32 `(B, embedding)` of unit length.
    """
    return F.normalize(model.encode_image(pixels).float(), dim=-1)


@torch.inference_mode()
def text_features(model: CLIP, ids: Tensor) -> Tensor:
    """Embeds texts.

    Args:
        model: The network.
        ids: `(B, context)`, as `bpe.tokenize` gives them.

    Returns:
        float32 `(B, embedding)` of unit length.
    """
    return F.normalize(model.encode_text(ids).float(), dim=-1)
