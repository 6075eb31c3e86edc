"""Does ViCLIP know which caption belongs to which clip, and does it see motion?

As for CLIP, but with clips, whose eight frames are picked and resized as for temporal style. The
foil that matters is the same caption with another *motion* of the main object: a single frame
cannot tell them apart. Beside it stands the same clip without its motion (its first frame, eight
times), which shows how much of the answer the frame gives away.
"""

import torch
from torch import Tensor

from lab.exam.exam import Exam
from lab.exam.figures import Figure
from lab.exam.held_out import Attribute, captions_of, films, foils_of
from lab.exam.retrieval import preferred, retrieved
from lab.world.scene import sample_scenes
from metrics import preprocess
from metrics.backbones import viclip


def examine(exam: Exam) -> list[Figure]:
    """Retrieval both ways, then foils."""
    count = exam.count
    scenes = sample_scenes(count, exam.seed)
    clips = films(scenes, exam.device)
    moving = clip_embeddings(exam, clips)
    frozen = clip_embeddings(exam, clips[:, :1].expand_as(clips))
    captions = text_embeddings(exam, captions_of(exam, scenes))
    on = f"{count} held-out clips and captions"
    chance = {"chance": 1 / count}
    figures = [
        Figure(
            "caption found for a clip",
            on,
            retrieved(moving, captions),
            "share",
            count,
            beside=chance,
        ),
        Figure(
            "clip found for a caption",
            on,
            retrieved(captions, moving),
            "share",
            count,
            beside=chance,
        ),
    ]
    kinds: tuple[Attribute, ...] = ("colour", "shape", "motion")
    for kind in kinds:
        false = text_embeddings(exam, foils_of(exam, scenes, kind))
        beside = {"chance": 0.5}
        if kind == "motion":
            beside = {"first frame only": preferred(frozen, captions, false), **beside}
        value = preferred(moving, captions, false)
        where = f"clips, caption against another {kind}"
        figures.append(Figure("right caption nearer", where, value, "share", count, beside=beside))
    return figures


def clip_embeddings(exam: Exam, clips: Tensor) -> Tensor:
    """ViCLIP's embeddings (N, D) of clips uint8 (N, T, 3, H, W)."""
    model, card = exam.networks["viclip"], exam.networks.card("viclip")
    picked = preprocess.middle_frames(clips.shape[1], card.settings.frames)
    embeddings = [
        viclip.video_features(
            model, preprocess.rounded(clip[picked].to(exam.device), card.preprocessing)[None]
        )
        for clip in clips
    ]
    return torch.cat(embeddings)


def text_embeddings(exam: Exam, texts: list[str]) -> Tensor:
    """ViCLIP's embeddings (N, D) of texts."""
    model = exam.networks["viclip"]
    tokens = torch.cat([exam.networks.tokens("viclip", text) for text in texts])
    return viclip.text_features(model, tokens)
