"""Writes a comparison as JSON, for programs."""

import json
import math
from typing import Any

from eval.compare.comparison import Comparison, Contender
from eval.compare.rules import FAILURES
from eval.compare.verdict import Change, Finding
from eval.compare.words import notes


def document(comparison: Comparison) -> str:
    """All that is known of it; what is infinite is null."""
    paired, test = comparison.paired, comparison.test
    made: dict[str, Any] = {
        "passed": comparison.passed,
        "verdict": comparison.verdict.value,
        "base": _contender(comparison.base),
        "candidate": _contender(comparison.candidate),
        "task": paired.task.value,
        "prompts": paired.prompts,
        "protocols": paired.protocols,
        "weights": paired.weights,
        "alpha": test.alpha,
        "power": test.power,
        "undecided": comparison.undecided,
        "notes": [*notes(comparison), *paired.notes],
        "metrics": [_finding(each, comparison) for each in comparison.findings],
    }
    return json.dumps(made, indent=2, allow_nan=False) + "\n"


def _contender(one: Contender) -> dict[str, Any]:
    return {"run": str(one.run), "model": one.model, "videos": one.videos}


def _finding(finding: Finding, comparison: Comparison) -> dict[str, Any]:
    scores, size = finding.scores, finding.effect
    return {
        "metric": finding.metric,
        "verdict": finding.verdict.value,
        "fails": comparison.fails(finding),
        "may_be_worse": finding.may_be_worse,
        "better": finding.rule.better,
        "kind": finding.rule.kind,
        "tolerance": finding.margin,
        "prompts": len(scores.prompts),
        "prompts_left_out": scores.dropped,
        "base": finding.base,
        "candidate": finding.candidate,
        "difference": finding.difference,
        "interval": {
            "level": finding.interval.level,
            "low": _finite(finding.interval.low),
            "high": _finite(finding.interval.high),
        },
        "effect": None
        if size is None
        else {
            "size": size.size,
            "low": None if size.interval is None else size.interval.low,
            "high": None if size.interval is None else size.interval.high,
            "prompts_better": size.better,
            "prompts_equal": size.equal,
            "prompts_worse": size.worse,
        },
        "p_equal": finding.p_equal,
        "p_worse": finding.p_worse,
        "p_better": finding.p_better,
        "p_equivalent": finding.p_equivalent,
        "detectable_loss": _finite(finding.detectable),
        "more_prompts": finding.more,
        "videos": {"base": scores.videos[0], "candidate": scores.videos[1]},
        "failed": {"base": dict(scores.failed[0]), "candidate": dict(scores.failed[1])},
        "fingerprints": []
        if finding.metric == FAILURES
        else list(comparison.paired.fingerprints[finding.metric]),
        "losses": [_change(each) for each in finding.losses],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "prompt": change.prompt.name,
        "text": change.prompt.text,
        "base": change.base,
        "candidate": change.candidate,
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
