"""The prompt agent completes what is left open, and keeps what is said."""

import re
from dataclasses import asdict

import numpy as np
import pytest

from lab.world.caption import caption
from lab.world.parse import parse
from lab.world.scene import sample_scenes
from mora.agents import grammar as agent
from mora.agents.grammar import GrammarPrompt, complete
from mora.agents.prompt import VerbatimPrompt


@pytest.mark.parametrize("seed", range(20))
def test_a_short_prompt_gets_all_that_it_lacks(seed):
    text = complete("a star", seed)
    words = set(re.findall(r"[a-z-]+", text.lower()))
    assert words & set(agent.SIZES)
    assert words & set(agent.COLOURS)
    assert words & {participle for _, participle, _ in agent.MOTIONS}
    assert words & set(agent.SPEEDS)
    assert any(text.endswith(f" {ground}.") for ground in agent.GROUNDS)


def test_what_is_said_is_kept_in_its_order():
    text = complete("a red circle moves right", 3)
    assert re.fullmatch(r"A \w+ red circle moves \w+ right .*\.", text)
    text = complete("at night, an orange ring spins quickly", 3)
    assert re.fullmatch(r"At night, a \w+ orange ring spins quickly (on|over) .*\.", text)


def test_nothing_said_is_contradicted():
    kinds = {
        "size": agent.SIZES,
        "colour": agent.COLOURS,
        "speed": agent.SPEEDS,
        "verb": [verb for each in agent.MOTIONS for verb in each[:2]],
    }
    said = "a small red square moves slowly on a grey background"
    for seed in range(30):
        added = set(complete(said, seed).lower().rstrip(".").split()) - set(said.split())
        assert added == set()
    for kind, options in kinds.items():
        assert sum(word in options for word in said.split()) == 1, kind


def test_another_reader_finds_what_was_said_unchanged():
    """`lab.world.parse` knows nothing of this grammar. What it finds in a part of a caption, it
    finds in the completion, too."""
    rng = np.random.default_rng(5)
    read = 0
    for index, scene in enumerate(sample_scenes(400, seed=23)):
        words = caption(scene, rng).rstrip(".").split()
        text = " ".join(words[: rng.integers(3, len(words) + 1)])
        before, after = parse(text), parse(complete(text, index))
        if complete(text, index) == text:
            continue
        read += 1
        for field, said in asdict(before).items():
            found = asdict(after)[field]
            if isinstance(said, dict):
                kept = {name: value for name, value in said.items() if value is not None}
                assert kept.items() <= found.items(), (text, complete(text, index))
            elif said is not None:
                assert found == said, (text, complete(text, index))
    assert read > 300


def test_each_object_gets_its_own():
    text = complete("a square and a star", 5)
    first, second = text.lower().split(" and ", 1)
    for part in (first, second):
        words = set(re.findall(r"[a-z-]+", part))
        assert len(words & set(agent.COLOURS)) == 1
        assert len(words & set(agent.SIZES)) == 1
    assert set(first.split()) & set(agent.COLOURS) != set(second.split()) & set(agent.COLOURS)


def test_a_style_at_the_end_stays_there():
    text = complete("a white ring drifts up, drawn by hand on paper", 1)
    assert text.endswith(", drawn by hand on paper.")
    assert text.count("background") + text.count("gradient") == 1
    assert complete("a star in digital world style", 1).endswith(" in digital world style.")


@pytest.mark.parametrize(
    "text", ["Two dogs play", "a red circle flies over a lake", "At night", "Ein Kreis", "3 stars"]
)
def test_what_the_grammar_cannot_read_is_left_as_it_is(text):
    assert complete(text, 0) == text


def test_every_caption_of_the_world_is_read_and_completing_twice_adds_nothing():
    rng = np.random.default_rng(0)
    for index, scene in enumerate(sample_scenes(300, seed=11)):
        text = caption(scene, rng)
        completed = complete(text, index)
        assert len(completed) >= len(text)
        assert complete(completed, index + 1) == completed
        kept = iter(_words(completed))
        assert all(word in kept for word in _words(text)), (text, completed)


def _words(text: str) -> list[str]:
    return ["a" if word == "an" else word for word in text.lower().split()]


def test_one_more_word_changes_nothing_else():
    short, longer = complete("a star", 9), complete("a large star", 9)
    assert re.sub(r"small|medium|large", "", short) == re.sub(r"large", "", longer)


def test_seeds_give_other_completions_and_the_same_seed_the_same():
    texts = [complete("a circle", seed) for seed in range(40)]
    assert len(set(texts)) > 30
    assert texts == [complete("a circle", seed) for seed in range(40)]


def test_agents_work_in_order_and_have_different_recipes():
    texts, seeds = ["a star", "a ring", "a dog"], [1, 2, 3]
    with GrammarPrompt().open("cpu") as enhance:
        assert list(enhance(texts, seeds)) == [
            complete(text, seed) for text, seed in zip(texts, seeds, strict=True)
        ]
    with VerbatimPrompt().open("cpu") as enhance:
        assert list(enhance(texts, seeds)) == texts
    assert GrammarPrompt().recipe() != VerbatimPrompt().recipe()
