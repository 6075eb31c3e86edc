"""From a file to a feature with the published networks: the reference's own numbers.

The weights are the golden ones, which each network's own test describes. The heavy networks are
left to those tests; here it is about what lies between a file and a network.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from goldens import parity
from torch import nn

from metrics import features
from metrics.backbones import amt, musiq, raft
from metrics.features import (
    Decoded,
    Facts,
    Feature,
    FlowMagnitudes,
    InterpolationErrors,
    QualityScores,
)
from metrics.networks import Networks
from mora.media import read_video

GOLDENS = Path(__file__).parents[1] / "goldens" / "vbench_scores"
FILE = "clip_12f_192x128_10fps.mp4"


class Golden(Networks):
    """One published network, filled with golden weights instead of a file."""

    def __init__(self, name: str, network: nn.Module, folder: str) -> None:
        super().__init__("official", Path(), torch.device("cpu"))
        tensors = parity.read(folder).weights(0)
        for part in ("weight", "bias"):
            scaled = f"module.update_block.flow_head.conv2.{part}"
            if scaled in tensors:
                tensors[scaled] = tensors[scaled] * 0.05
        network.load_state_dict({key: tensors[key] for key in network.state_dict()})
        self._loaded[self.card(name).name] = network.eval()


def first_frames(count: int) -> Decoded:
    clip = read_video(GOLDENS / FILE, max_frames=count)
    frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).contiguous()
    return Decoded(frames, Facts(count, *frames.shape[2:], clip.fps))


@pytest.mark.parametrize(
    ("feature", "name", "build", "folder", "values", "frames", "tolerance"),
    [
        (
            InterpolationErrors(),
            "amt",
            lambda: amt.Amt(amt.OFFICIAL.settings),
            "amt_s",
            "motion_smoothness",
            12,
            2e-3,  # a guess within a rounding error of a whole level is truncated either way
        ),
        (
            FlowMagnitudes(8.0),
            "raft",
            lambda: raft.Raft(raft.OFFICIAL.settings),
            "raft_things",
            "dynamic_degree",
            3,
            1e-3,
        ),
        (
            QualityScores("longer"),
            "musiq",
            lambda: musiq.build(musiq.OFFICIAL.settings),
            "musiq_spaq",
            "imaging_quality",
            2,
            1e-4,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_features_of_a_file_are_the_references(
    feature: Feature,
    name: str,
    build: Callable[[], nn.Module],
    folder: str,
    values: str,
    frames: int,
    tolerance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features, "FORWARD_FRAMES", 2)  # as few as are looked at, for speed
    monkeypatch.setattr(features, "FORWARD_PAIRS", 2)
    expected = np.load(GOLDENS / "cases.npz")[f"{values}/{FILE}/values"]
    with torch.inference_mode():
        found = feature.compute(first_frames(frames), Golden(name, build(), folder))
    assert len(found) == {"amt": 5, "raft": 2, "musiq": 2}[name]
    np.testing.assert_allclose(found, expected[: len(found)], rtol=0, atol=tolerance)
