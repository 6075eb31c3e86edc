"""TorchScript archives: the same tensors as PyTorch's own reader gives, and no program run."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from mora.checkpoints.tensors import WeightsError, read_tensors
from mora.checkpoints.torchscript import is_torchscript

pytestmark = pytest.mark.filterwarnings("ignore")


class Inner(nn.Module):
    """A linear layer with a buffer of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.register_buffer("count", torch.tensor(7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * self.count


class Outer(nn.Module):
    """All that an archive holds: views, halves, shared tensors, lists, tensors beside the state."""

    numbers: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(Inner(), nn.Linear(3, 3))
        self.turned = nn.Parameter(torch.randn(4, 5).half().t())
        self.empty = nn.Parameter(torch.zeros(0, 3))
        self.shared = self.inner[1].weight
        self.numbers = [1, 2]
        self.beside = torch.ones(3)
        self.table = {"a": 1}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        beside = self.beside.sum() + self.numbers[0] + self.table["a"]
        return self.inner(x).sum() + self.turned.float().sum() + beside + self.empty.sum()


def archive(path: Path, how: str) -> Path:
    torch.manual_seed(0)
    model = Outer()
    made = torch.jit.script(model) if how == "script" else torch.jit.trace(model, torch.ones(1, 2))
    made.save(path)
    return path


@pytest.mark.parametrize("how", ["script", "trace"])
def test_tensors_are_those_that_torch_reads(how: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.pt", how)
    found = read_tensors(path)
    expected = torch.jit.load(path).state_dict()
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == tensor.dtype
    assert found["turned"].shape == (5, 4)


def rewritten(source: Path, target: Path, tree: bytes) -> Path:
    """The archive with another tree."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            is_tree = info.filename.endswith("/data.pkl")
            new.writestr(info.filename, tree if is_tree else old.read(info))
    return target


class Trap:
    """Its pickle would make a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_what_is_no_tensor_is_refused_by_name(tmp_path: Path) -> None:
    tree = pickle.dumps({"weight": Trap(tmp_path / "sprung")}, protocol=2)
    path = rewritten(archive(tmp_path / "a.pt", "trace"), tmp_path / "trap.pt", tree)
    with pytest.raises(WeightsError, match=r"trap\.pt: .*asks for posix\.mkdir, which is no"):
        read_tensors(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("builtins getattr", "builtins.getattr"),
        ("torch load", "torch.load"),
        ("torch.jit._pickle eval", "torch.jit._pickle.eval"),
        (
            "torch._utils _rebuild_parameter_with_state",
            "torch._utils._rebuild_parameter_with_state",
        ),
        ("__torch__x os", "__torch__x.os"),
    ],
)
def test_nothing_beside_the_known_names_can_be_had(name: str, asked: str, tmp_path: Path) -> None:
    tree = b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\n."
    path = rewritten(archive(tmp_path / "a.pt", "trace"), tmp_path / "trap.pt", tree)
    with pytest.raises(WeightsError, match=asked.replace(".", r"\.")):
        read_tensors(path)


def test_a_program_beside_the_tensors_is_not_compiled(tmp_path: Path) -> None:
    """Where PyTorch's reader fails on a broken program, the tensors are still to be had."""
    whole, broken = archive(tmp_path / "a.pt", "trace"), tmp_path / "broken.pt"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(broken, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename.endswith(".py"):
                content = content.replace(b"def forward", b"def )(")
            new.writestr(info.filename, content)
    with pytest.raises(RuntimeError):
        torch.jit.load(broken)
    assert read_tensors(broken).keys() == read_tensors(whole).keys()


@pytest.mark.parametrize(
    ("count", "size", "reason"),
    [(99, 4, "holds 4 numbers"), (4, 99, "out of bounds")],
)
def test_a_view_beyond_its_storage_is_refused(
    count: int, size: int, reason: str, tmp_path: Path
) -> None:
    class Views(pickle.Pickler):
        def persistent_id(self, obj: object) -> object:
            storage = torch.FloatStorage
            return ("storage", storage, "0", "cpu", count) if obj == "here" else None

    class View:
        def __reduce__(self) -> object:
            return torch._utils._rebuild_tensor_v2, ("here", 0, (size,), (1,), False, {})

    tree = io.BytesIO()
    Views(tree, protocol=2).dump({"weight": View()})
    path = tmp_path / "views.pt"
    with zipfile.ZipFile(path, "w") as new:
        new.writestr("a/constants.pkl", b"")
        new.writestr("a/data.pkl", tree.getvalue())
        new.writestr("a/data/0", torch.zeros(4).numpy().tobytes())
    with pytest.raises(WeightsError, match=reason):
        read_tensors(path)


def test_a_checkpoint_is_no_torchscript(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(b"no zip file")
    assert not is_torchscript(tmp_path / "a.pth")
    assert not is_torchscript(tmp_path / "b.pth")
    assert is_torchscript(archive(tmp_path / "c.pt", "script"))


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.pt", "trace").read_bytes()
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"damaged\.pt"):
        read_tensors(damaged)
