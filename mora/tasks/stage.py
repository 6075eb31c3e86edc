"""A stage: one step of a task, played by one model."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal

from mora.agents.image_to_video import ImageToVideo
from mora.agents.prompt import Enhance, PromptAgent
from mora.agents.text_to_image import Picture, TextToImage
from mora.media import Clip
from mora.records import Failure, TaskName

Slot = Literal["text", "image", "video"]
"""What a request has come to so far, by kind; each stage reads some and replaces one."""

Product = str | Picture | Clip


@dataclass(frozen=True)
class Inputs:
    """What a stage is given for one request.

    Attributes:
        text: The text in force: the prompt, until a stage rewrites it.
        image: The picture in force, uint8 (H, W, 3); `None` if the stage does not take one.
        seed: Seed of this item, which depends on the request's seed and on the stage's name.
    """

    text: str
    image: Picture | None
    seed: int

    def picture(self) -> Picture:
        """The picture, for a stage that takes one."""
        if self.image is None:
            raise ValueError("a stage that takes a picture was given none")
        return self.image


Worker = Callable[[Sequence[Inputs]], Iterator[Product | Failure]]
"""A stage's model in memory: yields what it makes of each item, in order, as soon as it is done; or
why it makes nothing of it, where it knows."""


@dataclass(frozen=True)
class Stage:
    """One step of a task.

    Attributes:
        name: Name within the task, for example `text_to_image`.
        model: Name of what plays it.
        recipe: Hash of the model's settings and weights.
        takes: What of a request's material the result depends on.
        makes: What the result is.
        batch_size: Items to give at once.
        open: Loads the model onto a torch device and releases it at the end.
    """

    name: str
    model: str
    recipe: str
    takes: tuple[Slot, ...]
    makes: Slot
    batch_size: int
    open: Callable[[str], AbstractContextManager[Worker]]


@dataclass(frozen=True)
class Task:
    """An ordered list of stages that makes a video."""

    name: TaskName
    stages: tuple[Stage, ...]


def prompt_stage(agent: PromptAgent) -> Stage:
    """The prompt agent as the stage `prompt`."""

    @contextmanager
    def open_agent(device: str) -> Iterator[Worker]:
        with agent.open(device) as enhance:
            yield _worker_of_texts(enhance)

    return Stage(
        "prompt", agent.name, agent.recipe(), ("text",), "text", agent.batch_size, open_agent
    )


def _worker_of_texts(enhance: Enhance) -> Worker:
    return lambda items: enhance([each.text for each in items], [each.seed for each in items])


def text_to_image_stage(agent: TextToImage) -> Stage:
    """The text-to-image agent as the stage `text_to_image`."""

    @contextmanager
    def open_agent(device: str) -> Iterator[Worker]:
        with agent.open(device) as draw:
            yield lambda items: draw([each.text for each in items], [each.seed for each in items])

    return Stage(
        "text_to_image",
        agent.name,
        agent.recipe(),
        ("text",),
        "image",
        agent.batch_size,
        open_agent,
    )


def image_to_video_stage(agent: ImageToVideo) -> Stage:
    """The image-to-video agent as the stage `image_to_video`."""

    @contextmanager
    def open_agent(device: str) -> Iterator[Worker]:
        with agent.open(device) as animate:
            yield lambda items: animate(
                [each.picture() for each in items],
                [each.text for each in items],
                [each.seed for each in items],
            )

    return Stage(
        "image_to_video",
        agent.name,
        agent.recipe(),
        ("image", "text") if agent.reads_text else ("image",),
        "video",
        agent.batch_size,
        open_agent,
    )
