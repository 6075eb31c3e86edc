"""A set's card: its numbers against independent ones, and pages that survive any prompt."""

import math
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest

from mora.records import Prompt
from prompts.card import Encoders, measure
from prompts.diversity import distinct, self_bleu, spread
from prompts.load import load, locate
from prompts.page import markdown, plain
from prompts.plot import bins, svg


def _bleu(hypothesis, references):
    """BLEU-4 of lists of words, written down from its definition."""
    total = 0.0
    for order in range(1, 5):

        def grams(words, order=order):
            return Counter(zip(*(words[i:] for i in range(order)), strict=False))

        own = grams(hypothesis)
        clipped = {g: min(n, max(grams(r)[g] for r in references)) for g, n in own.items()}
        matched = sum(clipped.values())
        if order == 1 and matched == 0:
            return 0.0
        total += math.log((matched or 0.1) / max(1, sum(own.values()))) / 4
    nearest = min((abs(len(r) - len(hypothesis)), len(r)) for r in references)[1]
    return math.exp(total) * min(1.0, math.exp(1 - nearest / len(hypothesis)))


def test_self_bleu_is_the_mean_of_each_text_against_all_others():
    texts = [
        "the cat sat on the mat and the cat slept",
        "the cat sat on the hat",
        "a dog sat on the mat, and the dog slept and slept",
        "rain",
        "the the the the",
    ]
    words = [text.replace(",", "").split() for text in texts]
    expected = [_bleu(w, words[:i] + words[i + 1 :]) for i, w in enumerate(words)]
    assert self_bleu(texts) == pytest.approx(sum(expected) / len(expected))
    assert expected[3] == 0


def test_self_bleu_of_the_same_of_others_and_of_one():
    same = ["a red fox runs over the snow"] * 3
    assert self_bleu(same) == pytest.approx(1)
    assert self_bleu(["a red fox", "zwei blaue Hunde"]) == 0
    assert self_bleu(["a red fox"]) is None
    assert self_bleu(["a red fox", "…"]) is None


def test_distinct_counts_over_all_texts():
    texts = ["a b a", "a b c", "d"]
    assert distinct(texts, 1) == pytest.approx(4 / 7)
    assert distinct(texts, 2) == pytest.approx(3 / 4)
    assert distinct(texts, 4) is None


def test_spread_is_the_mean_distance_of_all_pairs():
    rows = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = [1 - rows[i] @ rows[j] for i in range(7) for j in range(i)]
    assert spread(rows) == pytest.approx(np.mean(pairs), abs=1e-6)


def test_a_worse_set_has_a_worse_card():
    prompts = load(locate("text_to_video_zero_shot"))
    copied = [p.model_copy(update={"text": prompts[i % 20].text}) for i, p in enumerate(prompts)]
    good, bad = measure("good", prompts), measure("bad", copied)
    assert good.duplicates == ()
    assert len(bad.duplicates) == 20 * (5 * 4 // 2)
    assert good.self_bleu < 0.2 < 0.9 < bad.self_bleu
    assert good.vocabulary > 2 * bad.vocabulary
    assert all(g > b for g, b in zip(good.distinct, bad.distinct, strict=True))


def test_encoders_are_asked_where_there_are_any():
    def embed(texts):
        return np.eye(len(texts), dtype=np.float32)

    prompts = load(locate("quick"))
    card = measure("quick", prompts, Encoders(embed, "ones", {("letters", 100): len}))
    assert (card.spread, card.encoder) == (1.0, "ones")
    words, letters = card.lengths
    assert (words.unit, words.limit, words.beyond) == ("words", None, 0)
    assert letters.beyond == sum(len(prompt.text) > 100 for prompt in prompts) > 0
    page = markdown(card)
    assert "| spread of meanings | 1.000 (ones) |" in page
    assert f"{letters.beyond} prompts beyond the 100 that are read" in page
    assert "not measured" in markdown(measure("quick", prompts))


def test_overlap_tells_what_is_the_same_and_what_is_near():
    prompts = load(locate("quick"))
    near = prompts[1].text.replace("Two bakers", "Three bakers")
    others = {"others": [prompts[0].text.upper(), near, near, "A cat."]}
    card = measure("quick", prompts, others=others)
    (overlap,) = card.overlaps
    assert overlap.count == 3
    assert [pair.second for pair in overlap.pairs] == [prompts[0].id, prompts[1].id]
    assert "1 of 12 word for word, 1 nearly, compared with 3 prompts" in markdown(card)


def test_a_card_of_hostile_prompts_is_a_page_and_a_picture():
    prompts = [
        Prompt(
            id="a|b", text="# head\n| a | b |\n<script>alert(1)</script> [x](y) 🦊", tags={"<b>": 1}
        ),
        Prompt(id="b", text="两只猫 " + "word " * 5000, tags={"<b>": ["&\0", "|"]}, language="zh"),
        Prompt(id="c", text="…"),
    ]
    card = measure("x & <y>", prompts)
    page, picture = markdown(card, "x.svg"), svg(card)
    assert "<script>" not in page
    assert len(max(page.splitlines(), key=len)) < 1000
    table = [line for line in page.splitlines() if line.startswith("| \\<b")]
    assert table == ["| \\<b\\> | 1 1, \\&\0 1, \\| 1 |"]
    root = ET.fromstring(picture)  # noqa: S314, we have just drawn it
    assert root.find("{*}title").text.startswith("x & <y>: ")
    assert "& " in [text.text for text in root.findall("{*}text")]


def test_bins_hold_every_number_once():
    numbers = [3, 3, 4, 9, 20, 41]
    found = bins(numbers)
    assert found[0] == ("3–7", 3)
    assert sum(count for _, count in found) == len(numbers)
    assert len(found) == 8
    assert bins([5, 5]) == (("5", 2),)


def test_plain_text_means_nothing_to_markdown():
    assert plain("a\n*b*  `c`") == r"a \*b\* \`c\`"
    assert plain("abcdef", 3) == "abc…"
