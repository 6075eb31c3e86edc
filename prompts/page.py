"""A set's card as a page of Markdown."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from mora.records import Prompt
from prompts.card import Card, Lengths, Overlap
from prompts.duplicates import Likeness

SHOWN: Final = 3
"""Prompts that the page shows."""
MOST_PAIRS: Final = 20
"""Pairs of near-duplicates that the page shows."""
LONGEST: Final = 400
"""Characters of a prompt that the page shows."""

_MARKS: Final = re.compile(r"([\\`*_\[\]<>|#~&])")


def markdown(card: Card, picture: str | None = None) -> str:
    """Writes the page.

    Args:
        card: What to tell.
        picture: Address of the card's plot, relative to the page.
    """
    lines = [f"# {plain(card.name)}", "", _about(card.prompts), ""]
    if picture is not None:
        lines += [f"![Lengths of the prompts, and shares by tag]({picture})", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| {what} | {told} |" for what, told in _figures(card)]
    lines += _pairs("Near-duplicates", card.duplicates)
    for overlap in card.overlaps:
        lines += _pairs(f"Also in {plain(overlap.name)}", overlap.pairs)
    lines += _tags(card)
    lines += ["", "## The first prompts"]
    lines += [f"- {plain(prompt.text, LONGEST)}" for prompt in card.prompts[:SHOWN]]
    return "\n".join([*lines, ""])


def plain(text: str, longest: int | None = None) -> str:
    """Returns a text in one line and without meaning for Markdown, cut to `longest` characters."""
    line = " ".join(text.split())
    if longest is not None and len(line) > longest:
        line = f"{line[:longest]}…"
    return _MARKS.sub(r"\\\1", line)


def _about(prompts: Sequence[Prompt]) -> str:
    """Who wrote how many prompts for what, in which languages and under which licence."""
    told = [
        f"{len(prompts)} prompts for {_and(p.task.value.replace('_', ' ') for p in prompts)}",
        f"in {_and(p.language for p in prompts)}",
        f"licence {_and(p.licence for p in prompts)}",
        f"source: {_and(_source(p) for p in prompts)}",
    ]
    return f"{'; '.join(told)}."


def _source(prompt: Prompt) -> str:
    source = prompt.source
    parts = [source.mode.replace("_", "-"), source.model and f"by {source.model}", source.date]
    return plain(" ".join(part for part in parts if part))


def _and(values: Iterable[str]) -> str:
    """Different values in one line, the most frequent first."""
    return ", ".join(value for value, _ in Counter(values).most_common())


def _figures(card: Card) -> Iterator[tuple[str, str]]:
    for lengths in card.lengths:
        yield f"{lengths.unit} in a prompt", _told_lengths(lengths)
    yield "vocabulary", f"{card.vocabulary:,} words, {card.once:,} of them once"
    yield "distinct-1, -2, -3", ", ".join(_number(value) for value in card.distinct)
    yield "self-BLEU", _number(card.self_bleu)
    if card.spread is None:
        yield "spread of meanings", "not measured: no sentence encoder was asked"
    else:
        yield "spread of meanings", f"{card.spread:.3f} ({card.encoder})"
    yield "near-duplicates", _told_pairs(card.duplicates)
    for overlap in card.overlaps:
        yield f"also in {plain(overlap.name)}", _told_overlap(overlap, len(card.prompts))


def _told_lengths(lengths: Lengths) -> str:
    told = (
        f"{min(lengths.counts)} to {max(lengths.counts)}, median {lengths.median:g}, "
        f"mean {lengths.mean:.1f}"
    )
    if lengths.limit is None:
        return told
    return f"{told}; {lengths.beyond} prompts beyond the {lengths.limit} that are read"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _told_pairs(pairs: Sequence[Likeness]) -> str:
    return f"{len(pairs)} pairs, nearest {pairs[0].value:.2f}" if pairs else "none"


def _told_overlap(overlap: Overlap, count: int) -> str:
    same = {pair.second for pair in overlap.pairs if pair.value == 1}
    near = {pair.second for pair in overlap.pairs} - same
    return (
        f"{len(same)} of {count} word for word, {len(near)} nearly, "
        f"compared with {overlap.count:,} prompts"
    )


def _pairs(title: str, pairs: Sequence[Likeness]) -> list[str]:
    if not pairs:
        return []
    lines = ["", f"## {title}", "| likeness | one | other |", "|---:|---|---|"]
    lines += [
        f"| {pair.value:.2f} | {plain(pair.first, 80)} | {plain(pair.second, 80)} |"
        for pair in pairs[:MOST_PAIRS]
    ]
    left = len(pairs) - MOST_PAIRS
    return [*lines, "", f"and {left} more."] if left > 0 else lines


def _tags(card: Card) -> list[str]:
    if not card.shares:
        return []
    lines = ["", "## Tags", "| tag | prompts with each value |", "|---|---|"]
    return lines + [
        f"| {plain(tag)} | {', '.join(f'{plain(value)} {n}' for value, n in shares.items())} |"
        for tag, shares in card.shares.items()
    ]
