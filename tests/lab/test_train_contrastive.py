import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lab.train.clip import GROUND_TEXTS, OBJECT_TEXTS, STYLE_TEXTS
from lab.train.contrastive import contrast, shares, text_ids
from lab.train.viclip import PHRASINGS, motion_logits, motion_texts
from lab.world.caption import caption
from lab.world.scene import encode, sample_scenes
from lab.world.vocabulary import clip_tokenizer
from metrics.backbones import clip, viclip


def test_contrast_is_zero_for_pairs_that_agree_and_the_logarithm_for_none() -> None:
    scale = torch.tensor(200.0)
    loss, found = contrast(3 * torch.eye(4), torch.eye(4), scale)
    assert loss < 1e-6
    assert found == 1
    loss, _ = contrast(torch.ones(4, 5), torch.ones(4, 5), scale)
    assert loss == pytest.approx(math.log(4))
    _, found = contrast(torch.eye(4), torch.eye(4).roll(1, 0), scale)
    assert found == 0


def test_shares_spread_over_the_labels_that_there_are() -> None:
    found = shares(torch.tensor([[2, -1], [0, 2], [1, 1]]), 3)
    assert found.tolist() == [[0, 0, 1], [0.5, 0, 0.5], [0, 1, 0]]


@pytest.mark.parametrize("card", [clip.MINI, viclip.MINI])
def test_captions_have_the_ids_of_the_pool_and_are_not_cut(card) -> None:
    rng = np.random.default_rng(0)
    texts = [caption(scene, rng) for scene in sample_scenes(200, 3)]
    ids = text_ids(texts, card.settings)
    pooled = clip_tokenizer()(texts, padding="max_length", max_length=card.settings.context)
    end = card.settings.vocabulary - 1
    expected = torch.tensor(pooled.input_ids)
    assert torch.equal(torch.where(ids == 0, end, ids), expected)


def test_a_network_for_another_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has 938 ids and the network 1000"):
        text_ids(["a red circle"], replace(clip.MINI.settings, vocabulary=1000))
    with pytest.raises(ValueError, match="published"):
        text_ids(["a red circle"], clip.B32.settings)


def test_short_texts_differ_and_fit() -> None:
    for texts in (
        [*OBJECT_TEXTS, *STYLE_TEXTS, *GROUND_TEXTS],
        *(motion_texts(phrasing) for phrasing in range(PHRASINGS)),
    ):
        assert len(set(texts)) == len(texts)
        ids = text_ids(texts, viclip.MINI.settings)
        assert len(ids.unique(dim=0)) == len(texts)
        assert ids[:, -1].eq(0).all()


def test_a_clip_is_compared_with_the_texts_of_its_own_object() -> None:
    scenes = encode(sample_scenes(3, 0, colour="green", shape="star", objects=1))
    texts = motion_texts(0)
    said = torch.eye(len(texts))
    seen = said[[texts.index(f"a green star {verb}") for verb in ("moves left", "spins", "grows")]]
    found = motion_logits(seen, said, scenes)
    assert found.shape == (3, 11)
    assert found.sum() == 3
    assert found.argmax(1).tolist() == [0, 5, 6]
