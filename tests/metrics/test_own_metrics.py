"""The paper's own metrics: their arithmetic, and what the protocols choose for them."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from goldens import parity

from metrics.cosine import cosine
from metrics.features import Facts, FrameSize, Of, Seconds, ViclipVideo, new_frames
from metrics.metric import Metric
from metrics.protocol import load_protocol
from metrics.registry import METRICS, make_metrics
from metrics.tcon import tcon
from metrics.tmean import tmean
from metrics.video_ti import video_ti
from mora.records import FailureKind, Given, Role

RESULTS = Path(__file__).parents[2] / "results" / "paper"
OWN = ("video_ti", "tcon", "tmean", "video_length_s")


def plain_cosine(first: np.ndarray, second: np.ndarray) -> float:
    dot = math.fsum(float(a) * float(b) for a, b in zip(first[0], second[0], strict=True))
    squares = (math.fsum(float(a) ** 2 for a in each[0]) for each in (first, second))
    return dot / math.sqrt(math.prod(squares))


@pytest.mark.parametrize("metric", [tcon, video_ti])
def test_cosines(metric) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        one, other = rng.normal(size=(2, 1, 37)).astype(np.float32)
        value, per_frame = metric(one, other)
        assert value == pytest.approx(plain_cosine(one, other), abs=1e-12)
        assert value == metric(other, one).value
        assert value == pytest.approx(metric(3 * one, 0.2 * other).value, abs=1e-7)
        assert per_frame.size == 0
        assert 1 - 1e-12 <= metric(one, one).value <= 1
        assert metric(one, -one).value == pytest.approx(-1)


def test_rounding_lifts_nothing_above_one() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(2000, 1, 7))
    assert max(cosine(each, 3 * each) for each in vectors) == 1


def test_tcon_of_the_references_embeddings() -> None:
    """Two clips that the reference embedded: different, and hardly so with random weights."""
    arrays = parity.read("viclip_l").arrays
    first, second = (arrays[f"{case}/video_embed"] for case in ("256x256_w0", "320x576_w0"))
    found = tcon(first, second).value
    assert found == pytest.approx(plain_cosine(first, second), abs=1e-9)
    assert found == pytest.approx(0.8580387535, abs=1e-9)


def test_tmean_is_the_mean_of_both_sides() -> None:
    rng = np.random.default_rng(2)
    part, before, after = rng.normal(size=(3, 1, 19))
    value, sides = tmean(part, before, after)
    expected = [plain_cosine(before, part), plain_cosine(after, part)]
    np.testing.assert_allclose(sides, expected, atol=1e-12)
    assert value == pytest.approx(sum(expected) / 2, abs=1e-12)
    assert tmean(part, after, before).value == value
    assert tmean(part, part, part).value == pytest.approx(1)


def test_length_is_frames_over_rate() -> None:
    [metric] = make_metrics(["video_length_s"], load_protocol("sound"))
    assert metric.measure({Seconds(): np.array([61 / 24])}).value == 61 / 24


def test_names_are_those_of_the_papers_columns() -> None:
    columns: set[str] = set()
    for path in RESULTS.glob("*.csv"):
        with path.open() as file:
            columns |= set(next(csv.reader(file)))
    assert columns - {"model", "video_quality"} == set(METRICS)


def test_what_each_needs() -> None:
    metrics = {each.name: each for each in make_metrics(list(METRICS), load_protocol("sound"))}
    assert {name: each.companions for name, each in metrics.items() if each.companions} == {
        "video_ti": (Role.INPUT_IMAGE,),
        "tcon": (Role.INPUT_VIDEO,),
        "tmean": (Role.VIDEO_BEFORE, Role.VIDEO_AFTER),
    }
    one_side = metrics["tmean"].inapplicable({Role.VIDEO_BEFORE, Role.INPUT_IMAGE})
    assert one_side is not None
    assert one_side.kind is FailureKind.NOT_APPLICABLE
    assert one_side.message == "tmean needs a video after."
    assert metrics["tmean"].inapplicable({Role.VIDEO_BEFORE, Role.VIDEO_AFTER}) is None
    for name in set(METRICS) - {"video_ti", "tcon", "tmean"}:
        assert metrics[name].inapplicable(()) is None


def facts(frames: int, given: Given | None) -> Facts:
    return Facts(frames, 128, 128, 7.0, "a circle", companions=frozenset(Role), given=given)


@pytest.mark.parametrize("name", ["tcon", "tmean"])
def test_the_new_part_is_what_was_not_given(name: str) -> None:
    def metric(protocol: str) -> Metric:
        return METRICS[name](load_protocol(protocol))

    frames = list(range(10))
    for start, end in ((0, 0), (3, 0), (0, 4), (3, 4), (9, 0), (1, 8)):
        known = facts(10, Given(start=start, end=end))
        assert frames[new_frames(known)] == frames[start : 10 - end]
        assert metric("sound").refusal(known) is None
    for start, end in ((10, 0), (0, 10), (6, 4), (8, 8), (99, 99)):
        known = facts(10, Given(start=start, end=end))
        assert frames[new_frames(known)] == []
        refusal = metric("sound").refusal(known)
        assert refusal is not None
        assert refusal.kind is FailureKind.TOO_FEW_FRAMES
        assert metric("paper").refusal(known) is None
    refusal = metric("sound").refusal(facts(10, None))
    assert refusal is not None
    assert refusal.kind is FailureKind.NOT_STATED
    assert metric("paper").refusal(facts(10, None)) is None
    assert metric("paper").refusal(Facts(10, 1, 1, 7.0)) is not None


def test_features_of_companions_are_told_apart() -> None:
    of_input = Of(Role.INPUT_VIDEO, ViclipVideo())
    of_before = Of(Role.VIDEO_BEFORE, ViclipVideo())
    assert len({of_input, of_before, ViclipVideo(), ViclipVideo("new_part"), FrameSize()}) == 5
    assert of_input == Of(Role.INPUT_VIDEO, ViclipVideo("whole"))
    assert (of_input.backbones, of_input.companions) == (("viclip",), (Role.INPUT_VIDEO,))


def test_the_protocols_choices() -> None:
    outputs = {name: load_protocol(name).tcon_output for name in ("vbench", "paper", "sound")}
    assert outputs == {"vbench": "whole", "paper": "whole", "sound": "new_part"}
    protocols = [load_protocol(name) for name in outputs]
    assert len({(each.picture_question, each.video_question) for each in protocols}) == 1
    assert {(each.caption_frames, each.bert_pooling) for each in protocols} == {(8, "mean")}
