"""What all formats say of a comparison, in the same words and numbers."""

import math
from collections.abc import Mapping
from typing import Final

from eval.compare.comparison import Comparison, Contender
from eval.compare.pairs import PromptKey
from eval.compare.verdict import Finding, Verdict, title

DASH: Final = "–"
"""Stands where there is no number."""

HEAD: Final = ("metric", "prompts", "base", "candidate", "difference", "interval", "tolerance")
"""Headings of `cells`; the verdict comes after them."""


def summary(comparison: Comparison) -> str:
    """The outcome in one sentence, without texts from the runs."""
    counts = [
        f"{count} {verdict.value}"
        for verdict in Verdict
        if (count := sum(each.verdict is verdict for each in comparison.findings))
    ]
    passed = "passed" if comparison.passed else "failed"
    return f"The gate is {passed}: {', '.join(counts)}."


def said(finding: Finding, power: float) -> str:
    """The verdict in words, and what would decide it."""
    if finding.verdict is not Verdict.UNDECIDED:
        return finding.verdict.value
    words = "undecided" if finding.may_be_worse else "undecided, not worse"
    if finding.base is None:
        return f"{words}: no prompt has a score on both sides"
    if finding.more is None:
        return f"{words}: the difference lies on the tolerance, no number of prompts decides"
    return f"{words}: {finding.more:,} more prompts would decide ({power:.0%})"


def notes(comparison: Comparison) -> list[str]:
    """What has to be known of the numbers, a sentence each, without texts from the runs.

    What quotes the runs is in `Paired.notes`, to be escaped.
    """
    test = comparison.test
    found = [
        (
            f"Means over prompts. Intervals hold {1 - 2 * test.alpha:.0%} each. Chance that any "
            f"loss within its tolerance is called worse: {test.alpha:.0%}, over all metrics."
        )
    ]
    for finding in comparison.findings:
        told = [
            f"{sum(kinds.values())} of the {side}'s videos failed ({_kinds(kinds)})"
            for side, kinds in zip(("base", "candidate"), finding.scores.failed, strict=True)
            if kinds
        ]
        if told:
            lost = finding.scores.dropped
            left = f"; {lost} prompts have no score on one side and are left out" if lost else ""
            found.append(f"{title(finding.metric)}: {' and '.join(told)}{left}.")
    return found


def _kinds(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))


def named(one: Contender) -> str:
    """Model and run, as the run has them; to be escaped."""
    return f"{one.model} [{one.run.name}]"


def facts(comparison: Comparison) -> str:
    """What was compared; to be escaped."""
    paired = comparison.paired
    weights = f", {' and '.join(paired.weights)} weights" if paired.weights != ("none",) else ""
    return (
        f"{paired.task.value}, {paired.prompts} prompts, {comparison.base.videos} and "
        f"{comparison.candidate.videos} videos, protocol {' and '.join(paired.protocols)}{weights}"
    )


def cells(finding: Finding) -> list[str]:
    """The texts below `HEAD`."""
    numbers = [DASH] * 3
    interval = DASH
    if finding.base is not None and finding.candidate is not None:
        numbers = [
            f"{finding.base:z.4f}",
            f"{finding.candidate:z.4f}",
            f"{finding.candidate - finding.base:+z.4f}",
        ]
        if math.isfinite(finding.interval.low):
            interval = f"{finding.interval.low:+z.4f} to {finding.interval.high:+z.4f}"
    return [
        title(finding.metric),
        str(len(finding.scores.prompts)),
        *numbers,
        interval,
        f"{finding.margin:.2g}",
    ]


def worse(comparison: Comparison) -> list[Finding]:
    """Findings of which losses are to be named."""
    return [each for each in comparison.findings if each.verdict is Verdict.WORSE and each.losses]


def prompt_text(prompt: PromptKey) -> str:
    """Id and text of a prompt; to be escaped."""
    text = prompt.text or ""
    return prompt.name if text in ("", prompt.name) else f"{prompt.name}: {text}"
