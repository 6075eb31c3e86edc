"""Tiny pipelines of the classes that Mora uses, with random weights, saved as real folders."""

from pathlib import Path

import pytest
import tiny_pipelines
from tiny_pipelines import SIDE, saved

FRAMES = 4


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tiny_pipelines.sdxl, tmp_path_factory.mktemp("weights") / "text_to_image")


@pytest.fixture(scope="session")
def tiny_svd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tiny_pipelines.svd, tmp_path_factory.mktemp("weights") / "image_to_video", seed=1)


@pytest.fixture(scope="session")
def tiny_agents(tiny_sdxl: Path, tiny_svd: Path) -> dict[str, object]:
    """Settings of agents as in `mora/conf/agents`, on the tiny pipelines."""
    return {
        "name": "tiny",
        "prompt": {"agent": "grammar"},
        "text_to_image": {
            "name": "sdxl_tiny",
            "pipeline": "StableDiffusionXLPipeline",
            "weights": str(tiny_sdxl),
            "load": {"add_watermarker": False},
            "call": {
                "num_inference_steps": 2,
                "guidance_scale": 5.0,
                "height": SIDE,
                "width": SIDE,
            },
            "batch_size": 4,
        },
        "image_to_video": {
            "name": "svd_tiny",
            "pipeline": "StableVideoDiffusionPipeline",
            "weights": str(tiny_svd),
            "call": {
                "num_inference_steps": 2,
                "height": SIDE,
                "width": SIDE,
                "num_frames": FRAMES,
                "fps": 7,
                "motion_bucket_id": 127,
            },
            "fps": 7,
            "batch_size": 4,
        },
    }
