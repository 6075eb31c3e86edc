"""Judges each metric: worse, better, equivalent, or undecided and how many prompts would decide.

With the tolerance m and the candidate's gain g (the difference, positive where it is better), the
verdict is

- worse if a one-sided test rejects that g is -m or more,
- better if one rejects that g is m or less,
- equivalent if two one-sided tests reject that g is beyond m either way,
- undecided else.

So a loss within the tolerance is called worse no oftener than at the level that is set. The tests
for worse are adjusted over the metrics by Holm's method, so that this holds for the whole gate;
likewise those for better. Equivalence is claimed of each metric by itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from eval.compare.pairs import PairedScores, PromptKey
from eval.compare.rules import FAILURES, Rule, Rules
from eval.statistics import (
    Effect,
    Evidence,
    Interval,
    SignFlips,
    YesNo,
    effect,
    holm,
    prompts_for_difference,
    prompts_for_equivalence,
    smallest_detectable,
)


class Verdict(StrEnum):
    """What is known of a metric."""

    WORSE = "worse"
    BETTER = "better"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Test:
    """How sure the gate is.

    Attributes:
        alpha: Chance of a false alarm that is put up with in the whole gate, 0 to 1.
        power: Chance of a verdict that numbers of prompts are computed for, 0 to 1.
        seed: Of the drawn patterns of signs.
    """

    alpha: float
    power: float
    seed: int = 0


@dataclass(frozen=True)
class Change:
    """A prompt's values on both sides."""

    prompt: PromptKey
    base: float
    candidate: float


@dataclass(frozen=True)
class Finding:
    """The verdict on one metric and what it rests on.

    Attributes:
        scores: The paired scores.
        rule: What was asked.
        margin: The tolerance in the metric's own units.
        verdict: The verdict.
        may_be_worse: Whether a loss beyond the tolerance is not ruled out.
        base: Base's mean over the prompts; `None` where no prompt has both scores.
        candidate: Candidate's mean.
        interval: Of candidate less base, at the level 1 - 2 alpha, to which the tests belong
            before they are adjusted.
        effect: Size of the gain; `None` for shares and where there are no prompts.
        p_equal: Against no difference at all, two-sided, adjusted by Holm over the metrics.
        p_worse: Against a loss of no more than the tolerance, adjusted likewise.
        p_better: Against a gain of no more than the tolerance, adjusted likewise.
        p_equivalent: Against a difference beyond the tolerance.
        detectable: Smallest true loss that so many prompts call worse with the wished power.
        more: Prompts beyond those at hand that would decide with the wished power, if the
            difference seen were the true one; `None` where it is decided, or no number would do.
        losses: The prompts that lost most, most first.
    """

    scores: PairedScores
    rule: Rule
    margin: float
    verdict: Verdict
    may_be_worse: bool
    base: float | None
    candidate: float | None
    interval: Interval
    effect: Effect | None
    p_equal: float
    p_worse: float
    p_better: float
    p_equivalent: float
    detectable: float
    more: int | None
    losses: tuple[Change, ...]

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.scores.metric

    @property
    def difference(self) -> float | None:
        """Candidate's mean less base's."""
        if self.base is None or self.candidate is None:
            return None
        return self.candidate - self.base


def judge(metrics: Sequence[PairedScores], rules: Rules, test: Test, *, most: int) -> list[Finding]:
    """Judges all metrics of a comparison.

    Args:
        metrics: Paired scores of each.
        rules: What is asked of each.
        test: How sure to be.
        most: Losses to name of each metric.
    """
    asked = [_Question(scores, rules.of(scores.metric), test.seed) for scores in metrics]
    equal = holm([each.p_equal for each in asked])
    worse = holm([each.p_worse for each in asked])
    better = holm([each.p_better for each in asked])
    return [
        each.finding(*adjusted, test=test, family=len(asked), most=most)
        for each, *adjusted in zip(asked, equal, worse, better, strict=True)
    ]


