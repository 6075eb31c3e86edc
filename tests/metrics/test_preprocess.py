from dataclasses import replace

import pytest
import torch
from goldens import golden, parity
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from metrics import preprocess
from metrics.backbones import clip, dino, viclip
from metrics.backbones.card import Preprocessing

CLIP, DINO, VICLIP = (parity.read(name) for name in ("clip_vitb32", "dino_vitb16", "viclip_l"))


def picture(of: parity.Parity, case: str) -> Tensor:
    made = golden.image(**of.cases[case]["inputs"]["image"]["args"])
    return torch.from_numpy(made)[None].permute(0, 3, 1, 2)


def assert_same_pixels(pixels: Tensor, of: parity.Parity, case: str) -> None:
    found = pixels[:, :, ::16, ::16]
    torch.testing.assert_close(found, of.expected(case, "pixels_sub"), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "resize"),
    [
        ("float_320x576", preprocess.unrounded),
        ("uint8_256x256", preprocess.rounded),
        ("pil_192x128", preprocess.antialiased),
    ],
)
def test_clip_pixels_equal_the_reference(case: str, resize) -> None:
    pixels = resize(picture(CLIP, case), clip.B32.preprocessing)
    assert pixels.shape == (1, 3, 224, 224)
    assert pixels.dtype == torch.float32
    assert_same_pixels(pixels, CLIP, case)


@pytest.mark.parametrize("case", VICLIP.cases)
def test_viclip_pixels_equal_the_reference(case: str) -> None:
    pixels = preprocess.rounded(VICLIP.frames(case), viclip.OFFICIAL.preprocessing)
    assert_same_pixels(pixels, VICLIP, case)


def test_dino_pixels_equal_the_reference() -> None:
    case = "resized_320x576"
    pixels = preprocess.unrounded(picture(DINO, case), dino.OFFICIAL.preprocessing)
    assert pixels.shape == (1, 3, 224, 403)
    assert_same_pixels(pixels, DINO, case)


@pytest.mark.parametrize(("height", "width"), [(37, 90), (91, 40), (64, 64), (131, 205)])
@pytest.mark.parametrize("crop", [False, True])
def test_rounded_equals_torchvision_on_other_sizes(height: int, width: int, crop: bool) -> None:
    how = Preprocessing(side=48, interpolation="bicubic", crop=crop, std=(1 / 255,) * 3)
    frames = torch.from_numpy(golden.clip("sizes", 2, height, width)).permute(0, 3, 1, 2)
    resize = v2.Resize(48, InterpolationMode.BICUBIC, antialias=False)
    resized = resize(frames.float()).clamp(0, 255).round()
    expected = v2.CenterCrop(48)(resized) if crop else resized
    torch.testing.assert_close(preprocess.rounded(frames, how), expected, rtol=0, atol=1e-3)


def test_unrounded_overshoots_where_rounded_clamps() -> None:
    frames = torch.zeros(1, 3, 40, 40, dtype=torch.uint8)
    frames[..., 20:] = 255
    how = Preprocessing(side=24, interpolation="bicubic")
    assert preprocess.unrounded(frames, how).max() > 1
    assert preprocess.unrounded(frames, how).min() < 0
    levels = preprocess.rounded(frames, how) * 255
    assert levels.max() <= 255
    assert levels.min() >= 0
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)


def test_antialiasing_removes_detail_that_the_others_alias() -> None:
    stripes = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    stripes[..., ::2] = 255
    how = Preprocessing(side=24, interpolation="bicubic")
    smooth, aliased = preprocess.antialiased(stripes, how), preprocess.rounded(stripes, how)
    assert smooth.std() < 0.05
    assert aliased.std() > 0.2


@pytest.mark.parametrize(
    "resize", [preprocess.unrounded, preprocess.rounded, preprocess.antialiased]
)
def test_each_frame_is_resized_by_itself(resize) -> None:
    frames = torch.from_numpy(golden.clip("alone", 5, 50, 70)).permute(0, 3, 1, 2)
    how = clip.MINI.preprocessing
    alone = torch.cat([resize(frame[None], how) for frame in frames])
    assert torch.equal(resize(frames, how), alone)


@pytest.mark.parametrize(
    "resize", [preprocess.unrounded, preprocess.rounded, preprocess.antialiased]
)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_several_frames_at_once_give_the_same_bits(
    resize, interpolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU frames are resized several at a time, on a CPU one by one."""
    decoded = torch.from_numpy(golden.clip("at once", 7, 90, 133))
    how = Preprocessing(side=48, interpolation=interpolation, crop=True)
    for frames in (decoded.permute(0, 3, 1, 2), decoded.permute(0, 3, 1, 2).contiguous()):
        one_by_one = resize(frames, how)
        for size in (3, 7):
            with monkeypatch.context() as patched:
                patched.setattr(preprocess, "at_once", lambda *_, size=size: size)
                assert torch.equal(resize(frames, how), one_by_one)


@pytest.mark.parametrize(
    ("count", "picked"),
    [
        (8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (16, [0, 2, 4, 6, 8, 10, 12, 14]),
        (14, [0, 1, 3, 5, 7, 8, 10, 12]),
        (3, [0, 1, 2, 2, 2, 2, 2, 2]),
        (1, [0] * 8),
    ],
)
def test_middle_frames(count: int, picked: list[int]) -> None:
    assert preprocess.middle_frames(count, 8) == picked


def test_wrong_frames_and_cards_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found torch.float32 \(1, 3, 8, 8\)"):
        preprocess.rounded(torch.zeros(1, 3, 8, 8), clip.MINI.preprocessing)
    with pytest.raises(ValueError, match="expected frames as uint8"):
        preprocess.rounded(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), clip.MINI.preprocessing)
    with pytest.raises(ValueError, match="side=None"):
        preprocess.unrounded(
            torch.zeros(1, 3, 8, 8, dtype=torch.uint8), replace(clip.MINI.preprocessing, side=None)
        )
    with pytest.raises(ValueError, match="of a video of 0"):
        preprocess.middle_frames(0, 8)
