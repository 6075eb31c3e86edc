"""The connection agent: SEINE, pipelines that take a first and a last frame, and wrong inputs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file

from mora.agents.connection import (
    Connection,
    ConnectionSettings,
    InputError,
    bind_connection,
    resized,
)
from mora.agents.text_to_image import Picture
from mora.checkpoints import CheckpointError
from mora.checkpoints.tensors import WeightsError
from mora.media import Clip
from mora.models.lavie.blocks import UNetSettings
from mora.models.lavie.unet import UNet

SIDE = 16
FRAMES = 5
SIZES = UNetSettings(
    channels=(16, 16), layers=1, heads=2, text_width=16, groups=4, rotary_channels=8
)


@pytest.fixture(scope="module")
def tiny_unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights") / "connection"
    folder.mkdir()
    save_file(UNet(SIZES).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(asdict(SIZES)))
    return folder


@pytest.fixture
def seine(tiny_unet: Path, tiny_sdxl: Path) -> dict[str, Any]:
    return {
        "name": "seine_tiny",
        "pipeline": "SEINE",
        "unet": {"weights": str(tiny_unet)},
        "stable_diffusion": {"weights": str(tiny_sdxl)},
        "frames": FRAMES,
        "steps": 3,
    }


def bound(settings: dict[str, Any]) -> Connection:
    return bind_connection(TypeAdapter(ConnectionSettings).validate_python(settings))


def pictures(count: int, height: int = SIDE, width: int = SIDE, seed: int = 0) -> list[Picture]:
    drawn = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return list(drawn)


def connected(
    settings: dict[str, Any],
    before: Sequence[Picture],
    after: Sequence[Picture],
    texts: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Clip]:
    count = len(before)
    with bound(settings).open("cpu") as connect:
        return list(connect(before, after, texts or ["a"] * count, seeds or list(range(count))))


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_a_clip_begins_and_ends_as_given(seine: dict[str, Any], sampler: str) -> None:
    before, after = pictures(1), pictures(1, seed=1)
    (clip,) = connected(seine | {"sampler": sampler, "fps": 9}, before, after)
    assert clip.frames.shape == (FRAMES, SIDE, SIDE, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.fps == 9
    np.testing.assert_array_equal(clip.frames[0], before[0])
    np.testing.assert_array_equal(clip.frames[-1], after[0])


def test_batch_size_and_neighbours_change_no_bit(seine: dict[str, Any]) -> None:
    before, after, texts = pictures(3), pictures(3, seed=1), ["red", "green", "blue"]
    together = connected(seine | {"batch_size": 3}, before, after, texts, [5, 6, 7])
    for index, clip in enumerate(together):
        part = slice(index, index + 1)
        (alone,) = connected(seine, before[part], after[part], texts[part], [5 + index])
        np.testing.assert_array_equal(clip.frames, alone.frames)


def test_seed_text_and_both_pictures_matter(seine: dict[str, Any]) -> None:
    first, last, other = pictures(3)
    (clip,) = connected(seine, [first], [last], ["red"], [1])
    for changed in (
        connected(seine, [first], [last], ["red"], [2]),
        connected(seine, [first], [last], ["green"], [1]),
        connected(seine, [other], [last], ["red"], [1]),
        connected(seine, [first], [other], ["red"], [1]),
        connected(seine | {"negative_text": "bad"}, [first], [last], ["red"], [1]),
    ):
        assert (changed[0].frames[1:-1] != clip.frames[1:-1]).any()


def test_a_text_of_the_settings_is_said_to_all(seine: dict[str, Any]) -> None:
    first, last = pictures(2)
    fixed = seine | {"text": "smooth transition"}
    assert bound(seine).reads_text
    assert not bound(fixed).reads_text
    one, two = connected(fixed, [first] * 2, [last] * 2, ["red", "green"], [1, 1])
    (said,) = connected(seine, [first], [last], ["smooth transition"], [1])
    np.testing.assert_array_equal(one.frames, two.frames)
    np.testing.assert_array_equal(one.frames, said.frames)


def test_sizes_of_its_own_and_back(seine: dict[str, Any]) -> None:
    before, after = pictures(1, 21, 27), pictures(1, 21, 27, seed=1)
    sized = seine | {"height": 16, "width": 24}
    (clip,) = connected(sized, before, after, seeds=[4])
    assert clip.frames.shape == (FRAMES, 21, 27, 3)
    np.testing.assert_array_equal(clip.frames[-1], after[0])
    small = [resized(each[0], 16, 24) for each in (before, after)]
    (native,) = connected(seine, small[:1], small[1:], seeds=[4])
    np.testing.assert_array_equal(clip.frames[2], resized(native.frames[2], 21, 27))


def test_pairs_of_several_sizes_come_in_order(seine: dict[str, Any]) -> None:
    before = [*pictures(2), *pictures(1, 18, 20), *pictures(1)]
    clips = connected(seine | {"batch_size": 4}, before, before[:2] + before[2:])
    assert [clip.frames.shape[1:3] for clip in clips] == [(16, 16), (16, 16), (18, 20), (16, 16)]
    for clip, picture in zip(clips, before, strict=True):
        np.testing.assert_array_equal(clip.frames[0], picture)


def test_pictures_that_differ_in_size_fail_after_those_that_do_not(seine: dict[str, Any]) -> None:
    before, after = pictures(2), [*pictures(1), *pictures(1, 18, 20)]
    with bound(seine).open("cpu") as connect:
        clips = connect(before, after, ["a", "b"], [1, 2])
        np.testing.assert_array_equal(next(clips).frames[0], before[0])
        with pytest.raises(InputError, match=r"16x16 and 20x18, expected two of one size"):
            next(clips)


def test_a_size_that_it_cannot_work_at_is_told(seine: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"pictures of 17x16, expected sides that 2 divides"):
        connected(seine, pictures(1, 16, 17), pictures(1, 16, 17))


def test_a_recipe_follows_settings_and_weights_but_not_batch_size(
    seine: dict[str, Any], tmp_path: Path, tiny_unet: Path
) -> None:
    recipe = bound(seine).recipe()
    assert bound(seine | {"batch_size": 7}).recipe() == recipe
    assert bound(seine | {"guidance": 2.0}).recipe() != recipe
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in tiny_unet.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    assert bound(seine | {"unet": {"weights": str(moved)}}).recipe() == recipe
    tensors = UNet(SIZES).state_dict()
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, moved / "model.safetensors")
    assert bound(seine | {"unet": {"weights": str(moved)}}).recipe() != recipe


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"unet": {"weights": "hub:a/b", "file": "c.pt"}}, "needs file= and revision="),
        ({"stable_diffusion": {"weights": "hub:a/b"}}, "needs revision="),
        ({"height": 16}, "expected both or neither"),
        ({"height": 17, "width": 16}, "multiple of 8"),
        ({"frames": 2}, "greater than or equal to 3"),
        ({"sampler": "euler"}, "'ddpm' or 'ddim'"),
        ({"stepps": 3}, "Extra inputs"),
    ],
)
def test_a_wrong_setting_is_told(seine: dict[str, Any], changed: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        bound(seine | changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"unet": {"weights": "/no/such"}}, r"/no/such: found no weights .* correct the setting"),
        ({"unet": {"weights": "mini:none"}}, r"weights=mini:none points"),
        (
            {"unet": {"weights": "hub:a/b", "file": "c.pt", "revision": "0" * 40}},
            r"a--b/000000000000/c\.pt: found no weights .* run `mora models pull a/b`",
        ),
        ({"stable_diffusion": {"weights": "/no/such"}}, r"no folder text_encoder and no tokeni"),
    ],
)
def test_missing_weights_are_told_before_loading(
    seine: dict[str, Any], changed: Any, said: str
) -> None:
    connection = bound(seine | changed)
    with pytest.raises(CheckpointError, match=said), connection.open("cpu"):
        pass
    with pytest.raises(CheckpointError, match=said):
        connection.recipe()


def test_weights_of_another_size_are_refused(
    seine: dict[str, Any], tiny_unet: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes((tiny_unet / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(asdict(SIZES) | {"channels": [16, 32]}))
    other = bound(seine | {"unet": {"weights": str(tmp_path)}})
    with pytest.raises(WeightsError, match="of another shape"), other.open("cpu"):
        pass
    (tmp_path / "config.json").write_text(json.dumps(asdict(SIZES) | {"depth": 3}))
    with pytest.raises(WeightsError, match=r"config\.json: .*found depth"), other.open("cpu"):
        pass
