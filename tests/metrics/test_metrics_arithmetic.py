"""The metrics' arithmetic against a second computation of each, in loops over plain numbers."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metrics.aesthetic_quality import aesthetic_quality
from metrics.appearance_style import appearance_style
from metrics.consistency import consistency
from metrics.dynamic_degree import dynamic_degree
from metrics.features import Facts
from metrics.imaging_quality import imaging_quality
from metrics.metric import Metric
from metrics.motion_smoothness import motion_smoothness
from metrics.protocol import load_protocol
from metrics.registry import METRICS, make_metrics
from metrics.temporal_style import temporal_style
from mora.records import FailureKind, Given, Role

GOLDENS = Path(__file__).parents[1] / "goldens" / "vbench_scores"


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    dot = sum(float(a) * float(b) for a, b in zip(one, other, strict=True))
    lengths = [math.sqrt(sum(float(a) ** 2 for a in vector)) for vector in (one, other)]
    return dot / (lengths[0] * lengths[1])


@pytest.mark.parametrize("count", [2, 3, 17])
def test_consistency_is_likeness_to_the_frame_before_and_to_the_first(count: int) -> None:
    rng = np.random.default_rng(count)
    features = rng.normal(0.3, 1.0, (count, 24)).astype(np.float32)
    likeness = [
        (max(0, cosine(features[i], features[i - 1])) + max(0, cosine(features[i], features[0])))
        / 2
        for i in range(1, count)
    ]
    value, per_frame = consistency(features)
    np.testing.assert_allclose(per_frame, likeness, rtol=0, atol=1e-12)
    assert value == pytest.approx(sum(likeness) / (count - 1), abs=1e-12)
    assert any(cosine(f, features[0]) < 0 for f in features) or count < 17, "nothing was cut at 0"


def test_consistency_of_frames_that_agree_turn_away_and_come_back() -> None:
    east, north, west = np.eye(2)[0], np.eye(2)[1], -np.eye(2)[0]
    assert consistency([east, 3 * east, 0.1 * east]).value == 1
    assert consistency([east, west]).value == 0
    assert consistency([east, north, north, east]).per_frame.tolist() == [0, 0.5, 0.5]


def test_consistency_does_not_depend_on_the_length_of_vectors() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6, 5))
    scaled = features * rng.uniform(0.1, 10, (6, 1))
    np.testing.assert_allclose(consistency(scaled).per_frame, consistency(features).per_frame)


def test_motion_smoothness_is_the_share_of_the_scale_that_is_not_error() -> None:
    errors = np.array([0.0, 255.0, 51.0])
    value, per_frame = motion_smoothness(errors)
    assert per_frame.tolist() == [1.0, 0.0, 0.8]
    assert value == pytest.approx(0.6, abs=1e-15)


def test_aesthetic_and_imaging_quality_are_scaled_means() -> None:
    rng = np.random.default_rng(1)
    ratings = rng.uniform(-1, 11, 9).astype(np.float32)
    assert aesthetic_quality(ratings).value == pytest.approx(sum(map(float, ratings)) / 90)
    assert aesthetic_quality(ratings).per_frame == pytest.approx([float(r) / 10 for r in ratings])
    assert imaging_quality(ratings).value == pytest.approx(sum(map(float, ratings)) / 900)
    assert imaging_quality(ratings).per_frame == pytest.approx([float(r) / 100 for r in ratings])


def test_styles_are_cosines_with_the_text() -> None:
    rng = np.random.default_rng(2)
    frames, text = rng.normal(size=(5, 16)), rng.normal(size=(1, 16))
    cosines = [cosine(frame, text[0]) for frame in frames]
    value, per_frame = appearance_style(frames, text)
    np.testing.assert_allclose(per_frame, cosines, atol=1e-12)
    assert value == pytest.approx(sum(cosines) / 5)
    assert temporal_style(frames[:1], text).value == pytest.approx(cosines[0])
    assert temporal_style(frames[:1], text).per_frame.size == 0
    assert temporal_style(-text, text).value == pytest.approx(-1)


def moves_as_the_reference_says(magnitudes: list[float], height: int, width: int) -> bool:
    """The reference's loop: it counts, and stops as soon as the count is filled."""
    threshold = 6.0 * (min(height, width) / 256.0)
    needed = round(4 * ((len(magnitudes) + 1) / 16.0))
    count = 0
    for magnitude in magnitudes:
        if magnitude > threshold:
            count += 1
        if count >= needed:
            return True
    return False


