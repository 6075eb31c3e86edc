"""What a trial found: for each metric and damage, does the score follow the strength?

Two questions are asked of each pair. *Does it follow*: Spearman's correlation of score and strength
within each clip, which no difference between clips can hide. *Does it tell them apart*: the AUC,
the probability that a clean clip scores better than another clip that is damaged, which is what
counts where there is no clean version to compare with.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
from pydantic import Field

from eval.ledger import LedgerReader
from eval.plan import fingerprint
from eval.validate import statistics
from eval.validate.damages import DAMAGES, Damage
from eval.validate.expectations import RESOLUTION, Direction, Expectation, expected
from eval.validate.statistics import Numbers
from eval.validate.trial import CLEAN, Trial
from metrics.metric import Metric
from metrics.networks import Networks
from mora.records import Record

Found = Literal["falls", "rises", "unmoved", "unclear", "nothing"]
"""`unmoved`: no clip's score moves at any strength. `unclear`: some do, but no trend is sure.
`nothing`: too few scores."""

Verdict = Literal["as expected", "not seen", "contrary", "moves", "open", "not stated"]
"""`not seen`: no sure trend where one was expected. `moves`: it was expected to be blind. `open`:
too few scores."""

HELD: Final[Mapping[Verdict, bool]] = {
    "as expected": True,
    "not seen": False,
    "contrary": False,
    "moves": False,
}
"""Whether an expectation held; the other verdicts are of none."""

FEWEST_SCORED: Final = 3
"""Clips that must have their scores for a trend to be told."""


class Level(Record):
    """A metric under one damage of one strength."""

    strength: float
    clips: int
    """Clips that have both scores, damaged and clean."""
    failed: int
    """Clips that lack one of them."""
    mean: float | None = None
    """Mean score of the damaged clips."""
    change: float | None = None
    """Mean difference from the same clip undamaged, in the metric's units."""
    change_interval: tuple[float, float] | None = None
    worse: float | None = None
    """Share of the clips that score worse than they did undamaged; ties count half."""
    auc: float | None = None
    """Probability that a clean clip scores better than another clip that is damaged; ties count
    half."""
    auc_interval: tuple[float, float] | None = None


class Finding(Record):
    """A metric under one damage."""

    metric: str
    damage: str
    expected: Expectation
    clips: int
    """Clips whose scores tell a trend."""
    trend: float | None = None
    """Mean over clips of Spearman's correlation of the score's goodness with the strength: -1
    always gets worse, 1 always better; 0 also for a clip whose score stays."""
    trend_interval: tuple[float, float] | None = None
    falling: float | None = None
    """Share of the steps from one strength to the next at which a clip's score gets worse."""
    rising: float | None = None
    """Share at which it gets better; at the others it stays."""
    found: Found
    verdict: Verdict
    levels: tuple[Level, ...]

    @property
    def severest(self) -> Level:
        """The greatest strength."""
        return self.levels[-1]

    @property
    def seen_from(self) -> float | None:
        """The least strength from which on clean and damaged clips can surely be told apart.

        That is, from which on all intervals of the AUC lie on the side of 0.5 that was found.
        """
        since = None
        for level in reversed(self.levels):
            if level.auc_interval is None:
                break
            low, high = level.auc_interval
            if not (low > 0.5 if self.found == "falls" else high < 0.5):
                break
            since = level.strength
        return since if self.found in ("falls", "rises") else None


class Clean(Record):
    """A metric on the undamaged clips."""

    metric: str
    title: str
    fingerprint: str
    clips: int
    mean: float | None
    deviation: float | None
    """Standard deviation between clips."""


