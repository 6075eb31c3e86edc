"""The vocabulary of the miniature text encoders: CLIP's byte-level BPE, learnt from captions.

CLIP's 49,408 entries would outweigh the miniature models, so they have one of their own. Its ids
follow CLIP's order, which open_clip takes for granted: the 256 bytes, the 256 bytes at a word's
end, one entry for each merge, start of text, end of text. The end of text has thus the largest id,
and encoders that pool at the largest id find it.

`python -m lab.world.vocabulary` learns it anew and writes the files that both libraries read.
"""

import gzip
import json
import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from transformers import CLIPTokenizer

from lab.world.caption import caption
from lab.world.scene import sample_scenes
from mora.checkpoints import mini_weights

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer

FOLDER: Final = mini_weights() / "vocabulary"
START: Final = "<|startoftext|>"
END: Final = "<|endoftext|>"
CONTEXT: Final = 77
"""Tokens of a text, start and end included, as in CLIP."""

_ENTRIES: Final = 1000
_CAPTIONS: Final = 20_000
_SEED: Final = 7


@cache
def clip_tokenizer() -> CLIPTokenizer:
    """The tokenizer of transformers, which the diffusion pipelines use; pads with end of text."""
    vocabulary = json.loads((FOLDER / "vocab.json").read_text("utf-8"))
    lines = (FOLDER / "merges.txt").read_text("utf-8").splitlines()[1:]
    merges = [tuple(line.split()) for line in lines]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT)


@cache
def open_clip_tokenizer(context_length: int = CONTEXT) -> "SimpleTokenizer":
    """The tokenizer of open_clip, which pads with zeros. Its ids are those of `clip_tokenizer`.

    Both libraries clean a text first, each in its own way; here both clean as transformers does.
    They still differ on texts that spell out a start or an end of text, which the two write
    differently, on the four ASCII separators (U+001C to U+001F), which only one takes for white
    space, and on signs that one library's Unicode tables do not know yet.
    """
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer(str(FOLDER / "bpe.txt.gz"), context_length=context_length)
    tokenizer.clean_fn = _clean
    return tokenizer


def _clean(text: str) -> str:
    return "".join(letter.lower() for letter in unicodedata.normalize("NFC", text))


def learn() -> list[tuple[str, str]]:
    """Learns the merges from captions of sampled scenes; the same at every call."""
    from open_clip.tokenizer import bytes_to_unicode
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    rng = np.random.default_rng(_SEED)
    captions = [caption(scene, rng) for scene in sample_scenes(_CAPTIONS, _SEED)]
    symbols = bytes_to_unicode().values()
    trainer = trainers.BpeTrainer(
        vocab_size=_ENTRIES - 2,
        initial_alphabet=list(symbols),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(captions, trainer)
    merges = [tuple(merge) for merge in json.loads(learner.to_str())["model"]["merges"]]
    return merges[: _ENTRIES - 2 - 2 * len(symbols)]


def write(merges: list[tuple[str, str]], folder: Path) -> None:
    """Writes `vocab.json` and `merges.txt` for transformers, `bpe.txt.gz` for open_clip."""
    from open_clip.tokenizer import bytes_to_unicode

    symbols = list(bytes_to_unicode().values())
    entries = [*symbols, *(symbol + "</w>" for symbol in symbols)]
    entries += ["".join(merge) for merge in merges]
    entries += [START, END]
    ids = {entry: index for index, entry in enumerate(entries)}
    lines = "\n".join(["#version: 0.2", *(" ".join(merge) for merge in merges)])
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(ids, ensure_ascii=False, indent=0) + "\n"
    (folder / "vocab.json").write_text(text, "utf-8")
    (folder / "merges.txt").write_text(lines + "\n", "utf-8")
    # No final line break, which open_clip would read as an empty merge; no time stamp either.
    (folder / "bpe.txt.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))


def main() -> None:
    """Learns the vocabulary and writes it beside the weights."""
    merges = learn()
    write(merges, FOLDER)
    print(f"{FOLDER}: {len(merges)} merges, {len(merges) + 514} entries")


if __name__ == "__main__":
    main()
