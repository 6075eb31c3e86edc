"""BERT as an encoder of sentences, on a tiny network of random weights and a tiny vocabulary."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertModel

from metrics.backbones import bert, published
from metrics.backbones.bert import OFFICIAL, BertSettings, Tokens
from metrics.backbones.loading import file_sha256
from metrics.networks import Networks
from mora.checkpoints.tensors import WeightsError

CPU = torch.device("cpu")
TEXT = "a red blue circle square moves slowly to the left ."
WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *TEXT.split()]
TEXTS = ["a red circle moves", "A blue square moves slowly to the left .", "circle"]


def save_tokenizer(path: Path) -> str:
    """Saves a tokenizer that asks for a cut and for padding of its own. Returns its sha256."""
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    markers = [("[CLS]", 1), ("[SEP]", 2)]
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=markers)
    made.enable_truncation(4)
    made.enable_padding(length=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save(str(path))
    return file_sha256(path)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> BertSettings:
    sha256 = save_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json")
    return BertSettings(
        width=24,
        layers=2,
        heads=3,
        inner=40,
        vocabulary=len(WORDS),
        positions=16,
        context=9,
        tokenizer=replace(published.MINILM_TOKENIZER, sha256=sha256),
    )


@pytest.fixture(scope="module")
def folder(settings: BertSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of official weights with the tiny network in BERT's place."""
    folder = tmp_path_factory.mktemp("official")
    torch.manual_seed(0)
    tensors = bert.build(settings).state_dict()
    tensors["embeddings.position_ids"] = torch.arange(settings.positions)[None]
    path = OFFICIAL.path(folder)
    path.parent.mkdir()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    save_tokenizer(settings.tokenizer.path(folder))
    return folder


@pytest.fixture(scope="module")
def model(settings: BertSettings, folder: Path) -> BertModel:
    card = replace(OFFICIAL, settings=settings, sha256=None)
    return bert.load(card, card.path(folder), CPU)


@pytest.fixture(scope="module")
def tokens(settings: BertSettings, folder: Path) -> Tokens:
    reader = bert.tokenizer(settings, settings.tokenizer.path(folder))
    return bert.tokenize(reader, TEXTS)


def test_texts_are_cut_as_the_settings_say_and_padded_to_the_longest(tokens: Tokens) -> None:
    assert [" ".join(WORDS[id_] for id_ in row) for row in tokens.ids.tolist()] == [
        "[CLS] a red circle moves [SEP]" + " [PAD]" * 3,
        "[CLS] a blue square moves slowly to the [SEP]",
        "[CLS] circle [SEP]" + " [PAD]" * 6,
    ]
    assert tokens.mask.tolist() == [[1] * 6 + [0] * 3, [1] * 9, [1] * 3 + [0] * 6]


def test_a_sentence_is_the_mean_of_its_tokens_at_unit_length(
    model: BertModel, tokens: Tokens
) -> None:
    """Against a loop over single texts that are not padded at all, in float64."""
    found = bert.sentence_features(model, tokens, "mean").numpy()
    for row, ids, mask in zip(found, tokens.ids, tokens.mask, strict=True):
        alone = ids[mask.bool()][None]
        with torch.inference_mode():
            states = model(input_ids=alone).last_hidden_state[0].double().numpy()
        total = np.zeros(states.shape[1])
        for state in states:
            total += state
        mean = total / len(states)
        np.testing.assert_allclose(row, mean / np.sqrt((mean**2).sum()), rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_first_is_the_start_markers_vector(model: BertModel, tokens: Tokens) -> None:
    found = bert.sentence_features(model, tokens, "first").numpy()
    with torch.inference_mode():
        states = model(input_ids=tokens.ids, attention_mask=tokens.mask).last_hidden_state
    first = states[:, 0].numpy()
    expected = first / np.linalg.norm(first, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    mean = bert.sentence_features(model, tokens, "mean").numpy()
    assert np.abs(found - mean).max() > 0.01


def test_what_pads_a_text_does_not_count(model: BertModel, tokens: Tokens) -> None:
    scribbled = torch.where(tokens.mask.bool(), tokens.ids, WORDS.index("square"))
    assert not torch.equal(scribbled, tokens.ids)
    found = bert.sentence_features(model, Tokens(scribbled, tokens.mask), "mean")
    torch.testing.assert_close(found, bert.sentence_features(model, tokens, "mean"))


def test_networks_embed_a_sentence(
    settings: BertSettings, folder: Path, model: BertModel, tokens: Tokens, monkeypatch
) -> None:
    card = replace(OFFICIAL, settings=settings, sha256=None)
    monkeypatch.setattr(bert, "OFFICIAL", card)
    backbones = {"sentence": replace(_backbones()["sentence"], official=card)}
    monkeypatch.setattr("metrics.networks.BACKBONES", backbones)
    networks = Networks("official", folder, CPU)
    found = networks.sentence(TEXTS[0], "mean")
    expected = bert.sentence_features(model, tokens, "mean")[:1].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert list(networks.checkpoints(["sentence"])) == [
        "all_minilm_l6_v2",
        "all_minilm_l6_v2_tokenizer",
    ]


def test_another_tokenizer_or_network_is_refused(
    settings: BertSettings, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="expected the tokenizer with sha256"):
        bert.tokenizer(OFFICIAL.settings, settings.tokenizer.path(folder))
    with pytest.raises(WeightsError, match="found no such file"):
        bert.tokenizer(settings, tmp_path / "tokenizer.json")
    with pytest.raises(WeightsError, match="all_minilm_l6_v2 with sha256 53aa5117"):
        bert.load(OFFICIAL, OFFICIAL.path(folder), CPU)
    smaller = replace(OFFICIAL, settings=replace(settings, layers=1), sha256=None)
    with pytest.raises(WeightsError, match=r"extra: encoder\.layer\.1"):
        bert.load(smaller, OFFICIAL.path(folder), CPU)


def _backbones() -> dict:
    from metrics.networks import BACKBONES

    return BACKBONES
