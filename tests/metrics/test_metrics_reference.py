"""From a file to a feature with the published networks: the reference's own numbers.

The weights are the golden ones, which each network's own test describes. The heavy networks are
left to those tests; here it is about what lies between a file and a network.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from goldens import official

from metrics.features import (
    Decoded,
    Facts,
    Feature,
    FlowMagnitudes,
    InterpolationErrors,
    QualityScores,
    sizes,
)
from mora.media import read_video

GOLDENS = Path(__file__).parents[1] / "goldens" / "vbench_scores"
FILE = "clip_12f_192x128_10fps.mp4"


def first_frames(count: int) -> Decoded:
    clip = read_video(GOLDENS / FILE, max_frames=count)
    frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).contiguous()
    return Decoded(frames, Facts(count, *frames.shape[2:], clip.fps))


@pytest.mark.parametrize(
    ("feature", "values", "frames", "tolerance"),
    [
        # A guess within a rounding error of a whole level is truncated either way.
        (InterpolationErrors(), "motion_smoothness", 12, 2e-3),
        (FlowMagnitudes(8.0), "dynamic_degree", 3, 1e-3),
        (QualityScores("longer"), "imaging_quality", 2, 1e-4),
    ],
    ids=["amt", "raft", "musiq"],
)
def test_features_of_a_file_are_the_references(
    feature: Feature,
    values: str,
    frames: int,
    tolerance: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sizes, "FORWARD_FRAMES", 2)  # as few as are looked at, for speed
    monkeypatch.setattr(sizes, "FORWARD_PAIRS", 2)
    expected = np.load(GOLDENS / "cases.npz")[f"{values}/{FILE}/values"]
    networks = official.GoldenNetworks(tmp_path, torch.device("cpu"))
    with torch.inference_mode():
        found = feature.compute(first_frames(frames), networks)
    assert len(found) == {"motion_smoothness": 5, "dynamic_degree": 2, "imaging_quality": 2}[values]
    np.testing.assert_allclose(found, expected[: len(found)], rtol=0, atol=tolerance)