def test_dynamic_degree_follows_the_reference_wherever_the_moving_pairs_are() -> None:
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(600):
        frames = int(rng.integers(2, 40))
        height, width = (int(side) for side in rng.integers(64, 720, 2))
        threshold = 6 * min(height, width) / 256
        share = rng.uniform(0, 0.6)
        magnitudes = np.where(rng.random(frames - 1) < share, 1.5, 0.5) * threshold
        value, per_frame = dynamic_degree(magnitudes, height, width)
        assert value == moves_as_the_reference_says(magnitudes.tolist(), height, width)
        assert per_frame.tolist() == magnitudes.tolist()
        seen.add(value)
    assert seen == {0.0, 1.0}


def test_dynamic_degree_at_its_boundaries() -> None:
    # A pair on the threshold does not move: 6 * 128 / 256 = 3, whichever side is the shorter.
    for height, width in ((128, 500), (500, 128)):
        assert dynamic_degree([3.0] * 3, height, width).value == 0
        assert dynamic_degree([np.nextafter(3.0, 4.0)] * 3, height, width).value == 1
    # Frames and the pairs that they need; 6, 10 and 14 are halves, rounded to the even number.
    for frames, needed in ((3, 1), (4, 1), (6, 2), (7, 2), (10, 2), (11, 3), (14, 4), (16, 4)):
        moving = [9.0] * needed + [0.0] * (frames - 1 - needed)
        assert dynamic_degree(moving, 128, 128).value == 1, frames
        fewer = [9.0] * (needed - 1) + [0.0] * (frames - needed)
        assert dynamic_degree(fewer, 128, 128).value == 0, frames
        assert dynamic_degree(moving[::-1], 128, 128).value == 1, frames
    # Two frames need no pair, unless the protocol says that one is the least.
    assert dynamic_degree([0.0], 128, 128).value == 1
    assert dynamic_degree([0.0], 128, 128, least_pairs=1).value == 0
    assert dynamic_degree([9.0], 128, 128, least_pairs=1).value == 1
    assert math.isnan(dynamic_degree([9.0] * 15 + [float("nan")], 128, 128).value)


NAMES = {
    "motion_smoothness": lambda values, _: motion_smoothness(values).value,
    "imaging_quality": lambda values, _: 100 * imaging_quality(values).value,
    "dynamic_degree": lambda values, size: dynamic_degree(values, *size).value,
}


@pytest.mark.parametrize("name", NAMES)
def test_scores_of_the_reference_from_its_own_values(name: str) -> None:
    cases = json.loads((GOLDENS / "cases.json").read_text())["dimensions"][name]["videos"]
    values = np.load(GOLDENS / "cases.npz")
    for file, case in cases.items():
        size = tuple(int(side) for side in file.split("_")[2].split("x"))
        found = NAMES[name](values[f"{name}/{file}/values"], size)
        assert found == pytest.approx(float(case["video_results"]), abs=2e-6), file


FACTS = Facts(
    frames=30,
    height=128,
    width=128,
    fps=24.0,
    prompt="a circle",
    style="night",
    companions=frozenset(Role),
    given=Given(),
)


@pytest.mark.parametrize("metric", make_metrics(list(METRICS), load_protocol("vbench")))
def test_facts_that_give_no_score(metric: Metric) -> None:
    assert metric.refusal(FACTS) is None
    needs = {
        "object_consistency": 2,
        "background_consistency": 2,
        "motion_smoothness": 3,
        "dynamic_degree": 4,  # at 24 frames a second every third is sampled, so 4 frames give 2
    }.get(metric.name, 1)
    for frames in range(1, 6):
        refusal = metric.refusal(replace(FACTS, frames=frames))
        assert (refusal is None) == (frames >= needs), frames
        assert refusal is None or refusal.kind is FailureKind.TOO_FEW_FRAMES
    no_prompt = metric.refusal(replace(FACTS, prompt=None))
    assert (no_prompt is not None) == (metric.name in ("temporal_style", "video_ti"))
    no_style = metric.refusal(replace(FACTS, style=None))
    assert (no_style is not None) == (metric.name == "appearance_style")
    for refusal in (no_prompt, no_style):
        assert refusal is None or refusal.kind is FailureKind.NO_PROMPT


def test_protocols_decide_what_appearance_is_compared_with() -> None:
    facts = Facts(30, 128, 128, 24.0, "a circle", None)
    for name in ("paper", "sound"):
        [metric] = make_metrics(["appearance_style"], load_protocol(name))
        assert metric.refusal(facts) is None


@pytest.mark.parametrize("name", METRICS)
def test_each_metric_says_what_it_is(name: str) -> None:
    metric = METRICS[name](load_protocol("sound"))
    assert metric.name == name
    assert metric.title
    assert metric.source
    assert metric.bounds[0] < metric.bounds[1]
    assert {"weighting"} <= metric.choices.keys()
    assert metric == METRICS[name](load_protocol("sound"))
