"""A comparison of two models: what was compared, the findings, and whether the gate is passed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eval.compare.pairs import Paired, Side
from eval.compare.verdict import Finding, Test, Verdict


@dataclass(frozen=True)
class Contender:
    """One of the two.

    Attributes:
        run: Folder of its run.
        model: Its name there.
        videos: Its videos of the compared prompts, failures included.
    """

    run: Path
    model: str
    videos: int


@dataclass(frozen=True)
class Comparison:
    """The outcome of the gate.

    Attributes:
        base: What was compared with.
        candidate: What was judged.
        paired: What was compared.
        findings: The verdict on each metric.
        test: How sure it was asked to be.
        undecided: Whether what may be worse and is undecided passes or fails.
    """

    base: Contender
    candidate: Contender
    paired: Paired
    findings: tuple[Finding, ...]
    test: Test
    undecided: Literal["pass", "fail"]

    @property
    def verdict(self) -> Verdict:
        """The whole: worse or undecided if any metric is, better if one is and none else."""
        verdicts = {finding.verdict for finding in self.findings}
        for each in (Verdict.WORSE, Verdict.UNDECIDED, Verdict.BETTER):
            if each in verdicts:
                return each
        return Verdict.EQUIVALENT

    @property
    def passed(self) -> bool:
        """Whether the gate lets the candidate through."""
        return not any(map(self.fails, self.findings))

    def fails(self, finding: Finding) -> bool:
        """Whether a finding keeps the candidate from passing."""
        if finding.verdict is Verdict.UNDECIDED:
            return self.undecided == "fail" and finding.may_be_worse
        return finding.verdict is Verdict.WORSE


def contender(side: Side, videos: int) -> Contender:
    """Names a side of a comparison."""
    return Contender(side.ledger.run, side.model, videos)
