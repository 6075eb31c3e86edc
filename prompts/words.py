"""Cuts a prompt into words for comparing and counting: its wording, less case and punctuation."""

import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import Final

APOSTROPHES: Final = str.maketrans({"\u2019": "'", "\u02bc": "'"})

UNSPACED: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # hiragana, katakana
    (0x3400, 0x9FFF),  # Chinese characters
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
"""Ranges of the scripts that put no spaces between words: each sign stands for a word."""


def words(text: str) -> list[str]:
    """Returns the words of a text in their order, in lower case and without punctuation.

    Forms of a character that mean the same are one (NFKC), and so are straight and curly
    apostrophes. A sign of Chinese, Japanese, Thai, Lao, Khmer or Burmese counts as a word, and so
    does an emoji.
    """
    return list(_words(unicodedata.normalize("NFKC", text).casefold().translate(APOSTROPHES)))


def _words(text: str) -> Iterator[str]:
    for kind, run in groupby(text, key=_kind):
        if kind == "alone":
            yield from run
        elif kind == "joined" and (word := "".join(run).strip("'")):
            yield word


def _kind(sign: str) -> str:
    """What a character is to a word: a part of it, a word alone, or what stands between words."""
    category = unicodedata.category(sign)
    if category == "So" or (category[0] == "L" and _is_unspaced(sign)):
        return "alone"
    return "joined" if category[0] in "LNM" or sign == "'" else "between"


def _is_unspaced(sign: str) -> bool:
    return any(first <= ord(sign) <= last for first, last in UNSPACED)
