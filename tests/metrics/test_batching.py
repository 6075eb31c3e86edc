"""Frames of several videos in the forwards of one network, which is arithmetic here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from metrics.batching import SIZES_WAITING, Lanes, Reading
from metrics.capture import Row
from metrics.features import EncodedFrameFeature, Facts
from metrics.networks import Networks
from metrics.preprocess import Size

NETWORKS = Networks("mini", Path(), torch.device("cpu"))


@dataclass(frozen=True)
class Differences(EncodedFrameFeature):
    """Sum of the absolute differences of frames two apart; frames are doubled by themselves."""

    size: int
    backbones = ("dino",)

    def items(self, facts: Facts) -> Sequence[tuple[int, ...]]:
        return [(index, index + 2) for index in range(facts.frames - 2)]

    def batch(self, size: Size, networks: Networks) -> int:  # noqa: ARG002
        return self.size

    def encode(self, inputs: Row, size: Size, networks: Networks) -> Row:  # noqa: ARG002
        forwards.append(("encode", len(inputs[0])))
        return (2 * inputs[0].float(),)

    def forward(self, inputs: Row, size: Size, networks: Networks) -> Row:  # noqa: ARG002
        forwards.append(("forward", len(inputs[0])))
        before, after = inputs
        if bool((after == 2 * POISON).any()):
            raise ArithmeticError("poison")
        return ((after - before).abs().sum((1, 2, 3)),)


POISON = 77
forwards: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def no_forwards_yet() -> None:
    forwards.clear()


def frames(count: int, seed: int, side: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, POISON, (count, 3, side, side), generator=generator).byte()


def facts(video: Tensor) -> Facts:
    count, _, height, width = video.shape
    return Facts(count, height, width, 8.0)


def expected(video: Tensor) -> list[float]:
    doubled = 2 * video.float()
    return (doubled[2:] - doubled[:-2]).abs().sum((1, 2, 3)).tolist()


def read(reading: Reading, video: Tensor, pieces: Sequence[int]) -> None:
    first = 0
    for piece in video.split(list(pieces)):
        reading.read(first, piece)
        first += len(piece)


@pytest.mark.parametrize("pieces", [[9], [1] * 9, [2, 6, 1]])
@pytest.mark.parametrize("batch", [1, 3, 16])
def test_pieces_and_batches_change_nothing(pieces: list[int], batch: int) -> None:
    video = frames(9, 0)
    lanes = Lanes(NETWORKS)
    reading = Reading(Differences(batch), facts(video), lanes, "video")
    read(reading, video, pieces)
    lanes.flush()
    assert reading.finished
    assert reading.values().tolist() == expected(video)
    assert {size for _, size in forwards} == {batch}, "every forward has the same shape"
    assert reading.seconds > 0


def test_videos_of_one_size_fill_each_others_forwards() -> None:
    videos = [frames(count, count) for count in (4, 7, 3, 6)]
    lanes = Lanes(NETWORKS)
    readings = [Reading(Differences(4), facts(each), lanes, index) for index, each in
                enumerate(videos)]  # fmt: skip
    waited = []
    for reading, video in zip(readings, videos, strict=True):
        read(reading, video, [len(video)])
        waited.append([each.finished for each in readings])
    assert waited[0] == [False] * 4, "two rows do not fill a forward of four"
    assert waited[-1][0], "the first video is finished by what came after it"
    lanes.flush()
    for reading, video in zip(readings, videos, strict=True):
        assert reading.values().tolist() == expected(video)
    rows, encoded = sum(len(each) - 2 for each in videos), sum(len(each) for each in videos)
    assert forwards.count(("forward", 4)) == -(-rows // 4)
    assert forwards.count(("encode", 4)) == -(-encoded // 4)


def test_an_error_costs_only_the_video_it_belongs_to() -> None:
    good, bad, other = frames(4, 1), frames(4, 2), frames(5, 3)
    bad[3] = POISON
    lanes = Lanes(NETWORKS)
    readings = [Reading(Differences(6), facts(each), lanes, index) for index, each in
                enumerate((good, bad, other))]  # fmt: skip
    for reading, video in zip(readings, (good, bad, other), strict=True):
        read(reading, video, [len(video)])
    lanes.flush()
    assert isinstance(readings[1].error, ArithmeticError)
    assert readings[1].finished
    assert readings[0].values().tolist() == expected(good)
    assert readings[2].values().tolist() == expected(other)


def test_sizes_do_not_meet_and_few_of_them_wait() -> None:
    lanes = Lanes(NETWORKS)
    videos = [frames(4, side, side) for side in range(2, 4 + SIZES_WAITING)]
    readings = []
    for index, video in enumerate(videos):
        readings.append(Reading(Differences(5), facts(video), lanes, index))
        read(readings[-1], video, [4])
    assert [each.finished for each in readings] == [True, True] + [False] * SIZES_WAITING
    lanes.flush()
    for reading, video in zip(readings, videos, strict=True):
        assert reading.values().tolist() == expected(video)
