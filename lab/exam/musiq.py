"""Does the quality score fall as damage grows? Spearman's rank correlation for each kind of damage.

Each picture is damaged in six strengths from none to the most (`lab.data.damage`), and the
correlation of score and strength is taken within the picture, so that what it shows plays no part.
The figure is the mean over pictures, −1 at best. Pictures are of three sorts, which weigh the same:
held-out scenes, photographs that no training sees, and frames of real videos.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from lab.data.clips import read_clips
from lab.data.damage import KINDS, damage
from lab.data.pictures import tiles
from lab.exam.exam import Exam
from lab.exam.figures import Figure
from lab.exam.held_out import films, to_frames
from lab.exam.raft import SHORTER
from lab.world.scene import sample_scenes
from metrics.backbones import musiq

STRENGTHS: Final = 6
PHOTOGRAPH_SIDE: Final = 256
FRAMES_OF_EACH: Final = 8


def examine(exam: Exam) -> list[Figure]:
    """One figure for each kind of damage."""
    torch.manual_seed(exam.seed)
    sorts = {
        "scenes": _scenes(exam),
        "photographs": list(tiles("held_out", PHOTOGRAPH_SIDE)),
        "frames of real videos": _frames(),
    }
    figures = []
    for place, kind in enumerate(KINDS):
        ranks = {
            name: [_correlation(exam, picture, place) for picture in pictures]
            for name, pictures in sorts.items()
        }
        means = {name: float(np.mean(values)) for name, values in ranks.items()}
        count = sum(map(len, ranks.values()))
        value = float(np.mean(list(means.values())))
        measured = f"score against strength of {kind}"
        figures.append(Figure(measured, "held-out pictures", value, "correlation", count, means))
    return figures


def _scenes(exam: Exam) -> Sequence[Tensor]:
    scenes = sample_scenes(exam.count // 4 or 1, exam.seed)
    return list(films(scenes, torch.device("cpu"), frames=1)[:, 0])


def _frames() -> Sequence[Tensor]:
    frames = []
    for video in read_clips(250, SHORTER):
        places = np.linspace(0, len(video.frames) - 1, FRAMES_OF_EACH).astype(int)
        frames += list(to_frames(list(video.frames[places])))
    return frames


def _correlation(exam: Exam, picture: Tensor, kind: int) -> float:
    """Rank correlation of the score of a picture uint8 (3, H, W) with the strength of damage."""
    strength = torch.linspace(0, 1, STRENGTHS)
    copies = (picture.float() / 255).expand(STRENGTHS, -1, -1, -1)
    damaged = damage(copies, torch.full((STRENGTHS,), kind), strength)
    levels = (damaged * 255).round().byte()
    scores = musiq.scores(exam.networks["musiq"], levels).cpu().numpy()
    return float(spearmanr(strength.numpy(), scores).statistic)
