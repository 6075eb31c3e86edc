"""A generator: what turns requests into videos, whichever model, baseline or service it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mora.errors import SettingError
from mora.records import Prompt, Request, TaskName, content_hash
from mora.tasks.stage import Stage, Task


class Generator(Protocol):
    """What makes videos for one or more tasks.

    Two generators whose stages agree in recipe, inputs and seed share what the stage makes.
    """

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    @property
    def tasks(self) -> frozenset[TaskName]:
        """Tasks that it can do."""
        ...

    def stages(self, task: TaskName) -> tuple[Stage, ...]:
        """The task's stages in their order; the last one makes the video.

        Raises:
            SettingError: The task is not among `tasks`.
        """
        ...


@dataclass(frozen=True)
class TaskGenerator:
    """Mora: each of its tasks as bound to its agents.

    Attributes:
        name: Name in tables.
        bound: The tasks.
    """

    name: str
    bound: tuple[Task, ...]

    @property
    def tasks(self) -> frozenset[TaskName]:
        """Tasks that are bound."""
        return frozenset(task.name for task in self.bound)

    def stages(self, task: TaskName) -> tuple[Stage, ...]:
        """The task's stages. Raises `SettingError` if it is not bound."""
        for each in self.bound:
            if each.name == task:
                return each.stages
        raise not_a_task(self, task)


def not_a_task(generator: Generator, task: TaskName) -> SettingError:
    """The error of a generator that is asked for a task that it cannot do."""
    tasks = ", ".join(sorted(generator.tasks))
    return SettingError(f"model={generator.name} cannot do task={task}; it can do: {tasks}.")


def recipe(generator: Generator, task: TaskName) -> str:
    """Hash of all settings and weights that a generator's results for a task depend on."""
    return content_hash([[stage.name, stage.recipe] for stage in generator.stages(task)])


def plan(
    generator: Generator, task: TaskName, prompts: Sequence[Prompt], seed: int, samples: int = 1
) -> list[Request]:
    """Asks a generator for videos of all prompts.

    Each sample of each prompt has its own seed of 32 bits, drawn by hashing, so that it does not
    depend on the other prompts; all generators get the same one.

    Args:
        generator: Whom to ask.
        task: For which task.
        prompts: The prompts, in the order of the result.
        seed: Seed of the run.
        samples: Videos for each prompt.
    """
    made_by = recipe(generator, task)
    return [
        Request(
            model=generator.name,
            recipe=made_by,
            prompt=prompt,
            seed=int(content_hash([seed, prompt.id, sample])[:8], 16),
        )
        for prompt in prompts
        for sample in range(samples)
    ]
