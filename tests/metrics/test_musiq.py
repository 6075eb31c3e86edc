import socket
from dataclasses import replace

import pytest
import torch
from goldens import parity
from torch import nn

from metrics.backbones import musiq

CPU = torch.device("cpu")
GOLDEN = parity.read("musiq_spaq")
SEED = {case: params["weights_seed"] for case, params in GOLDEN.cases.items()}


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> dict[int, nn.Module]:
    """The published network with golden weights, by the weights' seed."""
    path = tmp_path_factory.mktemp("musiq") / "musiq.pth"
    card = replace(musiq.OFFICIAL, sha256=None)
    models = {}
    for seed in sorted(set(SEED.values())):
        torch.save(GOLDEN.weights(seed), path)
        models[seed] = musiq.load(card, path, CPU)
    return models


@pytest.mark.parametrize("case", ["320x576_longer", "600x700_shorter"])
def test_scores_equal_the_reference(case: str, official: dict[int, nn.Module]) -> None:
    resize = GOLDEN.cases[case]["params"]["preprocess_mode"]
    scores = musiq.scores(official[SEED[case]], GOLDEN.frames(case), resize)
    torch.testing.assert_close(scores, GOLDEN.expected(case, "score"), rtol=1e-4, atol=0)


def test_what_is_within_the_limit_is_not_resized(official: dict[int, nn.Module]) -> None:
    case = "333x211_longer"
    model, frames = official[SEED[case]], GOLDEN.frames(case)
    scores = [musiq.scores(model, frames, resize) for resize in ("longer", "shorter", "none")]
    for score in scores:
        torch.testing.assert_close(score, GOLDEN.expected(case, "score"), rtol=1e-4, atol=0)


def test_resized_sides_are_truncated() -> None:
    frames = torch.rand(1, 3, 600, 701)
    assert musiq.resized(frames, "longer").shape[-2:] == (438, 512)
    assert musiq.resized(frames, "shorter").shape[-2:] == (512, 598)
    assert musiq.resized(frames, "none") is frames


def test_building_reaches_for_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    model = musiq.build(musiq.MINI.settings)
    assert 2 * sum(tensor.numel() for tensor in model.state_dict().values()) < 1.0e6


def test_mini_scores_are_independent_of_the_batch() -> None:
    torch.manual_seed(0)
    model = musiq.build(musiq.MINI.settings).eval()
    frames = torch.randint(0, 256, (3, 3, 128, 160), dtype=torch.uint8)
    together = musiq.scores(model, frames)
    alone = torch.cat([musiq.scores(model, frame[None]) for frame in frames])
    assert together.shape == (3,)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_memory_is_bounded_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our attention and our chunks of patches against pyiqa's own forward."""
    torch.manual_seed(0)
    model = musiq.build(musiq.MINI.settings).eval()
    frames = torch.randint(0, 256, (2, 3, 77, 130), dtype=torch.uint8)
    with torch.inference_mode():
        expected = model(frames / 255).flatten()
    for block in model.transformer_encoder.transformer.values():
        block.attention = musiq.Attention(block.attention)
    monkeypatch.setattr(musiq, "PATCHES", 7)
    found = musiq.scores(model, frames, "none")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(77, 130), (33, 500), (16, 16), (700, 300)])
@pytest.mark.parametrize("resize", ["longer", "none"])
def test_tokens_of_a_frame_are_counted(height: int, width: int, resize: musiq.Resize) -> None:
    torch.manual_seed(0)
    model = musiq.build(replace(musiq.MINI.settings, num_layers=1)).eval()
    seen = []
    model.transformer_encoder.encoder_norm.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].shape[1])
    )
    musiq.scores(model, torch.zeros(1, 3, height, width, dtype=torch.uint8), resize)
    assert seen == [musiq.tokens(musiq.MINI.settings, height, width, resize)]
