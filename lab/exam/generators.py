"""The miniature generators as the project runs them, with weights from any folder."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from mora.agents.binding import AgentsSettings
from mora.agents.image_to_video import PipelineImageToVideo
from mora.agents.text_to_image import PipelineTextToImage


def generators(weights: Path) -> tuple[PipelineTextToImage, PipelineImageToVideo]:
    """Text-to-image and image-to-video by the settings `mora/conf/agents/mini.yaml`.

    Args:
        weights: Folder of the miniature weights.
    """
    text = resources.files("mora").joinpath("conf", "agents", "mini.yaml").read_text("utf-8")
    settings = AgentsSettings.model_validate(_moved(yaml.safe_load(text), weights))
    return (
        PipelineTextToImage(settings.text_to_image),
        PipelineImageToVideo(settings.image_to_video),
    )


def _moved(settings: dict[str, Any], weights: Path) -> dict[str, Any]:
    """Replaces `mini:FOLDER` by the folder's path."""
    for role in ("text_to_image", "image_to_video"):
        folder = settings[role]["weights"].removeprefix("mini:")
        settings[role]["weights"] = str(weights / folder)
    return settings
