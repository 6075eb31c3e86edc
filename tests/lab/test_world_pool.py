import dataclasses

import pytest
import torch

from lab.world.parse import parse
from lab.world.pool import Pool
from lab.world.scene import COLOUR_NAMES, SHAPE_NAMES, SceneBatch, encode, sample_scenes
from lab.world.vocabulary import clip_tokenizer


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool.build(1100, 5, captions=2, context=64)


def test_it_holds_the_sampled_scenes_in_order(pool: Pool) -> None:
    again = encode(sample_scenes(1100, 5))
    for field in dataclasses.fields(SceneBatch):
        assert torch.equal(getattr(pool.scenes, field.name), getattr(again, field.name)), field.name
    assert pool.tokens.shape == (1100, 2, 64)


def test_a_drawn_caption_says_what_the_drawn_scene_holds(pool: Pool) -> None:
    torch.manual_seed(0)
    scenes, tokens = pool.draw(50)
    assert tokens.shape == (50, 64)
    assert tokens.dtype == torch.int64
    for index in range(50):
        asked = parse(clip_tokenizer().decode(tokens[index], skip_special_tokens=True))
        assert asked.main.shape == SHAPE_NAMES[scenes.shape[index, 0]]
        assert asked.main.colour == COLOUR_NAMES[scenes.colour[index, 0]]


def test_draws_differ_and_reach_every_caption(pool: Pool) -> None:
    torch.manual_seed(0)
    _, first = pool.draw(400)
    _, second = pool.draw(400)
    assert not torch.equal(first, second)
    for caption in range(2):
        found = (pool.tokens[:, caption, None] == first[None]).all(-1).any(0).float().mean()
        assert 0.4 < found < 0.6
    different = (pool.tokens[:, 0] != pool.tokens[:, 1]).any(-1).float().mean()
    assert different > 0.95


def test_several_processes_build_the_same_pool(pool: Pool) -> None:
    several = Pool.build(1100, 5, captions=2, context=64, processes=2)
    assert torch.equal(several.tokens, pool.tokens)
    for field in dataclasses.fields(SceneBatch):
        assert torch.equal(getattr(several.scenes, field.name), getattr(pool.scenes, field.name))
