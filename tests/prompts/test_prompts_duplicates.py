"""Near-duplicates: found where wordings overlap, all of them, and in any language."""

import random

import pytest

from mora.records import Prompt, TaskName
from prompts.duplicates import NEAR, Wordings, bigrams, likeness, near_duplicates
from prompts.load import load, locate
from prompts.words import words


def _prompts(*texts: str) -> list[Prompt]:
    return [Prompt(id=str(number), text=text) for number, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A Fox, running -- fast!", ["a", "fox", "running", "fast"]),
        ("Don\u2019t stop the dog's 'bark'", ["don't", "stop", "the", "dog's", "bark"]),
        ("\uff26\uff4f\uff58 ﬁlm", ["fox", "film"]),
        ("Straße cafe\u0301 CAFÉ", ["strasse", "café", "café"]),
        ("雪の 中", ["雪", "の", "中"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("a 🦊🦊 at 7 p.m./8", ["a", "🦊", "🦊", "at", "7", "p", "m", "8"]),
        ("…?!", []),
    ],
)
def test_words_are_the_wording_without_case_and_punctuation(text, expected):
    assert words(text) == expected


def test_likeness_is_jaccards_index_of_pairs_of_words():
    one, other = bigrams("the cat sat down"), bigrams("the cat sat up")
    # Shared: (start, the), (the, cat), (cat, sat); of either: those and two more of each.
    assert likeness(one, other) == pytest.approx(3 / 7)
    assert likeness(one, one) == 1


def test_what_the_threshold_means_in_words():
    eight = "a grey heron waits beside the quiet river"
    assert near_duplicates(_prompts(eight, eight.replace("beside", "above")))
    assert not near_duplicates(_prompts(eight, "a grey bear waits above the quiet river"))


def test_case_punctuation_and_spaces_make_no_difference():
    (pair,) = near_duplicates(_prompts("A red fox, running.", "a  RED fox running!"))
    assert (pair.value, pair.first, pair.second) == (1, "0", "1")


def test_signs_alone_are_compared_as_they_are():
    assert near_duplicates(_prompts("?!", " ?!"))
    assert not near_duplicates(_prompts("?!", "…"))


def test_only_prompts_that_ask_for_the_same_task_and_input_are_duplicates():
    text = "make the sky green"
    one = Prompt(id="a", task=TaskName.EDIT_VIDEO, text=text, inputs=("a.mp4",))
    assert near_duplicates([one, one.model_copy(update={"id": "b"})])
    assert not near_duplicates([one, one.model_copy(update={"id": "b", "inputs": ("b.mp4",)})])
    assert not near_duplicates([one, Prompt(id="b", text=text)])


@pytest.mark.parametrize("threshold", [0.2, 0.5, NEAR, 0.8, 1.0])
def test_no_pair_is_missed(threshold):
    source = [prompt.text.split() for prompt in load(locate("mini_text_to_video"))]
    draw = random.Random(7)
    texts = [" ".join(words) for words in source]
    for sentence in source * 4:
        changed = [draw.choice(draw.choice(source)) if draw.random() < 0.2 else w for w in sentence]
        texts.append(" ".join(changed))
    prompts = _prompts(*texts)
    sets = [bigrams(text) for text in texts]
    expected = {
        (str(i), str(j))
        for j in range(len(sets))
        for i in range(j)
        if likeness(sets[i], sets[j]) >= threshold
    }
    found = near_duplicates(prompts, threshold)
    assert {(pair.first, pair.second) for pair in found} == expected
    assert [pair.value for pair in found] == sorted((p.value for p in found), reverse=True)
    assert threshold == 1.0 or len(expected) > 10


def test_wordings_grow_and_refuse_a_name_twice():
    seen = Wordings()
    assert seen.like("new", "a red fox") == []
    seen.add("old", "a red fox")
    assert [each.first for each in seen.like("new", "A red fox.")] == ["old"]
    assert seen.like("old", "a red fox") == []
    assert len(seen) == 1
    with pytest.raises(ValueError, match="'old'"):
        seen.add("old", "another")
    with pytest.raises(ValueError, match="threshold=0"):
        Wordings(0)
