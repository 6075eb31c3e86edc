from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from goldens import golden, parity
from safetensors.torch import save_file
from torch import Tensor

from metrics import preprocess
from metrics.backbones import dino
from mora.checkpoints.tensors import WeightsError

CPU = torch.device("cpu")
GOLDEN = parity.read("dino_vitb16")
SMALL = replace(dino.MINI.settings, depth=1)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> dino.Dino:
    """The published network with golden weights."""
    path = tmp_path_factory.mktemp("dino") / "dino_vitbase16_pretrain.pth"
    torch.save(GOLDEN.weights(0), path)
    return dino.load(replace(dino.OFFICIAL, sha256=None), path, CPU)


def network_input(case: str) -> Tensor:
    made = golden.image(**GOLDEN.cases[case]["inputs"]["image"]["args"])
    frames = torch.from_numpy(made)[None].permute(0, 3, 1, 2)
    how = dino.OFFICIAL.preprocessing
    if case.startswith("resized"):
        return preprocess.unrounded(frames, how)
    mean, std = (torch.tensor(values)[:, None, None] for values in (how.mean, how.std))
    return (frames / 255 - mean) / std


@pytest.mark.parametrize("case", GOLDEN.cases)
def test_features_equal_the_reference(case: str, official: dino.Dino) -> None:
    pixels = network_input(case)
    with torch.inference_mode():
        found = official(pixels)
    expected = GOLDEN.expected(case, "cls")
    assert (found - expected).norm() <= 1e-5 * expected.norm()  # 1e-6 was seen
    torch.testing.assert_close(
        dino.features(official, pixels), F.normalize(expected, dim=-1), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("case", GOLDEN.cases)
def test_positions_equal_the_reference(case: str, official: dino.Dino) -> None:
    height, width = network_input(case).shape[-2:]
    positions = official.positions(height // 16, width // 16)[:, :, ::64]
    torch.testing.assert_close(positions, GOLDEN.expected(case, "pos_embed_sub"), rtol=0, atol=1e-7)


def test_what_fills_no_patch_is_not_seen() -> None:
    torch.manual_seed(0)
    model = dino.Dino(SMALL).eval()
    pixels = torch.randn(2, 3, 103, 98)
    assert torch.equal(dino.features(model, pixels), dino.features(model, pixels[..., :96, :96]))


def test_takes_any_size_and_gives_unit_length() -> None:
    torch.manual_seed(0)
    model = dino.Dino(SMALL).eval()
    for height, width in ((96, 96), (48, 48), (96, 170), (8, 8)):
        features = dino.features(model, torch.randn(2, 3, height, width))
        assert features.shape == (2, SMALL.width)
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(2))


def test_a_foreign_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tensors = dino.Dino(SMALL).state_dict()
    del tensors["cls_token"]
    save_file({**tensors, "head.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match=r"missing: cls_token; extra: head\.weight"):
        dino.load(replace(dino.MINI, settings=SMALL), path, CPU)
