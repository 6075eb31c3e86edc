"""A trial: clips, and all damaged versions of them, as videos of a run.

Damaged clips are never written. They are made again from the clip whenever they are to be scored,
so that no codec adds a damage of its own, and a trial of long clips needs no room on the disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from eval.ledger import Ledger
from eval.validate.damages import Damage
from eval.validate.specimen import Frames, Specimen, Wording
from metrics.metric import Metric
from mora import __version__
from mora.errors import SettingError
from mora.media import DECODER, Clip, MediaError
from mora.records import Failure, MediaRef, Prompt, Request, Video, content_hash

FEWEST: Final = 4
"""Clips that a trial needs: an interval over fewer says nothing."""

CLEAN: Final = "clean"
"""Name of undamaged clips, as a model in the run's ledger."""


@dataclass(frozen=True)
class Case:
    """One clip under one damage at one strength, or as it is.

    Attributes:
        specimen: The clip.
        other: The clip that a cut goes to and a wrong caption comes from.
        damage: The damage, `None` for the clip as it is.
        strength: Its strength, 0 for the clip as it is.
        seed: Seed of the trial.
    """

    specimen: Specimen
    other: Specimen
    damage: Damage | None
    strength: float
    seed: int

    def frames(self) -> Frames:
        """The pixels, uint8 (T, H, W, 3); the same each time."""
        if self.damage is None:
            return self.specimen.read()
        return self.damage.pixels(self.specimen, self.other, self.strength, self._rng())

    @property
    def wording(self) -> Wording | None:
        """What metrics read of the prompt."""
        if self.damage is None:
            return self.specimen.wording
        return self.damage.wording(self.specimen, self.other, self.strength, self._rng())

    def touches(self, metric: Metric) -> bool:
        """Whether the metric looks at what is damaged."""
        return self.damage is None or self.damage.touches(metric)

    @property
    def model(self) -> str:
        """Its name in the place of a model's: the damage and its strength."""
        return CLEAN if self.damage is None else f"{self.damage.name} {self.strength:g}"

    @property
    def recipe(self) -> str:
        """Hash of all that decides the pixels. The decoder stands for the codecs' versions."""
        parts = [self.specimen.sha256, self.other.sha256, self.model, self.seed]
        return content_hash([*parts, __version__, DECODER])

    @property
    def request(self) -> Request | None:
        """The request with the prompt, `None` if there is no prompt."""
        wording = self.wording
        if wording is None:
            return None
        tags = {} if wording.style is None else {"style": wording.style}
        prompt = Prompt(id=self.specimen.name, text=wording.text, tags=tags)
        return Request(model=self.model, recipe=self.recipe, prompt=prompt, seed=self.seed)

    @property
    def video(self) -> Video:
        """The record that the engine scores."""
        specimen, request = self.specimen, self.request
        count = specimen.frames
        if self.damage is not None:
            count = self.damage.length(count, self.strength)
        return Video(
            id=content_hash([self.recipe])[:20] if request is None else request.id,
            model=self.model,
            prompt_id=specimen.name,
            text=None if request is None else request.prompt.text,
            seed=self.seed,
            media=MediaRef(
                sha256=self.recipe,
                path=specimen.path,
                kind="video",
                width=specimen.width,
                height=specimen.height,
                frames=count,
                fps=specimen.fps,
            ),
        )

    def _rng(self) -> np.random.Generator:
        """The same chance at every strength, so that a stronger damage is more of the same."""
        name = self.damage.name if self.damage is not None else CLEAN
        return np.random.default_rng(
            [self.seed, *bytes.fromhex(self.specimen.sha256), *name.encode()]
        )


@dataclass(frozen=True)
class Trial:
    """All that is to be scored.

    Attributes:
        specimens: The clips.
        damages: The damages, in the order of tables.
        cases: By the id of the video; a clip's own come together, the undamaged first.
    """

    specimens: tuple[Specimen, ...]
    damages: tuple[Damage, ...]
    cases: Mapping[str, Case]

    def read(self, video: Video, run: Path) -> Clip | Failure:  # noqa: ARG002
        """Gives a case's pixels to the engine, or says why its clip cannot be read."""
        case = self.cases[video.id]
        try:
            return Clip(case.frames(), case.specimen.fps)
        except MediaError as error:
            return error.failure()

    def stages(self, metrics: Sequence[Metric]) -> dict[tuple[str, ...], list[str]]:
        """What is to be scored together: ids of cases by the names of the metrics they touch."""
        stages: dict[tuple[str, ...], list[str]] = {}
        for id_, case in self.cases.items():
            names = (each.name for each in metrics if case.touches(each))
            stages.setdefault(tuple(names), []).append(id_)
        return {names: ids for names, ids in stages.items() if names}

    def record(self, ledger: Ledger) -> None:
        """Adds all cases to a run, those that are there already excepted."""
        requests = (case.request for case in self.cases.values())
        ledger.add_requests([request for request in requests if request is not None])
        ledger.add_videos([case.video for case in self.cases.values()])


def plan_trial(specimens: Sequence[Specimen], damages: Sequence[Damage], seed: int) -> Trial:
    """Puts clips and damages together.

    Args:
        specimens: Clips of different names.
        damages: Damages; a clip gets those that apply to it.
        seed: Where chance comes from.

    Raises:
        SettingError: There are fewer than `FEWEST` clips, two are the same, or a damage applies to
            none of them.
    """
    if len(specimens) < FEWEST:
        raise SettingError(
            f"clips: found {len(specimens)}, expected at least {FEWEST}, since an interval over "
            "fewer says nothing."
        )
    first: dict[str, str] = {}
    for each in specimens:
        if first.setdefault(each.sha256, each.name) != each.name:
            raise SettingError(
                f"clips: {first[each.sha256]} and {each.name} have the same content; leave one out."
            )
    idle = sorted(
        {damage.name for damage in damages} - {d.name for d in applicable(specimens, damages)}
    )
    if idle:
        raise SettingError(
            f"damages={','.join(idle)}: no clip can be damaged so. Swaps within a clip and wrong "
            "words need the miniature world; a wrong caption needs different prompts."
        )
    cases = _cases(specimens, damages, seed)
    return Trial(tuple(specimens), tuple(damages), {case.video.id: case for case in cases})


def applicable(specimens: Sequence[Specimen], damages: Sequence[Damage]) -> list[Damage]:
    """Those of the damages that apply to at least one of the clips."""
    return [
        damage
        for damage in damages
        if any(
            damage.applies(each, _other(specimens, place)) for place, each in enumerate(specimens)
        )
    ]


def _cases(specimens: Sequence[Specimen], damages: Sequence[Damage], seed: int) -> Iterator[Case]:
    for place, specimen in enumerate(specimens):
        other = _other(specimens, place)
        yield Case(specimen, other, None, 0.0, seed)
        for damage in damages:
            if damage.applies(specimen, other):
                for strength in damage.strengths:
                    yield Case(specimen, other, damage, strength, seed)


def _other(specimens: Sequence[Specimen], place: int) -> Specimen:
    """The next clip of another prompt, or the next one where all have the same or none is known."""
    following = [*specimens[place + 1 :], *specimens[:place]]
    own = specimens[place].wording
    told = [each for each in following if each.wording is not None and each.wording != own]
    return (told if own is not None and told else following)[0]
