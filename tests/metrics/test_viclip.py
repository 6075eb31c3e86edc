from dataclasses import replace
from pathlib import Path

import pytest
import torch
from goldens import parity

from metrics import preprocess
from metrics.backbones import bpe, viclip
from mora.checkpoints.tensors import WeightsError, load_strictly

CPU = torch.device("cpu")
GOLDEN = parity.read("viclip_l")
SMALL = replace(viclip.MINI.settings, layers=1, text_layers=1)


@torch.inference_mode()
def test_embeddings_equal_the_reference() -> None:
    case = "256x256_w0"
    model = viclip.ViClip(viclip.OFFICIAL.settings)
    load_strictly(model, GOLDEN.weights(0), Path("golden"))
    model.eval()
    texts = GOLDEN.cases[case]["inputs"]["texts"]
    tokens = bpe.tokenize(bpe.tokenizer(), texts, viclip.OFFICIAL.settings.context)
    assert torch.equal(tokens.ids, GOLDEN.expected(case, "text_ids").long())
    assert tokens.cut == (False, False, False, True)
    text = model.text_encoder(tokens.ids)
    pixels = preprocess.rounded(GOLDEN.frames(case), viclip.OFFICIAL.preprocessing)
    video = model.vision_encoder(pixels[None])
    for found, output in ((video, "video_embed"), (text, "text_embed")):
        expected = GOLDEN.expected(case, output)
        assert (found - expected).norm() <= 1e-5 * expected.norm()  # 1e-6 was seen
    cosine = torch.nn.functional.cosine_similarity(video, text)
    torch.testing.assert_close(cosine, GOLDEN.expected(case, "cosine"), rtol=0, atol=1e-6)


def test_loads_the_published_container(tmp_path: Path) -> None:
    card = replace(viclip.OFFICIAL, settings=SMALL, sha256=None)
    tensors = viclip.ViClip(SMALL).state_dict()
    path = tmp_path / "ViClip.pth"
    torch.save({"model": tensors}, path)
    loaded = viclip.load(card, path, CPU)
    for name, tensor in tensors.items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    torch.save(tensors, path)
    with pytest.raises(WeightsError, match="expected an entry 'model'"):
        viclip.load(card, path, CPU)


def test_features_are_the_normalised_embeddings() -> None:
    torch.manual_seed(0)
    model = viclip.ViClip(SMALL).eval()
    pixels = torch.randn(3, 8, 3, SMALL.side, SMALL.side)
    together = viclip.video_features(model, pixels)
    alone = torch.cat([viclip.video_features(model, clip[None]) for clip in pixels])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3))
    embedding = model.vision_encoder(pixels)
    torch.testing.assert_close(together, embedding / embedding.norm(dim=-1, keepdim=True))


def test_the_order_of_frames_counts() -> None:
    torch.manual_seed(0)
    model = viclip.ViClip(SMALL).eval()
    pixels = torch.randn(1, 8, 3, SMALL.side, SMALL.side)
    forwards, backwards = (viclip.video_features(model, p) for p in (pixels, pixels.flip(1)))
    assert (forwards - backwards).norm() > 1e-3
    with torch.no_grad():
        model.vision_encoder.temporal_positional_embedding.zero_()
    forwards, backwards = (viclip.video_features(model, p) for p in (pixels, pixels.flip(1)))
    torch.testing.assert_close(forwards, backwards, rtol=0, atol=1e-6)


def test_one_frame_takes_the_mean_moment() -> None:
    torch.manual_seed(0)
    model = viclip.ViClip(SMALL).eval()
    pixels = torch.randn(1, 1, 3, SMALL.side, SMALL.side)
    single = viclip.video_features(model, pixels)
    moments = model.vision_encoder.temporal_positional_embedding
    with torch.no_grad():
        moments.copy_(moments.mean(1, keepdim=True).expand_as(moments))
    torch.testing.assert_close(single, viclip.video_features(model, pixels), rtol=0, atol=1e-6)
