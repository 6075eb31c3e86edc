"""What each prompt of a set that is to be written is to be about, so that the set is balanced.

A model that is told nothing writes the same few scenes again and again. So each prompt has a brief:
kinds of subject, style and movement from the tags' lists, each as often as any other; and a cue, a
place and a moment, which changes whenever the prompt is asked for again.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from mora.records import INPUT_ROLES, Prompt, TaskName, content_hash
from prompts.tags import MOTIONS, STYLES, SUBJECTS

T = TypeVar("T")

PLACES: Final = (
    *("a harbour town", "a mountain pass", "a railway yard", "a covered market", "a salt flat"),
    *("a rooftop garden", "a river delta", "an old observatory", "a glass workshop", "a reef"),
    *("a birch forest", "a desert canyon", "a suburban kitchen", "a ferry deck", "a tea field"),
    *("a frozen lake", "a fairground", "a subway platform", "a lighthouse", "a quarry"),
    *("a greenhouse", "a windy steppe", "a tidal marsh", "a theatre backstage", "a volcano's rim"),
    *("a vineyard", "a shipyard", "a cave with a stream", "a schoolyard", "a bamboo grove"),
)
"""Where a scene may be."""
MOMENTS: Final = (
    *("at first light", "at noon", "in the last sun of the day", "at blue hour", "at night"),
    *("in heavy rain", "in thin fog", "in falling snow", "under a storm sky", "in still heat"),
)
"""When, and in what weather."""
EDITS: Final = (
    *("addition", "background", "colour", "era", "material", "removal"),
    *("season", "style", "subject", "time of day", "weather"),
)
"""What an edit may change."""
COUNTS: Final = ("1", "1", "2", "3", "more than three", "more than three")
"""How many things move, in these shares: a third of the prompts is of each of the paper's types."""


@dataclass(frozen=True)
class Brief:
    """What one prompt is to be about.

    Attributes:
        number: Its place in the set, from 1.
        wishes: What it is to have, such as `("main subject", "animal")`.
        cue: A place and a moment; `None` where its inputs say that.
        inputs: Prompts of what it starts from, in the order of the task's inputs.
    """

    number: int
    wishes: tuple[tuple[str, str], ...]
    cue: str | None = None
    inputs: tuple[Prompt, ...] = ()

    def again(self, seed: int, attempt: int) -> "Brief":
        """The brief as it is asked for at a later attempt: with another cue."""
        return self if self.cue is None else replace(self, cue=_cue(seed, self.number, attempt))


def briefs(
    task: TaskName, count: int, seed: int, sources: Sequence[Prompt] = ()
) -> tuple[Brief, ...]:
    """Deals out what the prompts of a set are to be about.

    Args:
        task: The set's task.
        count: Prompts of the set.
        seed: Decides what is dealt to whom.
        sources: Prompts of the videos or pictures that a task with inputs starts from; each in
            its turn, and for two inputs with the one after it.

    Raises:
        ValueError: The task has inputs, and there are too few sources for them.
    """
    needed = len(INPUT_ROLES.get(task, ()))
    if needed > len(sources):
        raise ValueError(f"task={task.value} starts from {needed} inputs; found {len(sources)}")
    dealt = {name: _dealt(values, count, seed, name) for name, values in _wishes(task).items()}
    return tuple(
        Brief(
            number=i + 1,
            wishes=tuple((name, values[i]) for name, values in dealt.items()),
            cue=None if needed else _cue(seed, i + 1, 0),
            inputs=tuple(sources[(i + place) % len(sources)] for place in range(needed)),
        )
        for i in range(count)
    )


def _wishes(task: TaskName) -> dict[str, Sequence[str]]:
    """What is dealt out to the prompts of a task. What inputs decide is not."""
    if task is TaskName.EDIT_VIDEO:
        return {"what to change": EDITS}
    moving: dict[str, Sequence[str]] = {"main movement": MOTIONS, "moving objects": COUNTS}
    if task in INPUT_ROLES:
        return moving
    if task is TaskName.SIMULATE_DIGITAL_WORLD:  # which has a style of its own
        return {"main subject": SUBJECTS, **moving}
    return {"main subject": SUBJECTS, "style": STYLES, **moving}


def _dealt(values: Sequence[T], count: int, seed: int, name: str) -> list[T]:
    """Deals values out: each as often as any other, but for one, in an order drawn by the seed."""
    rng = random.Random(content_hash([name, seed]))
    dealt: list[T] = []
    while len(dealt) < count:
        dealt += rng.sample(values, len(values))
    return dealt[:count]


def _cue(seed: int, number: int, attempt: int) -> str:
    rng = random.Random(content_hash(["cue", seed, number, attempt]))
    return f"{rng.choice(PLACES)}, {rng.choice(MOMENTS)}"
