"""Writes a comparison in any of its formats."""

from collections.abc import Mapping
from typing import Final, Literal

from eval.compare.comparison import Comparison
from eval.compare.document import document
from eval.compare.junit import junit
from eval.compare.markdown import pull_request
from eval.compare.terminal import terminal

Format = Literal["terminal", "markdown", "json", "junit"]

SUFFIXES: Final[Mapping[Format, str]] = {
    "terminal": ".txt",
    "markdown": ".md",
    "json": ".json",
    "junit": ".xml",
}


def render(comparison: Comparison, form: Format) -> str:
    """Writes a comparison as text, ending in a line break."""
    return {"terminal": terminal, "markdown": pull_request, "json": document, "junit": junit}[form](
        comparison
    )
