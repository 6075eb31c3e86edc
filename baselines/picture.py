"""What the baselines share that need no video model: Mora's picture, and a rule that makes a clip.

They begin with the same stages as Mora, so they share its pictures, and a table shows what the
image-to-video model adds to them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mora.agents.prompt import PromptAgent
from mora.agents.text_to_image import Picture, TextToImage
from mora.generator import not_a_task
from mora.media import Clip
from mora.records import Record, TaskName, content_hash
from mora.tasks.stage import Inputs, Stage, Worker, prompt_stage, text_to_image_stage


@dataclass(frozen=True)
class PictureBaseline:
    """Draws a picture with Mora's agents and makes a clip of it by a rule.

    Attributes:
        name: Name in tables.
        rule: Name of the rule, which is also that of its stage.
        settings: The rule's settings.
        prompt: The prompt agent.
        text_to_image: The text-to-image agent.
        animate: The rule: a clip from a picture, uint8 (H, W, 3), and the item's seed.
    """

    name: str
    rule: str
    settings: Record
    prompt: PromptAgent
    text_to_image: TextToImage
    animate: Callable[[Picture, int], Clip]

    @property
    def tasks(self) -> frozenset[TaskName]:
        """Text-to-video only."""
        return frozenset({TaskName.TEXT_TO_VIDEO})

    def stages(self, task: TaskName) -> tuple[Stage, ...]:
        """Mora's stages up to the picture, then the rule. Raises `SettingError` for other tasks."""
        if task not in self.tasks:
            raise not_a_task(self, task)
        animated = Stage(
            name=self.rule,
            model=self.rule,
            recipe=content_hash([self.rule, self.settings]),
            takes=("image",),
            makes="video",
            batch_size=1,
            open=self._open,
        )
        return prompt_stage(self.prompt), text_to_image_stage(self.text_to_image), animated

    @contextmanager
    def _open(self, device: str) -> Iterator[Worker]:  # noqa: ARG002  no model, no device
        def work(items: Sequence[Inputs]) -> Iterator[Clip]:
            return (self.animate(item.picture(), item.seed) for item in items)

        yield work