class Results(Record):
    """All that a trial found."""

    source: str
    """Where the clips are from."""
    clips: tuple[str, ...]
    """Their names."""
    seed: int
    protocol: str
    weights: str
    resolution: float = RESOLUTION
    resamples: int = statistics.RESAMPLES
    interval: float = statistics.LEVEL
    clean: tuple[Clean, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    failures: Mapping[str, int] = Field(default_factory=dict)
    """Scores that failed, by what was told."""

    def finding(self, metric: str, damage: str) -> Finding | None:
        """The finding of a metric under a damage; `None` if it does not look at what is damaged."""
        return next((f for f in self.findings if (f.metric, f.damage) == (metric, damage)), None)

    @property
    def damages(self) -> tuple[str, ...]:
        """Names of the damages, in the order of tables."""
        told = {finding.damage for finding in self.findings}
        return tuple(name for name in DAMAGES if name in told)


def find(
    ledger: LedgerReader,
    trial: Trial,
    metrics: Sequence[Metric],
    networks: Networks,
    *,
    source: str,
    seed: int,
    notes: Sequence[str] = (),
) -> Results:
    """Works out what a trial found.

    Args:
        ledger: The run that the trial was scored in; what is not scored counts as failed.
        trial: The trial.
        metrics: The metrics to tell of, under the protocol of the scores.
        networks: The weights of the scores.
        source: Where the clips are from, for the report.
        seed: Seed of the trial, and of the intervals.
        notes: What else has to be known.
    """
    prints = {metric.name: fingerprint(metric, networks).id for metric in metrics}
    goodness, failures = _collected(ledger, trial, metrics, prints)
    return Results(
        source=source,
        clips=tuple(specimen.name for specimen in trial.specimens),
        seed=seed,
        protocol=metrics[0].protocol.name,
        weights=networks.weights,
        clean=tuple(
            _clean(metric, prints[metric.name], goodness[metric.name, CLEAN, 0.0])
            for metric in metrics
        ),
        findings=tuple(
            judge(
                metric,
                damage,
                expected(metric.name, damage.name),
                np.column_stack(
                    [
                        goodness[metric.name, CLEAN, 0.0],
                        *(goodness[metric.name, damage.name, each] for each in damage.strengths),
                    ]
                ),
                seed,
            )
            for metric in metrics
            for damage in trial.damages
            if damage.touches(metric)
        ),
        notes=tuple(notes),
        failures=failures,
    )


def judge(
    metric: Metric, damage: Damage, stated: Expectation, goodness: Numbers, seed: int = 0
) -> Finding:
    """Judges one metric under one damage.

    Args:
        metric: The metric.
        damage: The damage.
        stated: What is expected.
        goodness: How good each clip scored, greater is better: (clips, 1 + strengths), undamaged
            first, NaN where there is no score.
        seed: Seed of the intervals.
    """
    levels = tuple(
        _level(strength, goodness[:, 0], goodness[:, place], _sign(metric), seed)
        for place, strength in enumerate(damage.strengths, start=1)
    )
    whole = goodness[~np.isnan(goodness).any(axis=1)]
    if len(whole) < FEWEST_SCORED:
        return Finding(
            metric=metric.name,
            damage=damage.name,
            expected=stated,
            clips=len(whole),
            found="nothing",
            verdict="not stated" if stated.direction == "not stated" else "open",
            levels=levels,
        )
    strengths = (0.0, *damage.strengths)
    trends = [statistics.spearman(strengths, row, RESOLUTION) for row in whole]
    low, high = statistics.mean_interval(trends, statistics.draws(len(trends), seed))
    steps = np.diff(whole, axis=1)
    moved = max(abs(level.change or 0.0) for level in levels)
    found: Found = "unclear"
    if np.abs(whole - whole[:, :1]).max() <= RESOLUTION:
        found = "unmoved"
    elif high < 0:
        found = "falls"
    elif low > 0:
        found = "rises"
    return Finding(
        metric=metric.name,
        damage=damage.name,
        expected=stated,
        clips=len(whole),
        trend=float(np.mean(trends)),
        trend_interval=(low, high),
        falling=float(np.mean(steps < -RESOLUTION)),
        rising=float(np.mean(steps > RESOLUTION)),
        found=found,
        verdict=_verdict(stated, found, moved),
        levels=levels,
    )


def _collected(
    ledger: LedgerReader, trial: Trial, metrics: Sequence[Metric], prints: Mapping[str, str]
) -> tuple[dict[tuple[str, str, float], Numbers], dict[str, int]]:
    """Goodness of each clip by metric, damage and strength, and how often what has failed."""
    scores = {(score.video_id, score.fingerprint): score for score in ledger.all_scores()}
    places = {specimen.name: place for place, specimen in enumerate(trial.specimens)}
    damaged = [(damage.name, each) for damage in trial.damages for each in damage.strengths]
    goodness = {
        (metric.name, *what): np.full(len(places), np.nan)
        for metric in metrics
        for what in [(CLEAN, 0.0), *damaged]
    }
    failures: Counter[str] = Counter()
    for id_, case in trial.cases.items():
        name = CLEAN if case.damage is None else case.damage.name
        for metric in filter(case.touches, metrics):
            score = scores.get((id_, prints[metric.name]))
            if score is None:
                failures[f"{metric.name}, {case.model}: not scored yet"] += 1
            elif score.value is None:
                reason = "" if score.failure is None else score.failure.message
                failures[f"{metric.name}, {case.model}: {reason}"] += 1
            else:
                found = goodness[metric.name, name, case.strength]
                found[places[case.specimen.name]] = _sign(metric) * score.value
    return goodness, dict(failures)


def _clean(metric: Metric, print_: str, goodness: Numbers) -> Clean:
    known = _sign(metric) * goodness[~np.isnan(goodness)]
    return Clean(
        metric=metric.name,
        title=metric.title,
        fingerprint=print_,
        clips=len(known),
        mean=float(known.mean()) if len(known) else None,
        deviation=float(known.std(ddof=1)) if len(known) > 1 else None,
    )


def _level(strength: float, clean: Numbers, damaged: Numbers, sign: int, seed: int) -> Level:
    both = ~(np.isnan(clean) | np.isnan(damaged))
    count = int(both.sum())
    if count < FEWEST_SCORED:
        return Level(strength=strength, clips=count, failed=len(clean) - count)
    before, after = clean[both], damaged[both]
    drawn = statistics.draws(count, seed)
    compared = statistics.beats(before, after, RESOLUTION)
    change = sign * (after - before)
    return Level(
        strength=strength,
        clips=count,
        failed=len(clean) - count,
        mean=float(sign * after.mean()),
        change=float(change.mean()),
        change_interval=statistics.mean_interval(change, drawn),
        worse=float(np.diag(compared).mean()),
        auc=statistics.auc(compared),
        auc_interval=statistics.auc_interval(compared, drawn),
    )


def _verdict(stated: Expectation, found: Found, moved: float) -> Verdict:
    wanted: Direction = stated.direction
    if wanted == "not stated":
        return "not stated"
    if wanted == "blind":
        return "as expected" if moved <= (stated.tolerance or 0.0) else "moves"
    if found == wanted:
        return "as expected"
    return "contrary" if found in ("falls", "rises") else "not seen"


def _sign(metric: Metric) -> int:
    return 1 if metric.higher_is_better else -1
