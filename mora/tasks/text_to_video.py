"""Text-to-video: the prompt is completed, drawn, and the picture set in motion (paper, 3.3)."""

from mora.agents.image_to_video import ImageToVideo
from mora.agents.prompt import PromptAgent
from mora.agents.text_to_image import TextToImage
from mora.records import TaskName
from mora.tasks.stage import Task, image_to_video_stage, prompt_stage, text_to_image_stage


def text_to_video(
    prompt: PromptAgent, text_to_image: TextToImage, image_to_video: ImageToVideo
) -> Task:
    """Binds the task's three agents. Raises `CheckpointError` if local weights are missing."""
    return Task(
        TaskName.TEXT_TO_VIDEO,
        (
            prompt_stage(prompt),
            text_to_image_stage(text_to_image),
            image_to_video_stage(image_to_video),
        ),
    )
