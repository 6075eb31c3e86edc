"""What the tests of evaluation share."""

from pathlib import Path

import pytest
import torch
from goldens.golden import clip as golden_clip
from scored_clips import copies, score

from eval.executors import Local
from metrics.networks import Networks
from mora.media import write_video
from mora.records import Score


@pytest.fixture(scope="module")
def networks(metric_weights: Path) -> Networks:
    """The metrics' miniature networks with random weights, on a CPU."""
    return Networks("mini", metric_weights, torch.device("cpu"))


@pytest.fixture(scope="module")
def short_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of 3 to 5 frames, which move at different speeds or not at all."""
    folder = tmp_path_factory.mktemp("clips")
    for number, (count, speed) in enumerate([(4, 3.0), (3, 0.0), (5, 6.0)]):
        frames = golden_clip(f"engine {number}", count, 128, 128, speed)
        write_video(folder / f"{number}.mp4", frames, 7.0)
    return folder


@pytest.fixture(scope="module")
def expected(
    short_clips: Path,
    networks: Networks,
    small_forwards: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, str], Score]:
    """The clips' scores, one video at a time in their order."""
    run = tmp_path_factory.mktemp("expected")
    return score(run, copies(short_clips, run), networks, executor=Local(1))
