"""Does CLIP know which caption belongs to which picture?

Held-out scenes are drawn at their start and captioned. Retrieval picks among all captions the one
nearest to a picture, and the other way round. Foils are harder: the same caption with another
colour, or another shape, of the main object; right is where the true caption is nearer.
"""

import torch
from torch import Tensor

from lab.exam.exam import Exam, batches
from lab.exam.figures import Figure
from lab.exam.held_out import Attribute, captions_of, films, foils_of
from lab.exam.retrieval import preferred, retrieved
from lab.world.scene import sample_scenes
from metrics import preprocess
from metrics.backbones import clip


def examine(exam: Exam) -> list[Figure]:
    """Retrieval both ways, then foils."""
    count = exam.count
    scenes = sample_scenes(count, exam.seed)
    pictures = picture_embeddings(exam, films(scenes, exam.device, frames=1)[:, 0])
    captions = text_embeddings(exam, captions_of(exam, scenes))
    on = f"{count} held-out pictures and captions"
    chance = {"chance": 1 / count}
    figures = [
        Figure(
            "caption found for a picture",
            on,
            retrieved(pictures, captions),
            "share",
            count,
            beside=chance,
        ),
        Figure(
            "picture found for a caption",
            on,
            retrieved(captions, pictures),
            "share",
            count,
            beside=chance,
        ),
    ]
    kinds: tuple[Attribute, ...] = ("colour", "shape")
    for kind in kinds:
        false = text_embeddings(exam, foils_of(exam, scenes, kind))
        value = preferred(pictures, captions, false)
        where = f"pictures, caption against another {kind}"
        figures.append(
            Figure("right caption nearer", where, value, "share", count, beside={"chance": 0.5})
        )
    return figures


def picture_embeddings(exam: Exam, frames: Tensor) -> Tensor:
    """CLIP's embeddings (N, D) of pictures uint8 (N, 3, H, W), resized as for appearance style."""
    model, how = exam.networks["clip_b32"], exam.networks.card("clip_b32").preprocessing
    return torch.cat(
        [
            clip.image_features(model, preprocess.antialiased(frames[part].to(exam.device), how))
            for part in batches(len(frames), 32)
        ]
    )


def text_embeddings(exam: Exam, texts: list[str]) -> Tensor:
    """CLIP's embeddings (N, D) of texts."""
    model = exam.networks["clip_b32"]
    tokens = torch.cat([exam.networks.tokens("clip_b32", text) for text in texts])
    return clip.text_features(model, tokens)
