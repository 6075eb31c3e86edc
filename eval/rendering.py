"""Writes a table as text: Markdown, CSV, LaTeX. The report takes its cells from here, too."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from eval.tables import DASH, Cell, Table, set_label

Format = Literal["markdown", "csv", "latex"]

MARK: Final = "†"
"""Behind a number that not all videos of its row are in."""


def render(table: Table, form: Format) -> str:
    """Writes a table as text, ending in a line break.

    Args:
        table: The table.
        form: `markdown`; `csv`, one row a model with counts of failures in columns of their own;
            or `latex`, for the package booktabs.
    """
    return {"markdown": _markdown, "csv": _csv, "latex": _latex}[form](table)


def row_texts(table: Table) -> list[list[str]]:
    """The measured rows as texts: label, number of videos, then the columns."""
    spec = table.spec
    several = len({row.weights for row in table.rows}) > 1
    return [
        [
            row.label + (set_label(row.weights) if several else ""),
            str(row.videos),
            *(_text(row.cells[column.name], spec.decimals_of(column)) for column in spec.columns),
        ]
        for row in table.rows
    ]


def footnotes(table: Table) -> list[str]:
    """What stands below the table, and what its mark means if it is in it."""
    marked = any(text.endswith(MARK) for line in row_texts(table) for text in line)
    meaning = [f"{MARK} Not of all videos."] if marked else []
    return [*meaning, *table.notes]


def _text(cell: Cell, decimals: int) -> str:
    if cell.value is None:
        return f"{DASH} ({len(cell.failures)})" if cell.failures else DASH
    mark = MARK if cell.failures or cell.waiting else ""
    return f"{cell.value:z.{decimals}f}{mark}"  # z: what rounds to zero has no sign


def _markdown(table: Table) -> str:
    spec = table.spec
    header = ["model", "videos", *(column.title for column in spec.columns)]
    blank = [""] * (len(header) - 1)
    lines = [[f"**{table.heading}**", *blank], *row_texts(table)]
    if table.published:
        lines.append([f"**published ({spec.citation})**", *blank])
        lines += [[row[0], "", *row[1:]] for row in table.published]
    lines = [[text.replace("|", "\\|") for text in line] for line in lines]
    widths = [max(map(len, texts)) for texts in zip(header, *lines, strict=True)]

    def row(texts: Sequence[str]) -> str:
        first, *rest = zip(texts, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)]
        return f"| {' | '.join(cells)} |"

    rule = f"|{'-' * (widths[0] + 2)}|{'|'.join('-' * (w + 1) + ':' for w in widths[1:])}|"
    text = "\n".join([table.caption, "", row(header), rule, *map(row, lines)]) + "\n"
    notes = "".join(f"- {note}\n" for note in footnotes(table))
    return text + (f"\n{notes}" if notes else "")


def _csv(table: Table) -> str:
    spec = table.spec
    names = [column.name for column in spec.columns]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["source", "weights", "model", "videos", *names, *(f"{name}_failed" for name in names)]
    )
    for row, line in zip(table.rows, row_texts(table), strict=True):
        cells = [row.cells[name] for name in names]
        texts = [
            "" if cell.value is None else text.removesuffix(MARK)
            for cell, text in zip(cells, line[2:], strict=True)
        ]
        failed = [len(cell.failures) for cell in cells]
        writer.writerow(["measured", "+".join(row.weights), row.label, row.videos, *texts, *failed])
    for label, *texts in table.published:
        values = ["" if text == DASH else text for text in texts]
        writer.writerow(
            [f"published ({spec.citation})", "", label, "", *values, *([""] * len(names))]
        )
    return out.getvalue()


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    DASH: "--",
    MARK: r"\textsuperscript{\dag}",
}


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _latex(table: Table) -> str:
    spec = table.spec
    count = len(spec.columns) + 2

    def row(texts: Iterable[str]) -> str:
        return " & ".join(map(_escaped, texts)) + r" \\"

    def heading(text: str) -> str:
        return rf"\multicolumn{{{count}}}{{l}}{{\emph{{{_escaped(text)}}}}} \\"

    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escaped(table.caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (count - 1)}}}",
        r"\toprule",
        row(["Model", "Videos", *(column.title for column in spec.columns)]),
        r"\midrule",
        heading(table.heading),
        *map(row, row_texts(table)),
    ]
    if table.published:
        lines += [r"\midrule", heading(f"published ({spec.citation})")]
        lines += [row([label, "", *texts]) for label, *texts in table.published]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\\[2pt] {{\footnotesize {_escaped(note)}}}" for note in footnotes(table)]
    return "\n".join([*lines, r"\end{table}"]) + "\n"
