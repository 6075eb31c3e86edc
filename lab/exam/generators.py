"""The miniature generators as the project runs them, with weights from any folder."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from mora.agents.image_to_video import PipelineImageToVideo, VideoPipelineSettings
from mora.agents.refiner import RefinedPipelineSettings
from mora.agents.text_to_image import PipelineTextToImage


def generators(weights: Path) -> tuple[PipelineTextToImage, PipelineImageToVideo]:
    """Text-to-image and image-to-video as `agents=mini` has them.

    Args:
        weights: Folder of the miniature weights.
    """
    drawn = _settings("text_to_image", "sdxl_mini", weights)
    moved = _settings("image_to_video", "svd_mini", weights)
    return (
        PipelineTextToImage(RefinedPipelineSettings.model_validate(drawn)),
        PipelineImageToVideo(VideoPipelineSettings.model_validate(moved)),
    )


def _settings(role: str, choice: str, weights: Path) -> dict[str, Any]:
    """A model's settings, with `mini:FOLDER` replaced by the folder's path."""
    file = resources.files("mora").joinpath("conf", "agents", role, f"{choice}.yaml")
    settings: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    folder = str(settings["weights"]).removeprefix("mini:")
    return settings | {"weights": str(weights / folder)}
