"""Writes a comparison as Markdown, for the comment on a pull request."""

from collections.abc import Sequence
from typing import Final

from eval.compare.comparison import Comparison
from eval.compare.escape import markdown
from eval.compare.verdict import Verdict, title
from eval.compare.words import HEAD, cells, facts, named, notes, prompt_text, said, worse

SIGNS: Final = {
    Verdict.WORSE: "🔴",
    Verdict.BETTER: "🟢",
    Verdict.EQUIVALENT: "⚪",
    Verdict.UNDECIDED: "🟡",
}


def pull_request(comparison: Comparison) -> str:
    """The table, what was lost to unfold, and notes."""
    power = comparison.test.power

    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [
        f"### Regression gate: {'passed' if comparison.passed else 'failed'}",
        "",
        (
            f"{markdown(named(comparison.candidate))} against {markdown(named(comparison.base))}: "
            f"{markdown(facts(comparison))}."
        ),
        "",
        row([*HEAD, "verdict"]),
        "|---|" + "---:|" * (len(HEAD) - 1) + "---|",
        *(
            row([*cells(each), f"{SIGNS[each.verdict]} {said(each, power)}"])
            for each in comparison.findings
        ),
        "",
    ]
    for finding in worse(comparison):
        lines += [
            f"<details><summary>{title(finding.metric)}: largest losses</summary>",
            "",
            row(["prompt", "base", "candidate"]),
            "|---|---:|---:|",
            *(
                row(
                    [
                        markdown(prompt_text(each.prompt)),
                        f"{each.base:.4f}",
                        f"{each.candidate:.4f}",
                    ]
                )
                for each in finding.losses
            ),
            "",
            "</details>",
            "",
        ]
    lines += [f"- {note}" for note in notes(comparison)]
    lines += [f"- {markdown(note)}" for note in comparison.paired.notes]
    return "\n".join(lines) + "\n"
