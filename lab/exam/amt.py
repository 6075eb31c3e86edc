"""Is the frame between two frames the true one? Peak signal-to-noise ratio of the middle frame.

Frames t−1 and t+1 give frame t. Beside AMT stand the average of the two frames and interpolation
by OpenCV's DIS flow, on the same triples: of each real video, and of held-out textured motion.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from lab.data.clips import read_clips
from lab.data.motion import TexturedMotion
from lab.data.pictures import tiles
from lab.exam.exam import Exam
from lab.exam.figures import Figure
from lab.exam.held_out import to_frames
from lab.exam.peers import Frame, average, dis_middle
from lab.exam.pixels import psnr
from lab.exam.raft import SHORTER, TEXTURED_SIDE
from metrics.backbones import amt

TRIPLES: Final = 12
"""Triples of frames of each real video."""


def examine(exam: Exam) -> list[Figure]:
    """Ratios on the real videos, then on textured motion."""
    figures = []
    for video in read_clips(250, SHORTER):
        places = np.linspace(1, len(video.frames) - 2, TRIPLES).astype(int)
        triples = [tuple(video.frames[place - 1 : place + 2]) for place in places]
        figures.append(_compared(exam, f"{video.name}, frames t−1 and t+1", triples))
    torch.manual_seed(exam.seed)
    motion = TexturedMotion(tiles("held_out"), torch.device("cpu"))
    batch = motion.draw(exam.count // 4 or 1, TEXTURED_SIDE, TEXTURED_SIDE)
    frames = (batch.frames * 255).round().byte().permute(0, 1, 3, 4, 2).numpy()
    figures.append(_compared(exam, "held-out textured motion", [tuple(three) for three in frames]))
    return figures


def amt_middle(exam: Exam, first: Frame, second: Frame) -> Frame:
    """The frame half-way between two, by the miniature AMT."""
    frames = to_frames([first, second])
    middle = amt.interpolate(exam.networks["amt"], frames[:1], frames[1:])
    levels: Frame = (middle[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return levels


def _compared(exam: Exam, on: str, triples: Sequence[tuple[Frame, ...]]) -> Figure:
    ratios: dict[str, list[float]] = {"AMT": [], "DIS": [], "average": []}
    for first, truth, last in triples:
        guesses = {
            "AMT": amt_middle(exam, first, last),
            "DIS": dis_middle(first, last),
            "average": average(first, last),
        }
        for name, guess in guesses.items():
            ratios[name].append(psnr(guess, truth))
    means = {name: float(np.mean(values)) for name, values in ratios.items()}
    return Figure("middle frame", on, means.pop("AMT"), "dB", len(triples), beside=means)
