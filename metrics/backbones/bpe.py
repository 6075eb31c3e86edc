"""CLIP's tokenizer: texts to rows of byte-pair ids, of which CLIP and ViCLIP differ in the length.

Source: CLIP (arXiv:2103.00020), byte-level byte-pair encoding on lower-cased text; the merging is
open_clip's. On texts that spell the tokenizer's own markers out (`<end_of_text>`) it differs from
the published program, which spells its markers another way.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor


class Tokens(NamedTuple):
    """Texts as ids.

    Attributes:
        ids: int64 `(B, context)`: start marker, text, end marker (the largest id), zeros.
        cut: For each text, whether it was too long and lost its end.
    """

    ids: Tensor
    cut: tuple[bool, ...]


def tokenizer(merges: Path | None = None) -> SimpleTokenizer:
    """Makes a tokenizer.

    Args:
        merges: Gzipped list of merges, one a line after a heading; `None` takes the published
            one of 49,408 ids, which comes with open_clip.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if merges is None:
        return SimpleTokenizer()
    if not merges.is_file():
        raise FileNotFoundError(
            f"{merges}: expected the tokenizer's gzipped list of merges, found no file. It is "
            "shipped with the miniature weights; check out the folder lab/weights."
        )
    return SimpleTokenizer(str(merges))


def tokenize(using: SimpleTokenizer, texts: Sequence[str], context: int) -> Tokens:
    """Turns texts into rows of `context` ids; the last id of a text that is cut is the end marker.

    Args:
        using: Tokenizer.
        texts: Any texts; runs of white space count as one space, and case does not matter.
        context: Length of a row, at least 2 for the two markers.
    """
    ids = torch.zeros(len(texts), context, dtype=torch.int64)
    cut = []
    for row, text in zip(ids, texts, strict=True):
        content = using.encode(text)
        kept = content[: context - 2]
        filled = [using.sot_token_id, *kept, using.eot_token_id]
        row[: len(filled)] = torch.tensor(filled)
        cut.append(len(kept) < len(content))
    return Tokens(ids, tuple(cut))
