"""The findings as a picture: a small curve for each damage and metric, in plain SVG.

A curve shows the AUC over the strengths, with its interval: at the middle line clean and damaged
clips cannot be told apart, at the top every damaged clip scores worse than every clean one, at the
bottom better.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

from eval.validate.damages import DAMAGES
from eval.validate.findings import HELD, Finding, Results

LEFT: Final = 178
TOP: Final = 66
WIDTH: Final = 98
HEIGHT: Final = 38
GAP: Final = 4
GROUP: Final = 12
"""Extra room above each group of damages."""
INSET: Final = 5
FOOT: Final = 74
NARROWEST: Final = 880
"""Width that the explanation needs."""
FONT: Final = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"

INK: Final = "#20242a"
SOFT: Final = "#6b7280"
RULE: Final = "#c3c8d0"
LINES: Final = {True: "#1d5fa8", False: "#b4470f", None: "#4b5563"}
"""Colours of curves: as expected, otherwise, nothing expected. They differ for the colour-blind,
and in the shade of the panels."""
PANELS: Final = {True: "#e6eff9", False: "#fde2cd", None: "#f4f5f6"}


def svg(results: Results) -> str:
    """Draws the picture.

    Returns:
        An SVG document, which needs nothing else to be shown.
    """
    rows, bottom = _places(results.damages)
    width = max(NARROWEST, LEFT + len(results.clean) * (WIDTH + GAP) + 12)
    height = bottom + FOOT
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
            f'width="{width}" height="{height}" font-family="{FONT}">'
        ),
        "<title>How well each metric tells damaged clips from clean ones</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for place, clean in enumerate(results.clean):
        first, _, second = clean.title.partition(" ")
        x = LEFT + place * (WIDTH + GAP) + WIDTH / 2
        parts += [_text(x, 30, first, bold=True), _text(x, 45, second, bold=True)]
    for damage, y in rows.items():
        about = DAMAGES[damage]
        if about.group != _group_before(results.damages, damage):
            parts.append(_text(12, y - 4, about.group.upper(), "start", SOFT, size=9))
        parts.append(_text(LEFT - 10, y + HEIGHT / 2 + 4, about.title, "end"))
        for place, clean in enumerate(results.clean):
            x = LEFT + place * (WIDTH + GAP)
            finding = results.finding(clean.metric, damage)
            parts += [] if finding is None else _panel(finding, x, y)
    parts += _foot(bottom + 22)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _places(damages: Sequence[str]) -> tuple[dict[str, int], int]:
    """Top of each row, and where they end."""
    rows: dict[str, int] = {}
    y = TOP
    for damage in damages:
        if DAMAGES[damage].group != _group_before(damages, damage):
            y += GROUP
        rows[damage] = y
        y += HEIGHT + GAP
    return rows, y


def _group_before(damages: Sequence[str], damage: str) -> str | None:
    place = damages.index(damage)
    return DAMAGES[damages[place - 1]].group if place else None


def _panel(finding: Finding, x: float, y: float) -> list[str]:
    """One curve on its panel; told in words as its tooltip."""
    held = HELD.get(finding.verdict)
    line = LINES[held]
    middle = _y(0.5, y)
    parts = [
        f"<g><title>{escape(_words(finding))}</title>",
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="3" fill="{PANELS[held]}"/>',
        f'<path d="M{x} {middle:.1f}h{WIDTH}" stroke="{RULE}" stroke-dasharray="2 2"/>',
    ]
    # With no damage nothing can be told apart, so every curve begins on the middle line.
    points = [(0.0, 0.5, 0.5, 0.5)]
    for place, level in enumerate(finding.levels, start=1):
        if level.auc is not None and level.auc_interval is not None:
            points.append((place / len(finding.levels), level.auc, *level.auc_interval))
    reach = WIDTH - 2 * INSET - 27  # the number stands to the right
    spots = [(x + INSET + share * reach, *rest) for share, *rest in points]
    if len(spots) > 1:
        above = [f"{at:.1f} {_y(high, y):.1f}" for at, _, _, high in spots]
        below = [f"{at:.1f} {_y(low, y):.1f}" for at, _, low, _ in reversed(spots)]
        curve = "L".join(f"{at:.1f} {_y(auc, y):.1f}" for at, auc, _, _ in spots)
        last, auc, _, _ = spots[-1]
        parts += [
            f'<path d="M{"L".join([*above, *below])}Z" fill="{line}" fill-opacity="0.16"/>',
            f'<path d="M{curve}" fill="none" stroke="{line}" stroke-width="1.6"/>',
            f'<circle cx="{last:.1f}" cy="{_y(auc, y):.1f}" r="2.2" fill="{line}"/>',
            _text(x + WIDTH - 4, y + HEIGHT / 2 + 3.5, f"{auc:.2f}", "end", line, size=10),
        ]
    return [*parts, "</g>"]


def _y(auc: float, top: float) -> float:
    return top + INSET + (1 - auc) * (HEIGHT - 2 * INSET)


def _words(finding: Finding) -> str:
    about = DAMAGES[finding.damage]
    trend = "no trend" if finding.trend is None else f"trend {finding.trend:+.2f}"
    levels = ", ".join(
        f"{level.strength:g}: " + ("no score" if level.auc is None else f"{level.auc:.2f}")
        for level in finding.levels
    )
    return (
        f"{finding.metric}, {about.title.lower()}: expected {finding.expected.direction}, found "
        f"{finding.found} ({trend}). AUC by strength ({about.unit}): {levels}."
    )


def _foot(y: float) -> list[str]:
    """How to read it."""
    parts = []
    x = float(LEFT)
    for held, told in ((True, "as expected"), (False, "not as expected"), (None, "not stated")):
        parts += [
            f'<rect x="{x}" y="{y - 10}" width="22" height="13" rx="3" fill="{PANELS[held]}"/>',
            f'<path d="M{x + 3} {y - 3.5}h16" stroke="{LINES[held]}" stroke-width="1.6"/>',
            _text(x + 28, y, told, "start"),
        ]
        x += 140
    told = (
        "Each curve: probability that a clean clip scores better than another, damaged one (AUC), "
        "from no damage to the severest, with its 95 % interval."
    )
    said = "Top of a panel: the damage is always seen. Middle line: never. Bottom: it is rewarded."
    return [
        *parts,
        _text(LEFT, y + 20, told, "start", SOFT, size=11),
        _text(LEFT, y + 36, said, "start", SOFT, size=11),
    ]


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str = "middle",
    colour: str = INK,
    *,
    size: int = 12,
    bold: bool = False,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" '
        f'font-size="{size}"{weight}>{escape(text)}</text>'
    )