class _Question:
    """One metric's evidence, before it is known how many others are asked of."""

    def __init__(self, scores: PairedScores, rule: Rule, seed: int) -> None:
        self.scores, self.rule = scores, rule
        self.sign = 1.0 if rule.better == "higher" else -1.0
        self.margin = rule.margin(scores.spread)
        gains = self.sign * (scores.candidate - scores.base)
        self.gains = gains
        self.evidence: Evidence | None = None
        if len(gains):
            yes_no = rule.kind == "yes_no"
            self.evidence = YesNo(gains) if yes_no else SignFlips(gains, seed=seed)
        evidence = self.evidence
        self.p_equal = evidence.p_equal() if evidence else 1.0
        self.p_worse = evidence.p_below(-self.margin) if evidence else 1.0
        self.p_better = evidence.p_above(self.margin) if evidence else 1.0
        self.p_equivalent = evidence.p_equivalent(self.margin) if evidence else 1.0

    def finding(
        self,
        p_equal: float,
        p_worse: float,
        p_better: float,
        *,
        test: Test,
        family: int,
        most: int,
    ) -> Finding:
        """The verdict, from adjusted p-values and the number of metrics that they are of."""
        alpha, evidence, margin = test.alpha, self.evidence, self.margin
        if p_worse <= alpha:
            verdict = Verdict.WORSE
        elif p_better <= alpha:
            verdict = Verdict.BETTER
        elif self.p_equivalent <= alpha or self._identical(alpha):
            verdict = Verdict.EQUIVALENT
        else:
            verdict = Verdict.UNDECIDED
        not_worse = verdict in (Verdict.BETTER, Verdict.EQUIVALENT) or (
            evidence is not None and evidence.p_above(-margin) <= alpha
        )
        level = 1 - 2 * alpha
        gains = evidence.interval(level) if evidence else Interval(-math.inf, math.inf, level)
        ends = sorted((self.sign * gains.low, self.sign * gains.high))
        strict = {"alpha": alpha / family, "power": test.power}
        deviation = evidence.deviation if evidence else math.inf
        return Finding(
            scores=self.scores,
            rule=self.rule,
            margin=margin,
            verdict=verdict,
            may_be_worse=not not_worse,
            base=float(self.scores.base.mean()) if evidence else None,
            candidate=float(self.scores.candidate.mean()) if evidence else None,
            interval=Interval(ends[0], ends[1], level),
            effect=(
                effect(self.gains, level=level) if evidence and self.rule.kind == "number" else None
            ),
            p_equal=p_equal,
            p_worse=p_worse,
            p_better=p_better,
            p_equivalent=self.p_equivalent,
            detectable=margin
            + (smallest_detectable(deviation, len(self.gains), **strict) if evidence else math.inf),
            more=self._more(test, strict) if verdict is Verdict.UNDECIDED else None,
            losses=self._losses(most),
        )

    def _identical(self, alpha: float) -> bool:
        """Whether all prompts have one value on both sides, with no tolerance to hold it against.

        That is so of a number that never varies, such as the length of videos, whose spread is 0.
        """
        exact = self.rule.kind == "number" and self.margin == 0.0
        return exact and bool(np.all(self.gains == 0.0)) and 0.5 ** len(self.gains) <= alpha

    def _more(self, test: Test, strict: dict[str, float]) -> int | None:
        if self.evidence is None:
            return None
        gain, deviation, margin = self.evidence.mean, self.evidence.deviation, self.margin
        if abs(gain) < margin:
            needed = prompts_for_equivalence(
                margin, gain, deviation, alpha=test.alpha, power=test.power
            )
        else:
            needed = prompts_for_difference(abs(gain) - margin, deviation, **strict)
        return None if needed is None else max(1, needed - len(self.gains))

    def _losses(self, most: int) -> tuple[Change, ...]:
        order = np.argsort(self.gains, kind="stable")[:most]
        return tuple(
            Change(
                self.scores.prompts[place],
                float(self.scores.base[place]),
                float(self.scores.candidate[place]),
            )
            for place in order
            if self.gains[place] < 0
        )


def title(metric: str) -> str:
    """What a row is called."""
    return "videos that failed" if metric == FAILURES else metric.replace("_", " ")
