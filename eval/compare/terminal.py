"""Writes a comparison for the terminal, as plain text."""

from eval.compare.comparison import Comparison
from eval.compare.escape import visible
from eval.compare.verdict import title
from eval.compare.words import HEAD, cells, facts, named, notes, prompt_text, said, summary, worse


def terminal(comparison: Comparison) -> str:
    """The table, what was lost, notes and the outcome."""
    power = comparison.test.power
    rows = [[*HEAD, "verdict"]]
    rows += [[*cells(each), said(each, power)] for each in comparison.findings]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  ".join(
            cell.ljust(width) if place in (0, len(row) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines = [
        f"base       {visible(named(comparison.base))}",
        f"candidate  {visible(named(comparison.candidate))}",
        facts(comparison),
        "",
        table[0],
        "-" * max(map(len, table)),
        *table[1:],
        "",
    ]
    for finding in worse(comparison):
        lines.append(f"{title(finding.metric)}, largest losses:")
        lines += [
            f"  {each.base:.4f} -> {each.candidate:.4f}  {visible(prompt_text(each.prompt))}"
            for each in finding.losses
        ]
    lines += [f"- {visible(note)}" for note in (*notes(comparison), *comparison.paired.notes)]
    return "\n".join([*lines, summary(comparison)]) + "\n"
