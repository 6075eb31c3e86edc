"""A set's card as a picture: bars for the lengths and for each tag, in plain SVG."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Final

from prompts.card import Card

COLUMNS: Final = 3
WIDTH: Final = 290
"""Of a column."""
LABEL: Final = 118
"""Room for a bar's label."""
BAR: Final = 118
"""The longest bar."""
STEP: Final = 17
"""From one bar to the next."""
MARGIN: Final = 14
TITLE: Final = 26
LONGEST: Final = 19
"""Characters of a label."""
BINS: Final = 8
"""Most bars of the lengths."""
FONT: Final = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
INK: Final = "#20242a"
SOFT: Final = "#6b7280"
FILL: Final = "#1d5fa8"

Bars = Sequence[tuple[str, int]]


def svg(card: Card) -> str:
    """Draws the picture.

    Returns:
        An SVG document, which needs nothing else to be shown.
    """
    panels = [("words in a prompt", bins(card.lengths[0].counts))]
    panels += [(tag.replace("_", " "), tuple(each.items())) for tag, each in card.shares.items()]
    parts: list[str] = []
    top = MARGIN
    for first in range(0, len(panels), COLUMNS):
        row = panels[first : first + COLUMNS]
        for column, (title, bars) in enumerate(row):
            parts += _panel(title, bars, MARGIN + column * WIDTH, top)
        top += TITLE + STEP * max(len(bars) for _, bars in row) + MARGIN
    width = COLUMNS * WIDTH + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" role="img" '
        f'width="{width}" height="{top}" font-family="{FONT}">'
    )
    title = f"<title>{escape(card.name)}: lengths and shares by tag</title>"
    ground = f'<rect width="{width}" height="{top}" fill="#ffffff"/>'
    return "\n".join([head, title, ground, *parts, "</svg>"]) + "\n"


def bins(counts: Sequence[int]) -> tuple[tuple[str, int], ...]:
    """Sorts numbers into at most `BINS` ranges of one width, from the least to the greatest."""
    least, greatest = min(counts), max(counts)
    width = -(-(greatest - least + 1) // BINS)
    found = Counter((count - least) // width for count in counts)
    starts = range(least, greatest + 1, width)
    return tuple(
        (str(start) if width == 1 else f"{start}–{start + width - 1}", found[place])
        for place, start in enumerate(starts)
    )


def _panel(title: str, bars: Bars, x: float, y: float) -> list[str]:
    most = max(count for _, count in bars)
    parts = [_text(x, y + 14, title, "start", bold=True)]
    for place, (label, count) in enumerate(bars):
        middle = y + TITLE + STEP * place + 6
        length = BAR * count / most
        shown = label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"
        parts += [
            _text(x + LABEL - 8, middle + 4, shown, "end"),
            (
                f'<rect x="{x + LABEL}" y="{middle - 5}" width="{length:.1f}" height="11" rx="2" '
                f'fill="{FILL}"/>'
            ),
            _text(x + LABEL + length + 6, middle + 4, str(count), "start", SOFT),
        ]
    return parts


def _text(
    x: float, y: float, text: str, anchor: str, colour: str = INK, *, bold: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    shown = "".join(sign if sign.isprintable() else " " for sign in text)  # XML allows no others
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="12"'
        f"{weight}>{escape(shown)}</text>"
    )
