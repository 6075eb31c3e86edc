"""Pairs the scores of two runs by prompt.

A prompt is what a video was asked to be: its id, its text and the media that it starts from. Each
side's value of a prompt is the mean over its videos that have a score, so that seeds need not
agree. A video that failed leaves its prompt's mean; a prompt that has no score on one side leaves
the comparison of that metric. Both are counted, and how many videos failed is compared as a row of
its own, so that a model cannot gain by failing where it is bad.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.compare.rules import FAILURES
from eval.ledger import LedgerReader
from eval.selection import MixedFingerprintsError, Scored, Selection, differences, select
from eval.statistics import clusters
from eval.statistics.clusters import Numbers
from mora.errors import SettingError
from mora.records import MediaRef, TaskName, Video

ALLOWED = ("fingerprints", "prompts", "unfinished")
"""What a comparison may be told to put up with."""


@dataclass(frozen=True)
class PromptKey:
    """What tells prompts apart.

    Attributes:
        name: Id in the prompt set, or for imported videos the file's place.
        text: The prompt; `None` where none is known.
        inputs: Roles and content hashes of the media that the video starts from.
    """

    name: str
    text: str | None
    inputs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Side:
    """A model in a run.

    Attributes:
        ledger: The run.
        model: The model's name.
    """

    ledger: LedgerReader
    model: str


@dataclass(frozen=True)
class PairedScores:
    """One metric on the prompts that have a value on both sides.

    Attributes:
        metric: Its name, or `FAILURES`.
        prompts: The prompts, N of them.
        base: Base's mean of each prompt, (N,).
        candidate: Candidate's mean of each prompt, (N,).
        spread: Standard deviation of the base's single videos.
        videos: Videos behind the values, on either side.
        failed: Videos without a score on either side, by kind of failure.
        dropped: Prompts that are missing because all their videos failed on one side.
    """

    metric: str
    prompts: tuple[PromptKey, ...]
    base: Numbers
    candidate: Numbers
    spread: float
    videos: tuple[int, int]
    failed: tuple[Mapping[str, int], Mapping[str, int]]
    dropped: int


@dataclass(frozen=True)
class Paired:
    """Two models on the same prompts.

    Attributes:
        task: What the videos were made for.
        prompts: Number of prompts that both have videos of.
        videos: Videos of those prompts on either side, failures included.
        metrics: The metrics, then `FAILURES` if any video failed.
        fingerprints: What each metric's scores depend on: one id, several where mixed.
        protocols: Protocols of the scores.
        weights: Sets of weights that the scores were computed with.
        notes: What has to be known of the comparison.
    """

    task: TaskName
    prompts: int
    videos: tuple[int, int]
    metrics: tuple[PairedScores, ...]
    fingerprints: Mapping[str, tuple[str, ...]]
    protocols: tuple[str, ...]
    weights: tuple[str, ...]
    notes: tuple[str, ...]


def find_side(ledger: LedgerReader, model: str | None, setting: str) -> Side:
    """Finds the model of a run that is compared.

    Args:
        ledger: The run.
        model: The model's name; `None` takes the only one.
        setting: Name of the setting that names it, for errors.

    Raises:
        SettingError: There is no video, no such model, or several and none was named.
    """
    models = list(dict.fromkeys(video.model for video in ledger.videos()))
    if not models:
        raise SettingError(f"{ledger.run} holds no videos yet. `mora generate` goes on with them.")
    if model is None and len(models) == 1:
        return Side(ledger, models[0])
    if model not in models:
        found = "none was named" if model is None else f"found {setting}={model}"
        raise SettingError(
            f"{ledger.run}: {setting}: expected one of {', '.join(models)}; {found}."
        )
    return Side(ledger, model)


def pair(
    base: Side,
    candidate: Side,
    *,
    metrics: Sequence[str] | None = None,
    task: TaskName | None = None,
    protocol: str | None = None,
    weights: str | None = None,
    allow: Collection[str] = (),
) -> Paired:
    """Pairs two models' scores.

    Args:
        base: The model to compare with.
        candidate: The model that is to be judged.
        metrics: Names of metrics; `None` takes all that either was scored on.
        task: Only videos of this task; `None` takes the only one there is.
        protocol: Only scores under this protocol; `None` takes the only one there is.
        weights: Only scores with this set of weights; `None` takes the only one there is.
        allow: What to put up with, of `ALLOWED`: scores of different fingerprints, prompts that
            only one side has, videos that are not made or not scored yet.

    Raises:
        SettingError: The two cannot be compared; the message says why and what to do.
    """
    sides = (base, candidate)
    task = _task(sides, task)
    videos = [
        [each for each in side.ledger.videos() if each.model == side.model and each.task == task]
        for side in sides
    ]
    notes: list[str] = []
    prompts = _prompts(sides, videos, "prompts" in allow, notes)
    _finished(sides, task, "unfinished" in allow, notes)
    selections = _selections(sides, task, metrics, protocol, weights, "fingerprints" in allow)
    notes += [
        f"{selection.metric}: mixed fingerprints, the numbers do not compare; they differ in "
        f"{', '.join(differences(selection.fingerprints))}."
        for selection in selections.values()
        if len(selection.fingerprints) > 1
    ]
    by_prompt = [_by_prompt(each, prompts) for each in videos]
    paired = []
    broken: tuple[set[str], set[str]] = (set(), set())
    for name, selection in selections.items():
        found = [
            _values(selection, place, side, groups, "unfinished" in allow, notes)
            for place, (side, groups) in enumerate(zip(sides, by_prompt, strict=True))
        ]
        if not any(each.values or each.failed for each in found):
            notes.append(f"{name}: left out, it does not apply to these videos.")
            continue
        for place, each in enumerate(found):
            broken[place].update(each.failed)
        paired.append(_paired(name, prompts, found))
    if not paired:
        raise SettingError(
            "the runs share no metric to compare. `mora evaluate` scores them, or name others with "
            "metrics=."
        )
    if any(broken):
        paired.append(_failures(prompts, by_prompt, broken))
    used = [each for selection in selections.values() for each in selection.fingerprints]
    return Paired(
        task=task,
        prompts=len(prompts),
        videos=(
            sum(map(len, by_prompt[0].values())),
            sum(map(len, by_prompt[1].values())),
        ),
        metrics=tuple(paired),
        fingerprints={
            name: tuple(each.id for each in selection.fingerprints)
            for name, selection in selections.items()
        },
        protocols=tuple(sorted({each.protocol for each in used})),
        weights=tuple(sorted({each.weights for each in used})),
        notes=tuple(dict.fromkeys(notes)),
    )


Groups = Mapping[PromptKey, Sequence[Video]]
"""Videos by prompt."""


@dataclass(frozen=True)
class _Values:
    """What one side has of a metric.

    Attributes:
        values: Scores by prompt.
        failed: Kind of failure by video.
        asked: Prompts with a score or a failure; to the others the metric does not apply.
    """

    values: Mapping[PromptKey, Sequence[float]]
    failed: Mapping[str, str]
    asked: Collection[PromptKey]


def _task(sides: Sequence[Side], task: TaskName | None) -> TaskName:
    found = [
        {video.task for video in side.ledger.videos() if video.model == side.model}
        for side in sides
    ]
    every = sorted(found[0] | found[1])
    if task is None and len(every) == 1:
        return every[0]
    if task is None:
        raise SettingError(f"the runs hold several tasks; say which: task={'|'.join(every)}.")
    for side, tasks in zip(sides, found, strict=True):
        if task not in tasks:
            raise SettingError(
                f"task={task}: {side.ledger.run} has videos of {', '.join(sorted(tasks))} only."
            )
    return task


def _key(video: Video) -> PromptKey:
    inputs = (
        (role.value, media.sha256 if isinstance(media, MediaRef) else media.kind.value)
        for role, media in sorted(video.companions.items())
    )
    return PromptKey(video.prompt_id or video.text or video.id, video.text, tuple(inputs))


def _prompts(
    sides: Sequence[Side], videos: Sequence[Sequence[Video]], allowed: bool, notes: list[str]
) -> list[PromptKey]:
    keys = [dict.fromkeys(map(_key, each)) for each in videos]
    shared = [key for key in keys[0] if key in keys[1]]
    alone = [len(each) - len(shared) for each in keys]
    if any(alone):
        told = " and ".join(
            f"{count} of {len(each)} prompts of {side.ledger.run}"
            for count, each, side in zip(alone, keys, sides, strict=True)
            if count
        )
        if not allowed or not shared:
            hint = (
                "Run both on one prompt set, or say allow=prompts to compare what they share."
                if shared
                else "They share none (id, text and inputs have to agree)."
            )
            raise SettingError(f"the prompt sets differ: the other side lacks {told}. {hint}")
        notes.append(f"The prompt sets differ: left out are {told}.")
    return shared


def _finished(sides: Sequence[Side], task: TaskName, allowed: bool, notes: list[str]) -> None:
    for side in sides:
        made = {video.id for video in side.ledger.videos()}
        count = sum(
            request.model == side.model and request.prompt.task == task and request.id not in made
            for request in side.ledger.requests()
        )
        if count:
            told = f"{side.ledger.run}: {count} videos of {side.model} are not made yet"
            if not allowed:
                raise SettingError(
                    f"{told}. `mora generate` goes on with them, or say allow=unfinished."
                )
            notes.append(f"{told}.")


def _selections(
    sides: Sequence[Side],
    task: TaskName,
    metrics: Sequence[str] | None,
    protocol: str | None,
    weights: str | None,
    mix: bool,
) -> dict[str, Selection]:
    scored = [
        dict.fromkeys(
            each.metric
            for each in side.ledger.fingerprints()
            if protocol in (None, each.protocol) and weights in (None, each.weights)
        )
        for side in sides
    ]
    names = list(metrics) if metrics is not None else list(scored[0] | scored[1])
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise SettingError(f"metrics={','.join(names)}: {twice[0]} comes twice.")
    for name in names:
        if not name.isidentifier():
            raise SettingError(
                f"{name!r}: a run says that this is a metric; expected letters, digits and _."
            )
        for side, found in zip(sides, scored, strict=True):
            if name not in found:
                raise SettingError(
                    f"{side.ledger.run} was not scored on {name}"
                    + (f" under protocol={protocol}" if protocol else "")
                    + f" (but on {', '.join(found) or 'nothing'}). `mora evaluate` does it, or "
                    "name the metrics to compare with metrics=."
                )
    ledgers = [side.ledger for side in sides]
    try:
        selections = select(ledgers, names, task, protocol=protocol, weights=weights, mix=True)
    except MixedFingerprintsError as error:  # several protocols
        raise SettingError(str(error)) from None
    for selection in selections.values():
        if len(selection.fingerprints) > 1 and not mix:
            raise SettingError(
                f"{selection.metric}: the runs' scores differ in "
                f"{', '.join(differences(selection.fingerprints))}, and numbers compare only where "
                "these agree. Evaluate both in the same way, or say allow=fingerprints."
            )
    return selections


def _by_prompt(videos: Iterable[Video], prompts: Iterable[PromptKey]) -> Groups:
    groups: dict[PromptKey, list[Video]] = {prompt: [] for prompt in prompts}
    for video in videos:
        key = _key(video)
        if key in groups:
            groups[key].append(video)
    return groups


def _values(
    selection: Selection,
    place: int,
    side: Side,
    groups: Groups,
    unfinished: bool,
    notes: list[str],
) -> _Values:
    values: dict[PromptKey, list[float]] = {}
    failed: dict[str, str] = {}
    asked: set[PromptKey] = set()
    waiting = 0
    for prompt, videos in groups.items():
        for video in videos:
            score = selection.scores.get((place, video.id))
            kind = _failure(video, score)
            if kind is not None:
                failed[video.id] = kind
                asked.add(prompt)
            elif score is None:
                waiting += 1
            elif score.value is not None:
                values.setdefault(prompt, []).append(score.value)
                asked.add(prompt)
    if waiting:
        told = f"{side.ledger.run}: {waiting} videos are not scored on {selection.metric}"
        if not unfinished:
            raise SettingError(f"{told}. `mora evaluate` goes on, or say allow=unfinished.")
        notes.append(f"{told}.")
    return _Values(values, failed, asked)


def _failure(video: Video, score: Scored | None) -> str | None:
    """Kind of the failure that a video is to a metric."""
    if video.failure is not None:
        return video.failure.kind.value
    if score is not None and score.failure is not None and score.failure.counts:
        return score.failure.kind.value
    return None


def _paired(name: str, prompts: Sequence[PromptKey], found: Sequence[_Values]) -> PairedScores:
    base, candidate = (each.values for each in found)
    shared = [prompt for prompt in prompts if prompt in base and prompt in candidate]
    asked = {prompt for each in found for prompt in each.asked}
    single = [value for prompt in shared for value in base[prompt]]
    return PairedScores(
        metric=name,
        prompts=tuple(shared),
        base=np.array([np.mean(base[prompt]) for prompt in shared]),
        candidate=np.array([np.mean(candidate[prompt]) for prompt in shared]),
        spread=clusters(single, range(len(single))).spread if single else 0.0,
        videos=(len(single), sum(len(candidate[prompt]) for prompt in shared)),
        failed=(Counter(found[0].failed.values()), Counter(found[1].failed.values())),
        dropped=len(asked) - len(shared),
    )


def _failures(
    prompts: Sequence[PromptKey], by_prompt: Sequence[Groups], broken: Sequence[Collection[str]]
) -> PairedScores:
    """The share of each prompt's videos that failed on any of the metrics."""
    shares = [
        np.array([np.mean([video.id in ids for video in groups[prompt]]) for prompt in prompts])
        for groups, ids in zip(by_prompt, broken, strict=True)
    ]
    single = [float(video.id in broken[0]) for prompt in prompts for video in by_prompt[0][prompt]]
    return PairedScores(
        metric=FAILURES,
        prompts=tuple(prompts),
        base=shares[0],
        candidate=shares[1],
        spread=clusters(single, range(len(single))).spread,
        videos=(len(single), sum(len(by_prompt[1][prompt]) for prompt in prompts)),
        failed=({}, {}),
        dropped=0,
    )
