import gzip
import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from goldens import golden, parity
from safetensors.torch import save_file
from torch import Tensor

from metrics import preprocess
from metrics.backbones import bpe, clip
from mora.checkpoints.tensors import WeightsError, filled

CPU = torch.device("cpu")
GOLDENS = {"clip_vitb32": clip.B32, "clip_vitl14": clip.L14}
CASES = {
    "clip_vitb32": {
        "float_320x576": preprocess.unrounded,
        "uint8_256x256": preprocess.rounded,
        "pil_192x128": preprocess.antialiased,
    },
    "clip_vitl14": {"float_320x576": preprocess.unrounded},
}
"""The larger network's other case is the same but for the resize, and takes as long again."""
SMALL = replace(clip.MINI.settings, layers=1, text_layers=1)


@pytest.mark.parametrize("name", GOLDENS)
@torch.inference_mode()
def test_embeddings_equal_the_reference(name: str) -> None:
    of, card, tokenizer = parity.read(name), GOLDENS[name], bpe.tokenizer()
    build = partial(clip.build, card.settings)
    tensors = clip.as_published(of.weights(0), card.settings)
    model = filled(build, tensors, Path("golden"), CPU)
    for case, resize in CASES[name].items():
        inputs = of.cases[case]["inputs"]
        frames = torch.from_numpy(golden.image(**inputs["image"]["args"]))[None].permute(0, 3, 1, 2)
        tokens = bpe.tokenize(tokenizer, inputs["texts"], card.settings.context)
        assert torch.equal(tokens.ids, of.expected(case, "text_ids").long())
        image = model.encode_image(resize(frames, card.preprocessing))
        text = model.encode_text(tokens.ids)
        close(image, of.expected(case, "image_embed"))
        close(text, of.expected(case, "text_embed"))
        logits = model.logit_scale.exp() * F.cosine_similarity(image, text)[None]
        torch.testing.assert_close(logits, of.expected(case, "logits_per_image"), rtol=0, atol=1e-6)


def close(found: Tensor, expected: Tensor) -> None:
    """Within 1e-5 of the embedding's length; 1e-6 was seen, 3e-4 without rounding to half."""
    assert (found - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("name", GOLDENS)
def test_rounds_what_the_published_program_holds_in_half_precision(name: str) -> None:
    tensors = parity.read(name).manifest["tensors"]
    rounded = set(clip.half_tensors(GOLDENS[name].settings))
    assert rounded == {tensor for tensor, (_, dtype) in tensors.items() if dtype == "float16"}


def test_mini_weights_are_not_rounded_but_exact(tmp_path: Path) -> None:
    model = clip.build(SMALL)
    path = tmp_path / "model.safetensors"
    save_file(model.state_dict(), path)
    loaded = clip.load(replace(clip.MINI, settings=SMALL), path, CPU)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert not loaded.training


def test_a_text_tower_that_is_not_needed_is_read_and_let_go(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(clip.build(SMALL).state_dict(), path)
    whole, half = (
        clip.load(replace(clip.MINI, settings=replace(SMALL, texts=texts)), path, CPU)
        for texts in (True, False)
    )
    picture = torch.rand(1, 3, SMALL.side, SMALL.side)
    assert torch.equal(clip.image_features(whole, picture), clip.image_features(half, picture))
    texts = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_proj")
    kept = {name for name in whole.state_dict() if not name.startswith(texts)}
    assert set(half.state_dict()) == kept


def test_a_foreign_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tensors = clip.build(SMALL).state_dict()
    tensors["visual.head"] = tensors.pop("visual.proj")
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=r"missing: visual\.proj.*extra: visual\.head"):
        clip.load(replace(clip.MINI, settings=SMALL), path, CPU)


def test_an_archive_that_is_not_the_published_one_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "ViT-B-32.pt"
    path.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="expected the weights clip_vitb32 with sha256 40d36571"):
        clip.load(clip.B32, path, CPU)
    with pytest.raises(WeightsError, match="no such file"):
        clip.load(clip.B32, tmp_path / "absent.pt", CPU)


