"""Does DINO tell a moving object from another object?

Similarity of the first and the last frame of held-out clips, once of the same object, and once
with the main object of the last frame replaced by another shape in another colour, with the same
background and motion. The figures are the chance that a same-object pair is the more similar one,
over all such pairs of pairs (the area under the ROC curve), and the share of scenes in which it is.
Beside them stands the similarity of the bare pixels, the mean squared difference: an object that
moves is, to them, as different as another one.
"""

import torch
from torch import Tensor

from lab.exam.exam import Exam, batches
from lab.exam.figures import Figure
from lab.exam.held_out import films, with_other_object
from lab.exam.retrieval import area_under_curve
from lab.world.scene import sample_scenes
from metrics import preprocess
from metrics.backbones import dino


def examine(exam: Exam) -> list[Figure]:
    """Separation over all scenes, and scene by scene."""
    rng = exam.rng("dino")
    scenes = sample_scenes(exam.count, exam.seed)
    others = [with_other_object(scene, rng) for scene in scenes]
    clips, changed = films(scenes, exam.device), films(others, exam.device)
    first, last, swapped = clips[:, 0], clips[:, -1], changed[:, -1]
    seen, seen_last, seen_swapped = (features(exam, part) for part in (first, last, swapped))
    same, other = (seen * seen_last).sum(1), (seen * seen_swapped).sum(1)
    pixels, other_pixels = pixel_similarity(first, last), pixel_similarity(first, swapped)
    on, count = "first and last frames, same or other object", len(scenes)
    beside = {"pixels": area_under_curve(pixels, other_pixels), "chance": 0.5}
    within = {"pixels": above(pixels, other_pixels), "chance": 0.5}
    area = area_under_curve(same, other)
    return [
        Figure("same object more similar, across scenes", on, area, "AUC", count, beside=beside),
        Figure(
            "same object more similar, in a scene",
            on,
            above(same, other),
            "share",
            count,
            beside=within,
        ),
    ]


def pixel_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Similarity (N,) of frames uint8 (N, 3, H, W): the negative mean squared difference."""
    return -(first.float() - second.float()).square().mean((1, 2, 3))


def above(same: Tensor, other: Tensor) -> float:
    """Share of scenes whose same-object similarity is the larger one."""
    return float((same > other).float().mean())


def features(exam: Exam, frames: Tensor) -> Tensor:
    """DINO's features (N, D) of frames uint8 (N, 3, H, W), resized as for object consistency."""
    model, how = exam.networks["dino"], exam.networks.card("dino").preprocessing
    return torch.cat(
        [
            dino.features(model, preprocess.unrounded(frames[part].to(exam.device), how))
            for part in batches(len(frames), 32)
        ]
    )
