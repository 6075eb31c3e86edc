"""Tensors out of TorchScript archives, without running the program that lies beside them.

A TorchScript archive is a zip file: `data.pkl` holds the tree of modules and which storage each
tensor is a view of, `data/N` the storages, `code/` the program. PyTorch's own reader compiles the
program. Here the tree is read by an unpickler that knows three things: an inert module, a tensor
over a storage, and plain values. All else is refused by its name.
"""

import pickle
import re
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

_DTYPES: Final = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LISTS: Final = {f"build_{kind}list" for kind in ("int", "double", "bool", "tensor")}
_PREFIX: Final = "__torch__."
"""The names of an archive's own classes begin with it, or are it and a class."""


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip file with a program in it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(re.fullmatch(r"[^/]+/constants\.pkl", name) for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Reads the parameters and buffers of a TorchScript archive onto the CPU.

    Args:
        path: The archive.

    Returns:
        Tensors by the names that the program's `state_dict` would give them.

    Raises:
        pickle.UnpicklingError: The archive asks for something else than modules and tensors.
        zipfile.BadZipFile: It is damaged.
        KeyError: It has no data, or lacks a storage.
    """
    with zipfile.ZipFile(path) as archive:
        root = next(name for name in archive.namelist() if "/" in name).split("/")[0]
        names = set(archive.namelist())
        order = f"{root}/byteorder"
        if order in names and archive.read(order).decode() != sys.byteorder:
            raise pickle.UnpicklingError(
                f"its tensors are {archive.read(order).decode()}-endian, this machine is "
                f"{sys.byteorder}-endian"
            )
        with archive.open(f"{root}/data.pkl") as tree:
            module = _Unpickler(tree, archive, root).load()
        if not isinstance(module, _Module):
            raise pickle.UnpicklingError(f"expected a module, found {type(module).__name__}")
        return dict(_tensors(module, archive, root, ""))


class _Module:
    """A module of the archive: its attributes, and the class that its program would have."""

    kind: tuple[str, str] = ("", "")

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise pickle.UnpicklingError("expected a module's attributes by name")
        self.attributes: dict[str, object] = dict(state)


class _Unpickler(pickle.Unpickler):
    """Makes modules, tensors and plain values, and nothing else."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self._archive = archive
        self._root = root
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Returns an inert stand-in for what a TorchScript archive may name."""
        if f"{module}.".startswith(_PREFIX):
            return type("_Named", (_Module,), {"kind": (module, name)})
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        allowed: dict[tuple[str, str], Callable[..., object]] = {
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
            ("collections", "OrderedDict"): OrderedDict,
            ("torch.jit._pickle", "restore_type_tag"): lambda value, _: value,
        }
        if module == "torch.jit._pickle" and name in _LISTS:
            return list
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no tensor")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        """Returns a storage as a flat tensor."""
        _, dtype, key, _, count = pid
        if key not in self._storages:
            info = self._archive.getinfo(f"{self._root}/data/{key}")
            if info.compress_type != zipfile.ZIP_STORED:
                raise pickle.UnpicklingError(f"its storage {key} is compressed")
            content = bytearray(self._archive.read(info))
            flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0)
            self._storages[key] = flat.to(dtype)
        flat = self._storages[key]
        if flat.dtype != dtype or len(flat) < count:
            raise pickle.UnpicklingError(
                f"its storage {key} holds {len(flat)} numbers of {flat.dtype}, "
                f"expected {count} of {dtype}"
            )
        return flat


def _rebuild(
    storage: Tensor,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    *_: object,
) -> Tensor:
    """A view of a storage. Torch refuses one that reaches beyond it."""
    return storage.as_strided(size, stride, offset)


def _tensors(
    module: _Module, archive: zipfile.ZipFile, root: str, prefix: str
) -> Iterator[tuple[str, Tensor]]:
    registered = _registered(module, archive, root)
    for name, value in module.attributes.items():
        if isinstance(value, Tensor) and (registered is None or name in registered):
            yield f"{prefix}{name}", value
        elif isinstance(value, _Module):
            yield from _tensors(value, archive, root, f"{prefix}{name}.")


def _registered(module: _Module, archive: zipfile.ZipFile, root: str) -> set[str] | None:
    """Parameters and buffers as the program's text lists them; `None` where it lists none.

    A module may hold further tensors, which are no part of its state. The text is only searched.
    """
    place, name = module.kind
    path = f"{root}/code/{place.replace('.', '/')}.py"
    if path not in archive.namelist():
        return None
    text = archive.read(path).decode()
    found = re.search(
        rf"^class {re.escape(name)}\(Module\):\n"
        r"  __parameters__ = \[(?P<parameters>.*)\]\n"
        r"  __buffers__ = \[(?P<buffers>.*)\]\n",
        text,
        re.MULTILINE,
    )
    if found is None:
        return None
    return set(re.findall(r'"([^"]+)"', found["parameters"] + found["buffers"]))
