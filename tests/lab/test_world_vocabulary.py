import gzip
from pathlib import Path

import numpy as np
import pytest

from lab.world.caption import caption
from lab.world.scene import sample_scenes
from lab.world.vocabulary import FOLDER, clip_tokenizer, learn, open_clip_tokenizer, write

TEXTS = [
    "",
    "A large red circle moves slowly to the left on a grey background.",
    "it's WE'LL don't, “quoted” — and … 12 345 times\n\ttab",
    "Café Zürich, naïve Ærøskøbing; ŁÓDŹ İstanbul ΣΊΣΥΦΟΣ",
    "e\u0301 becomes é, 你好，世界, привет, 🎈🎈",
    "&amp; stays as it is; <b>so does this</b>  \u00a0 \u3000 wide spaces",
]


def captions(count: int) -> list[str]:
    rng = np.random.default_rng(3)
    return [caption(scene, rng) for scene in sample_scenes(count, 77)]


@pytest.mark.parametrize("text", [*TEXTS, *captions(60)])
def test_both_libraries_give_the_same_ids(text: str) -> None:
    first, second = clip_tokenizer(), open_clip_tokenizer()
    ids = [second.sot_token_id, *second.encode(text), second.eot_token_id]
    assert first(text).input_ids == ids
    if len(ids) <= 77:
        padded = second(text)[0].tolist()
        assert padded == ids + [0] * (77 - len(ids))


def test_the_end_of_text_is_the_largest_id_and_the_padding() -> None:
    first, second = clip_tokenizer(), open_clip_tokenizer()
    assert len(first) == second.vocab_size
    assert first.eos_token_id == first.pad_token_id == second.eot_token_id == len(first) - 1
    assert first.bos_token_id == second.sot_token_id == len(first) - 2
    ids = first("a red star", padding="max_length", max_length=77).input_ids
    assert len(ids) == 77
    assert ids.index(max(ids)) == 4


def test_a_text_survives_in_lower_case() -> None:
    tokenizer = clip_tokenizer()
    text = "a hand - drawn picture of a café in sketch style ."
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_captions_fit_and_their_words_are_whole() -> None:
    tokenizer = clip_tokenizer()
    texts = captions(300)
    lengths = [len(ids) for ids in tokenizer(texts).input_ids]
    assert max(lengths) <= 60
    words = sum(len(text.replace("-", " - ").replace(",", " ,").split()) + 1 for text in texts)
    assert sum(lengths) - 2 * len(texts) <= 1.01 * words


def test_learning_it_again_gives_the_stored_files(tmp_path: Path) -> None:
    write(learn(), tmp_path)
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name
    merges = "bpe.txt.gz"
    assert gzip.decompress((tmp_path / merges).read_bytes()) == gzip.decompress(
        (FOLDER / merges).read_bytes()
    )
