"""ViCLIP: a video tower and a text tower whose embeddings agree where text and clip do.

The blocks and the text tower are open_clip's, the video tower is ours; all tensors carry the
published names.

Source: "InternVid: A Large-scale Video-Text Dataset for Multimodal Understanding and Generation"
(arXiv:2307.06942), the network that VBench's temporal style loads.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.transformer import LayerNorm, QuickGELU, TextTransformer, Transformer
from torch import Tensor, nn

from metrics.backbones import published
from metrics.backbones.card import Card, Preprocessing, Shipped
from metrics.backbones.loading import read_card
from mora.checkpoints.tensors import filled


@dataclass(frozen=True)
class ViClipSettings:
    """Size of the network.

    Attributes:
        embedding: Numbers in an embedding of a clip or of a text.
        side: Side of a frame in pixels.
        patch: Side of a patch in pixels.
        frames: Frames of a clip.
        width: Numbers in a token of the video tower.
        layers: Its blocks.
        heads: Its attention heads.
        vocabulary: Ids of the tokenizer.
        context: Ids of a text, markers included.
        text_width: Numbers in a token of the text tower.
        text_layers: Its blocks.
        text_heads: Its attention heads.
        merges: The tokenizer's merges, relative to the folder of mini weights; `None` takes the
            published ones.
    """

    embedding: int
    side: int
    patch: int
    frames: int
    width: int
    layers: int
    heads: int
    vocabulary: int
    context: int
    text_width: int
    text_layers: int
    text_heads: int
    merges: str | None = None


OFFICIAL = published.VICLIP.card(
    settings=ViClipSettings(
        embedding=768,
        side=224,
        patch=14,
        frames=8,
        width=1024,
        layers=24,
        heads=16,
        vocabulary=49408,
        context=32,
        text_width=768,
        text_layers=12,
        text_heads=12,
    ),
    preprocessing=Preprocessing(
        side=224,
        interpolation="bicubic",
        crop=True,
        mean=OPENAI_DATASET_MEAN,
        std=OPENAI_DATASET_STD,
    ),
)

MINI = Card(
    name="viclip_mini",
    weights="mini",
    settings=ViClipSettings(
        embedding=112,
        side=80,
        patch=10,
        frames=8,
        width=112,
        layers=3,
        heads=7,
        vocabulary=938,
        context=48,
        text_width=96,
        text_layers=2,
        text_heads=3,
        merges="vocabulary/bpe.txt.gz",
    ),
    preprocessing=Preprocessing(
        side=80,
        interpolation="bicubic",
        crop=True,
        mean=OPENAI_DATASET_MEAN,
        std=OPENAI_DATASET_STD,
    ),
    origin=Shipped("viclip/model.safetensors"),
    licence="Apache-2.0",
    source="lab/train/viclip.py",
)


class VideoTower(nn.Module):
    """A vision transformer over all patches of all frames at once, with one class token.

    Args:
        settings: Size of the network.
    """

    def __init__(self, settings: ViClipSettings) -> None:
        super().__init__()
        width, patch = settings.width, settings.patch
        patches = (settings.side // patch) ** 2
        scale = width**-0.5
        self.conv1 = nn.Conv3d(3, width, (1, patch, patch), (1, patch, patch), bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(patches + 1, width))
        self.temporal_positional_embedding = nn.Parameter(
            scale * torch.randn(1, settings.frames, width)
        )
        self.ln_pre = LayerNorm(width)
        self.transformer = Transformer(width, settings.layers, settings.heads, act_layer=QuickGELU)
        self.ln_post = LayerNorm(width)
        self.proj = nn.Parameter(scale * torch.randn(width, settings.embedding))

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeds clips.

        Args:
            pixels: Normalised `(B, frames, 3, side, side)`; a single frame takes the mean of the
                frames' temporal embeddings.

        Returns:
            `(B, embedding)`, of any length.
        """
        patches = self.conv1(pixels.transpose(1, 2)).flatten(3).permute(0, 2, 3, 1)
        moments: Tensor = self.temporal_positional_embedding
        if pixels.shape[1] == 1:
            moments = moments.mean(1, keepdim=True)
        patches = patches + self.positional_embedding[1:] + moments[:, :, None]
        first = (self.class_embedding + self.positional_embedding[0]).expand(len(pixels), 1, -1)
        tokens = torch.cat([first, patches.flatten(1, 2)], dim=1)
        tokens = self.transformer(self.ln_pre(tokens))
        return self.ln_post(tokens[:, 0]) @ self.proj


class ViClip(nn.Module):
    """Both towers, and the temperature of their training, which no metric uses.

    Args:
        settings: Size of the network.
    """

    def __init__(self, settings: ViClipSettings) -> None:
        super().__init__()
        self.settings = settings
        self.temp = nn.Parameter(torch.tensor(0.01))
        self.vision_encoder = VideoTower(settings)
        self.text_encoder = TextTransformer(
            context_length=settings.context,
            vocab_size=settings.vocabulary,
            width=settings.text_width,
            heads=settings.text_heads,
            layers=settings.text_layers,
            output_dim=settings.embedding,
            act_layer=QuickGELU,
        )


def load(card: Card[ViClipSettings], path: Path, device: torch.device) -> ViClip:
    """Loads the network of `card` with the weights in the file `path`, ready to infer.

    Raises:
        WeightsError: The file is absent, unreadable, another one, or does not fit.
    """
    return filled(partial(ViClip, card.settings), read_card(card, path), path, device)


@torch.inference_mode()
def video_features(model: ViClip, pixels: Tensor) -> Tensor:
    """Embeds clips.

    Args:
        model: The network.
        pixels: Normalised frames `(B, frames, 3, side, side)`.

    Returns:
        float32 `(B, embedding)` of unit length.
    """
    return F.normalize(model.vision_encoder(pixels).float(), dim=-1)


@torch.inference_mode()
def text_features(model: ViClip, ids: Tensor) -> Tensor:
    """Embeds texts.

    Args:
        model: The network.
        ids: `(B, context)`, as `bpe.tokenize` gives them.

    Returns:
        float32 `(B, embedding)` of unit length.
    """
    return F.normalize(model.text_encoder(ids).float(), dim=-1)