def test_long_texts_are_cut_and_said_to_be() -> None:
    tokenizer = bpe.tokenizer()
    tokens = bpe.tokenize(tokenizer, ["a cat", "a cat " * 30, "cat " * 30, "cat " * 31, ""], 32)
    assert tokens.cut == (False, True, False, True, False)
    assert tokens.ids.shape == (5, 32)
    start, end = tokenizer.sot_token_id, tokenizer.eot_token_id
    assert tokens.ids[:, 0].eq(start).all()
    assert tokens.ids[0].tolist()[3:] == [end] + 28 * [0]
    assert tokens.ids[1, -1] == end
    assert tokens.ids[4].tolist() == [start, end] + 30 * [0]


def test_a_vocabulary_of_ones_own(tmp_path: Path) -> None:
    merges = tmp_path / "bpe.txt.gz"
    merges.write_bytes(gzip.compress(b"#version: 0.2\nc a\nca t</w>"))
    tokenizer = bpe.tokenizer(merges)
    cat, dog = bpe.tokenize(tokenizer, ["Cat", "dog"], 8).ids
    assert cat.count_nonzero() == 3  # the word is one merged id between the markers
    assert dog.count_nonzero() == 5
    assert cat.max() == dog.max() == tokenizer.vocab_size - 1
    with pytest.raises(FileNotFoundError, match=r"absent\.gz.*check out the folder lab/weights"):
        bpe.tokenizer(tmp_path / "absent.gz")


def test_features_do_not_depend_on_the_rest_of_the_batch() -> None:
    torch.manual_seed(0)
    model = clip.build(SMALL).eval()
    pixels = torch.randn(3, 3, SMALL.side, SMALL.side)
    together = clip.image_features(model, pixels)
    alone = torch.cat([clip.image_features(model, picture[None]) for picture in pixels])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    torch.testing.assert_close(together, F.normalize(model.encode_image(pixels), dim=-1))
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3))


def test_what_follows_the_end_marker_does_not_count() -> None:
    """The lab pads with the end marker, the metrics with zeros; both mean the same."""
    torch.manual_seed(0)
    model = clip.build(SMALL).eval()
    end = SMALL.vocabulary - 1
    zeros = torch.tensor([[end - 1, 5, 9, end] + 73 * [0]])
    ends = torch.tensor([[end - 1, 5, 9] + 74 * [end]])
    features = [clip.text_features(model, ids) for ids in (zeros, ends)]
    torch.testing.assert_close(*features, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_reads_the_published_kind_of_archive(tmp_path: Path) -> None:
    """A TorchScript archive with half-precision matrices and three integers beside them."""
    torch.manual_seed(0)
    path = tmp_path / "ViT.pt"
    model = clip.build(SMALL).eval()
    for name in ("input_resolution", "context_length", "vocab_size"):
        vars(model).pop(name, None)  # two of them are plain attributes of ours
        model.register_buffer(name, torch.tensor(7))
    mask = model.attn_mask
    del model.attn_mask  # a buffer of ours, which the published network does not store
    model.attn_mask = mask
    inputs = torch.zeros(1, 3, SMALL.side, SMALL.side), torch.zeros(1, 77, dtype=torch.int64)
    torch.jit.trace(model, inputs, check_trace=False).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    card = replace(clip.B32, settings=replace(SMALL, half=True), sha256=digest)
    loaded = clip.load(card, path, CPU)
    matrix, norm = "visual.proj", "ln_final.weight"
    stored, found = model.state_dict(), loaded.state_dict()
    assert torch.equal(found[matrix], stored[matrix].half().float())
    assert not torch.equal(found[matrix], stored[matrix])
    assert torch.equal(found[norm], stored[norm])
