"""What becomes of odd videos: a number or one clear failure, under every protocol and metric.

Videos are files, read through the door to media; the networks are the miniature ones with random
weights. The page on metrics shows the table that is tested here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from goldens.golden import clip as golden_clip
from PIL import Image

from metrics.backbones import correlation
from metrics.backbones.padding import FrameTooSmallError
from metrics.features import Decoded, Facts, Feature, Values, sizes
from metrics.metric import Metric
from metrics.networks import Networks
from metrics.protocol import load_protocol
from metrics.registry import METRICS, make_metrics
from mora.media import read_video, write_video
from mora.records import FailureKind

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
BEGIN, END = "<!-- odd inputs -->", "<!-- end of odd inputs -->"
PROTOCOLS = ("vbench", "paper", "sound")
EIGHT = tuple(METRICS)[:8]
OF_PAIRS = ("object_consistency", "background_consistency", "motion_smoothness", "dynamic_degree")
OF_MOTION = ("motion_smoothness", "dynamic_degree")
PROMPT = "a small red circle moves left"

Frames = np.ndarray
Writer = Callable[[Path, Frames, float], None]
Expected = Mapping[str, FailureKind]


def mp4(path: Path, frames: Frames, fps: float) -> None:
    write_video(path, frames, fps)


def gif(path: Path, frames: Frames, fps: float) -> None:
    """GIF stores odd sizes as they are."""
    pictures = [Image.fromarray(frame) for frame in frames]
    first, *rest = pictures
    first.save(path, "GIF", save_all=True, append_images=rest, duration=round(1000 / fps))


def transparent_gif(path: Path, frames: Frames, fps: float) -> None:
    """The left half of each frame is transparent."""
    pictures = []
    for frame in frames:
        opaque = np.full((*frame.shape[:2], 1), 255, np.uint8)
        opaque[:, : frame.shape[1] // 2] = 0
        pictures.append(Image.fromarray(np.concatenate([frame, opaque], axis=2), "RGBA"))
    first, *rest = pictures
    first.save(
        path, "GIF", save_all=True, append_images=rest, duration=round(1000 / fps), disposal=2
    )


def texture(count: int, height: int, width: int) -> Frames:
    return golden_clip("odd", count, height, width)


def black(count: int, height: int, width: int) -> Frames:
    return np.zeros((count, height, width, 3), np.uint8)


@dataclass(frozen=True)
class Case:
    """An odd video and what has no score."""

    title: str
    count: int
    height: int
    width: int
    fps: float = 8.0
    write: Writer = mp4
    draw: Callable[[int, int, int], Frames] = texture
    failures: Expected = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)


def failing(kind: FailureKind, *metrics: str) -> dict[str, FailureKind]:
    return dict.fromkeys(metrics, kind)


FEW, SMALL = FailureKind.TOO_FEW_FRAMES, FailureKind.TOO_SMALL
CASES = (
    Case("1 frame", 1, 128, 128, failures=failing(FEW, *OF_PAIRS)),
    Case("2 frames", 2, 128, 128, failures=failing(FEW, "motion_smoothness")),
    Case("3 frames", 3, 128, 128),
    Case("1 frame a second", 3, 128, 128, fps=1.0),
    Case(
        "60 frames a second, 7 frames", 7, 128, 128, 60.0, failures=failing(FEW, "dynamic_degree")
    ),
    Case("60 frames a second, 9 frames", 9, 128, 128, fps=60.0),
    Case("portrait, 128×208", 3, 208, 128),
    Case("odd sides, 201×131", 3, 131, 201, write=gif),
    Case("odd and small, 127×95", 3, 95, 127, write=gif, failures=failing(SMALL, *OF_MOTION)),
    Case("tiny, 16×16", 3, 16, 16, write=gif, failures=failing(SMALL, *OF_MOTION)),
    Case("narrow, 500×33", 3, 33, 500, write=gif, failures=failing(SMALL, *OF_MOTION)),
    Case("a needle, 330×10", 3, 10, 330, write=gif, failures=failing(SMALL, *EIGHT)),
    Case("black", 3, 128, 128, draw=black),
    Case("transparent GIF", 3, 128, 128, write=transparent_gif),
    Case("too large for all pairs", 3, 128, 160, limits={"MOST_PIXELS": 100}),
)


@pytest.fixture(scope="module")
def networks(metric_weights: Path) -> Networks:
    return Networks("mini", metric_weights, torch.device("cpu"))


@pytest.fixture(scope="module", autouse=True)
def small_forwards() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(sizes, "FORWARD_FRAMES", 3)
        patch.setattr(sizes, "FORWARD_PAIRS", 1)
        yield


def outcome(
    metric: Metric, video: Decoded, known: dict[Feature, Values], networks: Networks
) -> float | FailureKind:
    """A score, or the kind of its failure; any other error is one of the test."""
    refusal = metric.refusal(video.facts)
    if refusal is not None:
        assert metric.name in refusal.message
        assert str(video.facts.frames) in refusal.message
        return refusal.kind
    too_small = None
    for feature in metric.features:
        if feature not in known and too_small is None:
            try:
                known[feature] = feature.compute(video, networks)
            except FrameTooSmallError as error:
                too_small = str(error)
    if too_small is not None:
        assert f"frames of {video.facts.width}x{video.facts.height} are too small" in too_small
        assert "at least" in too_small or "at most" in too_small
        assert "score a larger video or leave this metric out" in too_small
        return FailureKind.TOO_SMALL
    value, per_frame = metric.measure(known)
    assert np.isfinite(value)
    assert np.isfinite(per_frame).all()
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_odd_videos(
    case: Case, networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit in case.limits.items():
        monkeypatch.setattr(correlation, name, limit)
    path = tmp_path / ("odd.mp4" if case.write is mp4 else "odd.gif")
    case.write(path, case.draw(case.count, case.height, case.width), case.fps)
    clip = read_video(path)
    assert clip.frames.shape == (case.count, case.height, case.width, 3)
    facts = Facts(case.count, case.height, case.width, clip.fps, PROMPT, "night")
    video = Decoded(torch.from_numpy(clip.frames).permute(0, 3, 1, 2).contiguous(), facts)
    known: dict[Feature, Values] = {}
    for protocol in PROTOCOLS:
        for metric in make_metrics(EIGHT, load_protocol(protocol)):
            found = outcome(metric, video, known, networks)
            if metric.name in case.failures:
                assert found == case.failures[metric.name], metric.name
            else:
                assert isinstance(found, float), f"{protocol}: {metric.name}: {found}"
                lowest, highest = (-1, 1) if "style" in metric.name else (-np.inf, np.inf)
                assert lowest <= found <= highest


def test_a_black_video_is_as_consistent_as_can_be(networks: Networks) -> None:
    frames = torch.zeros(3, 3, 128, 128, dtype=torch.uint8)
    facts = Facts(3, 128, 128, 8.0, PROMPT, "night")
    for metric in make_metrics(EIGHT[:2], load_protocol("sound")):
        found = outcome(metric, Decoded(frames, facts), {}, networks)
        assert found == pytest.approx(1, abs=1e-6)


def table() -> str:
    """The table as the page shows it."""
    titles = {name: name.replace("_", " ") for name in EIGHT}
    lines = ["| input | no score, and the failure's kind |", "|---|---|"]
    for case in CASES:
        kinds: dict[str, list[str]] = {}
        for name, kind in case.failures.items():
            kinds.setdefault(kind.value, []).append(titles[name])
        told = "; ".join(
            ("all eight" if len(names) == len(EIGHT) else ", ".join(names)) + f": `{kind}`"
            for kind, names in kinds.items()
        )
        lines.append(f"| {case.title} | {told or '–'} |")
    return "\n".join(lines)


def test_the_page_shows_what_is_tested() -> None:
    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == table(), f"put this between {BEGIN} and {END} in {PAGE}:\n{table()}"
