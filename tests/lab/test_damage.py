import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from goldens import golden
from PIL import Image
from torch.nn import functional as F

from lab.data import damage


@pytest.fixture(scope="module")
def originals() -> torch.Tensor:
    images = [torch.from_numpy(golden.image(name, 300, 300))[:56, :72] for name in "abcd"]
    return torch.stack(images).permute(0, 3, 1, 2) / 255


@pytest.mark.parametrize("kind", range(len(damage.KINDS)))
def test_error_grows_with_strength(kind: int, originals: torch.Tensor) -> None:
    torch.manual_seed(0)
    errors = []
    for strength in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        kinds = torch.full((4,), kind)
        damaged = damage.damage(originals, kinds, torch.full((4,), strength))
        assert damaged.shape == originals.shape
        errors.append((damaged - originals).square().mean((1, 2, 3)))
    assert torch.equal(errors[0], torch.zeros(4))
    for weaker, stronger in pairwise(errors):
        assert (stronger > weaker).all()


def test_each_picture_has_its_own_kind_and_strength(originals: torch.Tensor) -> None:
    kinds = torch.tensor([0, 2, 3, 1])
    strengths = torch.tensor([0.3, 0.9, 0.5, 0.0])
    together = damage.damage(originals, kinds, strengths)
    for i in range(3):
        alone = damage.damage(originals[i : i + 1], kinds[i : i + 1], strengths[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)
    assert torch.equal(together[3], originals[3])


@pytest.mark.parametrize("quality", [5, 30, 80])
def test_jpeg_agrees_with_libjpeg(quality: int, originals: torch.Tensor) -> None:
    ours = damage.compressed(originals, torch.full((4,), float(quality)))
    for original, mine in zip(originals, ours, strict=True):
        pixels = (255 * original.permute(1, 2, 0)).round().to(torch.uint8).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        theirs = np.asarray(Image.open(file)).astype(float)
        lost = np.abs(theirs - pixels).mean()
        off = np.abs(255 * mine.permute(1, 2, 0).numpy() - theirs).mean()
        assert off < max(0.15 * lost, 1.5)  # libjpeg rounds to whole levels on its way


def test_blur_is_gaussian() -> None:
    point = torch.zeros(1, 3, 41, 41)
    point[..., 20, 20] = 1
    spread = damage.blurred(point, torch.tensor([2.0]))[0, 0]
    offsets = torch.arange(41) - 20.0
    assert spread.sum().item() == pytest.approx(1, abs=1e-5)
    assert (spread.sum(0) * offsets**2).sum().sqrt().item() == pytest.approx(2, rel=0.01)


def test_whole_factors_downscale_as_pooling_does() -> None:
    torch.manual_seed(0)
    originals = torch.rand(2, 3, 24, 36)
    for factor in (1, 2, 3, 4):
        small = F.avg_pool2d(originals, factor)
        expected = F.interpolate(small, (24, 36), mode="bilinear", align_corners=False)
        ours = damage.downscaled(originals, torch.full((2,), float(factor)))
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_noise_has_the_stated_deviation() -> None:
    torch.manual_seed(0)
    grey = torch.full((2, 3, 64, 64), 0.5)
    noise = damage.noisy(grey, torch.tensor([0.02, 0.08])) - grey
    torch.testing.assert_close(noise.std((1, 2, 3)), torch.tensor([0.02, 0.08]), rtol=0.05, atol=0)
