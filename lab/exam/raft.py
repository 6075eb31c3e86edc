"""Is flow right? End-point error where motion is known, warping error on real videos.

Beside RAFT stand OpenCV's DIS flow and the answer "nothing moves", on the same pairs of frames:

- textured motion, with photographs that no training sees and motion drawn anew;
- moving objects of the world; the error is the mean over the objects' pixels, since the rest is
  still;
- real frames that a known motion has moved: a shift, a turn and a zoom about the frame's centre,
  exactly inverted, with margins so that no border shows;
- neighbouring frames of real videos, whose motion nobody knows: the second frame, fetched back
  along the flow, is compared with the first. What is hidden in the second frame cannot be fetched,
  so the error has a floor above 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lab.data.clips import read_clips
from lab.data.motion import TexturedMotion
from lab.data.pictures import tiles
from lab.exam.exam import Exam
from lab.exam.figures import Figure
from lab.exam.held_out import FPS, SIDE, films, to_frames
from lab.exam.peers import Flow, Frame, dis_flow, fetch, lands_inside
from lab.world.render import flow as true_flow
from lab.world.scene import encode, sample_scenes
from metrics.backbones import raft

TEXTURED_SIDE: Final = 192
SHORTER: Final = 256
"""Real videos are reduced to this shorter side, in pixels."""
PAIRS: Final = 12
"""Pairs of frames of each real video."""


@dataclass(frozen=True)
class Pair:
    """Two frames and the true flow from the first to the second where `known`."""

    first: Frame
    second: Frame
    flow: Flow
    known: NDArray[np.bool_]


def examine(exam: Exam) -> list[Figure]:
    """End-point errors, then warping errors."""
    videos = read_clips(250, SHORTER)
    frames = [frame for video in videos for frame in _spread(video.frames, PAIRS)]
    figures = [
        _end_point_error(exam, on, pairs)
        for on, pairs in (
            ("held-out textured motion", textured(exam, exam.count // 4 or 1)),
            ("moving objects of the world", world(exam, exam.count // 2 or 1)),
            ("real frames under a known motion", moved(exam, frames)),
        )
    ]
    for video in videos:
        places = np.linspace(0, len(video.frames) - 2, PAIRS).astype(int)
        pairs = [(video.frames[place], video.frames[place + 1]) for place in places]
        figures.append(_warping_error(exam, video.name, pairs))
    return figures


def textured(exam: Exam, count: int) -> list[Pair]:
    """Pairs of textured motion (`lab.data.motion`) with photographs that no training sees."""
    torch.manual_seed(exam.seed)
    batch = TexturedMotion(tiles("held_out"), torch.device("cpu")).draw(
        count, TEXTURED_SIDE, TEXTURED_SIDE
    )
    frames = (batch.frames * 255).round().byte().permute(0, 1, 3, 4, 2).numpy()
    flow = batch.flow.permute(0, 2, 3, 1).numpy()
    known = batch.valid[:, 0].bool().numpy()
    return [
        Pair(frames[index, 0], frames[index, 2], flow[index], known[index])
        for index in range(count)
    ]


def world(exam: Exam, count: int) -> list[Pair]:
    """Neighbouring frames of held-out scenes; known are the objects' pixels that move."""
    scenes = sample_scenes(count, exam.seed, motion=("left", "right", "up", "down", "orbit"))
    clips = films(scenes, torch.device("cpu"), frames=2).permute(0, 1, 3, 4, 2).numpy()
    start = torch.zeros(count)
    flows = (
        true_flow(encode(scenes), start, start + 1 / FPS, SIDE, SIDE).permute(0, 2, 3, 1).numpy()
    )
    return [
        Pair(clip[0], clip[1], flow, np.linalg.norm(flow, axis=-1) > 0)
        for clip, flow in zip(clips, flows, strict=True)
    ]


def moved(exam: Exam, frames: Sequence[Frame]) -> list[Pair]:
    """Real frames and the same, moved; both without their margins."""
    rng = exam.rng("moved")
    return [_moved(frame, rng) for frame in frames]


def _moved(frame: Frame, rng: np.random.Generator) -> Pair:
    height, width = frame.shape[:2]
    margin = min((min(height, width) - SIDE) // 2, 40)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    turn, zoom = math.radians(rng.uniform(-4, 4)), rng.uniform(0.96, 1.04)
    shift = rng.uniform(-0.5, 0.5, 2) * margin
    turned = zoom * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    matrix = np.column_stack((turned, centre + shift - turned @ centre))
    second = cv2.warpAffine(
        frame, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    places = np.stack((x, y), -1)
    flow = (places @ matrix[:, :2].T + matrix[:, 2] - places).astype(np.float32)
    inner = (slice(margin, height - margin), slice(margin, width - margin))
    flow = np.ascontiguousarray(flow[inner])
    first, second = (np.ascontiguousarray(picture[inner]) for picture in (frame, second))
    return Pair(first, second.astype(np.uint8, copy=False), flow, lands_inside(flow))


def raft_flow(exam: Exam, first: Frame, second: Frame) -> Flow:
    """Flow from `first` to `second` by the miniature RAFT."""
    frames = to_frames([first, second])
    flow = raft.flows(exam.networks["raft"], frames[:1], frames[1:], crop=True)
    values: Flow = flow[0].permute(1, 2, 0).cpu().numpy()
    return values


def _end_point_error(exam: Exam, on: str, pairs: Sequence[Pair]) -> Figure:
    errors: dict[str, list[float]] = {"RAFT": [], "DIS": [], "no motion": []}
    for pair in pairs:
        guesses = {
            "RAFT": raft_flow(exam, pair.first, pair.second),
            "DIS": dis_flow(pair.first, pair.second),
            "no motion": np.zeros_like(pair.flow),
        }
        for name, guess in guesses.items():
            distance = np.linalg.norm(guess - pair.flow, axis=-1)
            errors[name].append(float(distance[pair.known].mean()))
    return _compared("end-point error", on, errors, "px")


def _warping_error(exam: Exam, name: str, pairs: Sequence[tuple[Frame, Frame]]) -> Figure:
    errors: dict[str, list[float]] = {"RAFT": [], "DIS": [], "no motion": []}
    for first, second in pairs:
        guesses = {
            "RAFT": raft_flow(exam, first, second),
            "DIS": dis_flow(first, second),
            "no motion": np.zeros((*first.shape[:2], 2), np.float32),
        }
        # The same pixels for all: those that both methods lead to a place inside the frame.
        inside = lands_inside(guesses["RAFT"]) & lands_inside(guesses["DIS"])
        for method, guess in guesses.items():
            difference = np.abs(fetch(second, guess) - first).mean(-1)
            errors[method].append(float(difference[inside].mean()))
    return _compared("warping error", f"{name}, neighbouring frames", errors, "levels")


def _compared(
    measured: str, on: str, errors: dict[str, list[float]], unit: Literal["px", "levels"]
) -> Figure:
    means = {name: float(np.mean(values)) for name, values in errors.items()}
    count = len(errors["RAFT"])
    return Figure(measured, on, means.pop("RAFT"), unit, count, beside=means)


def _spread(frames: NDArray[np.uint8], count: int) -> list[Frame]:
    """`count` frames in even steps."""
    return list(frames[np.linspace(0, len(frames) - 1, count).astype(int)])
