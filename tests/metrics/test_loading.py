import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from metrics.backbones.card import Card, Preprocessing, Shipped
from metrics.backbones.loading import file_sha256, read_card
from mora.checkpoints.tensors import WeightsError, filled, load_strictly, read_tensors

CARD = Card(
    name="linear",
    weights="mini",
    settings=None,
    preprocessing=Preprocessing(),
    origin=Shipped("linear.safetensors"),
    licence="Apache-2.0",
    source="a test",
)


def tensors() -> dict[str, torch.Tensor]:
    return {"weight": torch.arange(6.0).view(2, 3), "bias": torch.tensor([1.0, -1.0])}


def test_safetensors_and_checkpoints_give_the_same(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "a.safetensors")
    torch.save({"state_dict": tensors(), "epoch": 3}, tmp_path / "a.pth")
    first = read_tensors(tmp_path / "a.safetensors")
    second = read_tensors(tmp_path / "a.pth", key="state_dict")
    for name, value in tensors().items():
        assert torch.equal(first[name], value)
        assert torch.equal(second[name], value)


def test_half_precision_is_widened_to_the_modules_own(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({name: value.half() for name, value in tensors().items()}, path)
    module = nn.Linear(3, 2)
    load_strictly(module, read_tensors(path), path)
    assert module.weight.dtype == torch.float32
    assert torch.equal(module.weight, tensors()["weight"])


def test_every_missing_extra_and_misfitting_tensor_is_named() -> None:
    given = {"weight": torch.zeros(2, 4), "scale": torch.zeros(1), "shift": torch.zeros(1)}
    with pytest.raises(WeightsError) as raised:
        load_strictly(nn.Linear(3, 2), given, Path("some.pth"))
    message = str(raised.value)
    assert message.startswith("some.pth: ")
    assert "missing: bias" in message
    assert "extra: scale, shift" in message
    assert "weight (2, 4), expected (2, 3)" in message


def test_a_module_is_untouched_by_weights_that_do_not_fit() -> None:
    module = nn.Linear(3, 2)
    before = module.bias.clone()
    with pytest.raises(WeightsError):
        load_strictly(module, {"bias": torch.ones(2)}, Path("some.pth"))
    assert torch.equal(module.bias, before)


class Masked(nn.Linear):
    """A network with a buffer that no file holds."""

    def __init__(self) -> None:
        super().__init__(3, 2)
        self.register_buffer("mask", torch.tensor([1.0, 0.0]), persistent=False)


def test_a_network_takes_the_files_tensors_and_keeps_what_no_file_holds() -> None:
    given = tensors()
    network = filled(Masked, given, Path("some.pth"), torch.device("cpu"))
    assert network.weight.data_ptr() == given["weight"].data_ptr(), "the tensor was copied"
    assert torch.equal(network.bias, given["bias"])
    assert network.mask.tolist() == [1, 0]
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    halves = {name: value.half() for name, value in given.items()}
    widened = filled(Masked, halves, Path("some.pth"), torch.device("cpu"))
    assert widened.weight.dtype == torch.float32
    with pytest.raises(WeightsError, match="missing: bias"):
        filled(Masked, {"weight": given["weight"]}, Path("some.pth"), torch.device("cpu"))


class Trap:
    """Its pickle would make a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    torch.save({"weight": Trap(tmp_path / "sprung")}, tmp_path / "trap.pth")
    with pytest.raises(WeightsError, match=r"trap\.pth"):
        read_tensors(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["noise.pth", "noise.safetensors"])
def test_a_file_of_something_else_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(WeightsError, match=name):
        read_tensors(tmp_path / name)


def test_an_absent_file_a_wrong_key_and_a_stranger_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.pth: there is no such file"):
        read_tensors(tmp_path / "absent.pth")
    torch.save({"ema": tensors()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"'state_dict', found \['ema'\]"):
        read_tensors(tmp_path / "a.pth", key="state_dict")
    torch.save({**tensors(), "epoch": 3}, tmp_path / "b.pth")
    with pytest.raises(WeightsError, match=r"epoch \(int\)"):
        read_tensors(tmp_path / "b.pth")


def test_a_card_accepts_its_own_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "linear.safetensors"
    save_file(tensors(), path)
    digest = file_sha256(path)
    assert set(read_card(replace(CARD, sha256=digest[:8]), path)) == {"weight", "bias"}
    with pytest.raises(WeightsError, match=f"sha256 {'0' * 64}, found {digest}"):
        read_card(replace(CARD, sha256="0" * 64), path)


def test_sha256_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(path) == known
    assert file_sha256(path) == known
    path.write_bytes(b"abcd")
    assert file_sha256(path) != known


def test_published_weights_have_no_shipped_path() -> None:
    assert CARD.shipped_path(Path("weights")) == Path("weights/linear.safetensors")
    from metrics.backbones.raft import OFFICIAL

    with pytest.raises(ValueError, match="raft_things"):
        OFFICIAL.shipped_path(Path("weights"))
