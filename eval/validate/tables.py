"""The findings as text: a table of all, a profile of each metric, and every number as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from eval.validate.damages import DAMAGES
from eval.validate.expectations import Direction
from eval.validate.findings import HELD, Clean, Finding, Found, Level, Results

ARROWS: Final[dict[Found, str]] = {
    "falls": "↓",
    "rises": "↑",
    "unmoved": "=",
    "unclear": "~",
    "nothing": "–",
}

LEGEND: Final = (
    "An arrow says how the score goes as the damage grows: ↓ worse, ↑ better, = not at all, ~ no "
    "sure trend. The number is the AUC at the greatest strength: the probability that a clean clip "
    "scores better than another one that is damaged. ✓ as expected; **bold** not as expected, with "
    "what was."
)


def markdown(results: Results) -> str:
    """The whole report in Markdown."""
    parts = [heading(results), matrix(results), LEGEND, *map(str, results.notes)]
    for clean in results.clean:
        parts.append(f"### {clean.title}\n\n{on_clean(clean)}")
        parts.append(
            "\n".join(f"- {name}: {said}" for name, said in profile(results, clean.metric))
        )
    if results.failures:
        lines = (f"- {told} ({count} clips)" for told, count in results.failures.items())
        parts.append("### What has no score\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def heading(results: Results) -> str:
    """What was examined, and how, in a sentence or two."""
    shown, moves = counts(results, "falls", "rises")
    held, blind = counts(results, "blind")
    return (
        f"{len(results.clips)} clips ({results.source}), {len(results.damages)} damages, protocol "
        f"{results.protocol}, {results.weights} weights. Of {moves} trends that were expected "
        f"{shown} were shown; of {blind} scores that were expected to stay {held} did."
    )


def counts(results: Results, *directions: Direction) -> tuple[int, int]:
    """Expectations of a kind that held, and all of them that there was an answer to.

    To stay is easily expected of a metric that sees nothing, so kinds are counted apart.
    """
    told = [
        HELD[each.verdict]
        for each in results.findings
        if each.verdict in HELD and each.expected.direction in directions
    ]
    return sum(told), len(told)


def matrix(results: Results) -> str:
    """One table: a row a damage, a column a metric."""
    header = ["damage", *(clean.title for clean in results.clean)]
    lines = [
        [
            DAMAGES[damage].title,
            *(cell(results.finding(clean.metric, damage)) for clean in results.clean),
        ]
        for damage in results.damages
    ]
    widths = [max(map(len, texts)) for texts in zip(header, *lines, strict=True)]

    def row(texts: Sequence[str]) -> str:
        padded = (text.ljust(width) for text, width in zip(texts, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([row(header), rule, *map(row, lines)])


def cell(finding: Finding | None) -> str:
    """A finding in a few signs, see `LEGEND`; nothing where there is none."""
    if finding is None:
        return ""
    auc = finding.severest.auc
    shown = ARROWS[finding.found] + ("" if auc is None else f" {auc:.2f}")
    held = HELD.get(finding.verdict)
    if held is None:
        return shown
    return f"{shown} ✓" if held else f"**{shown}** ({finding.expected.direction})"


def on_clean(clean: Clean) -> str:
    """A metric's scores of the undamaged clips."""
    if clean.mean is None:
        return "No clean clip has a score."
    spread = "" if clean.deviation is None else f" ± {clean.deviation:.4f} between clips"
    return f"Clean clips score {clean.mean:.4f}{spread}."


def profile(results: Results, metric: str) -> list[tuple[str, str]]:
    """What a metric sees, rewards and does not see, in words, and where it was otherwise expected.

    Returns:
        Pairs of what and which damages.
    """
    findings = [each for each in results.findings if each.metric == metric]
    lines = [
        ("sees", _all(map(_seen, _found(findings, "falls")))),
        ("rewards", _all(map(_seen, _found(findings, "rises")))),
        ("shows no sure trend for", _all(map(_title, _found(findings, "unclear")))),
        ("is not moved by", _all(map(_title, _found(findings, "unmoved")))),
        (
            "was expected otherwise",
            _all(_miss(each) for each in findings if HELD.get(each.verdict) is False),
        ),
    ]
    return [(name, said) for name, said in lines if said]


def to_csv(results: Results) -> str:
    """Every number: a row a metric, damage and strength, ending in a line break."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for finding in results.findings:
        for level in finding.levels:
            writer.writerow(_row(finding, level))
    return out.getvalue()


_COLUMNS: Final = (
    "metric",
    "damage",
    "strength",
    "unit",
    "clips",
    "failed",
    "mean",
    "change",
    "change_low",
    "change_high",
    "worse",
    "auc",
    "auc_low",
    "auc_high",
    "trend",
    "trend_low",
    "trend_high",
    "steps_falling",
    "steps_rising",
    "expected",
    "tolerance",
    "found",
    "verdict",
)


def _row(finding: Finding, level: Level) -> Iterable[str]:
    nowhere = (None, None)
    numbers = (
        level.mean,
        level.change,
        *(level.change_interval or nowhere),
        level.worse,
        level.auc,
        *(level.auc_interval or nowhere),
        finding.trend,
        *(finding.trend_interval or nowhere),
        finding.falling,
        finding.rising,
    )
    tolerance = finding.expected.tolerance
    return (
        finding.metric,
        finding.damage,
        f"{level.strength:g}",
        DAMAGES[finding.damage].unit,
        str(level.clips),
        str(level.failed),
        *("" if number is None else f"{number:.6g}" for number in numbers),
        finding.expected.direction,
        "" if tolerance is None else f"{tolerance:g}",
        finding.found,
        finding.verdict,
    )


def _found(findings: Iterable[Finding], found: Found) -> list[Finding]:
    """Findings of a kind, those that tell clean from damaged best first."""
    chosen = [each for each in findings if each.found == found]
    return sorted(chosen, key=lambda each: -abs((each.severest.auc or 0.5) - 0.5))


def _all(texts: Iterable[str]) -> str:
    return ", ".join(texts)


def _title(finding: Finding) -> str:
    title = DAMAGES[finding.damage].title
    return title if title[1:2].isupper() or title[1:2] == "." else title[0].lower() + title[1:]


def _seen(finding: Finding) -> str:
    auc = finding.severest.auc
    told = "" if auc is None else f"AUC {auc:.2f}"
    since = finding.seen_from
    if since is None:
        return f"{_title(finding)} ({told}, surely only within a clip)"
    if len(finding.levels) > 1:
        told += f", from {since:g}"
    return f"{_title(finding)} ({told})"


def _miss(finding: Finding) -> str:
    if finding.verdict == "moves":
        moved = max(abs(level.change or 0.0) for level in finding.levels)
        return (
            f"{_title(finding)} (moves by {moved:.3g}; "
            f"expected at most {finding.expected.tolerance:g})"
        )
    wanted = finding.expected.direction
    return f"{_title(finding)} (trend {finding.trend:+.2f}; expected that it {wanted})"
