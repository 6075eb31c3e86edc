"""Tensors from files: read without running code, and fitted strictly into a network."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mora.checkpoints.torchscript import is_torchscript, read_torchscript

Network = TypeVar("Network", bound=nn.Module)

_SHOWN = 20
"""Names that an error lists of each kind before it only counts the rest."""


class WeightsError(ValueError):
    """A file of weights is absent, unreadable, not the one that is meant, or does not fit."""


def read_tensors(path: Path, key: str | None = None) -> dict[str, Tensor]:
    """Reads a file of tensors onto the CPU: safetensors by its suffix, else a torch checkpoint.

    No file can run code: a torch checkpoint is unpickled with `weights_only=True`, and of a
    TorchScript archive the tensors are read and the program is not.

    Args:
        path: The file.
        key: Entry of a torch checkpoint that holds the tensors; `None` where they lie at the top.

    Raises:
        WeightsError: There is no such file, it cannot be read as weights, or it holds something
            other than tensors by name.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file of weights")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise WeightsError(
                f"{path}: expected safetensors, could not read it: {error}"
            ) from error
    try:
        stored = (
            read_torchscript(path)
            if is_torchscript(path)
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # many kinds are raised, according to what the bytes look like
        raise WeightsError(
            f"{path}: expected a torch checkpoint of tensors alone, could not read it: "
            f"{_reason(error)}"
        ) from error
    if key is not None:
        if not isinstance(stored, dict) or key not in stored:
            found = sorted(map(str, stored)) if isinstance(stored, dict) else type(stored).__name__
            raise WeightsError(f"{path}: expected an entry {key!r}, found {found}")
        stored = stored[key]
    if not isinstance(stored, dict):
        raise WeightsError(f"{path}: expected tensors by name, found {type(stored).__name__}")
    strangers = {name: value for name, value in stored.items() if not isinstance(value, Tensor)}
    if strangers:
        kinds = [f"{name} ({type(value).__name__})" for name, value in strangers.items()]
        raise WeightsError(f"{path}: expected tensors by name, found also {_listed(kinds)}")
    return dict(stored)


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Fills `module` with `tensors`, and accepts nothing missing, extra or of another shape.

    Floating-point tensors of any precision are converted to the module's.

    Args:
        module: Gets the weights: copies, on the device that it is on; or, if it is on the meta
            device, the tensors themselves.
        tensors: What the file holds.
        source: The file, for the error.

    Raises:
        WeightsError: Names every missing and every extra tensor and every difference of shape.
    """
    own = module.state_dict()
    missing = sorted(set(own) - set(tensors))
    extra = sorted(set(tensors) - set(own))
    misfits = [
        f"{name} {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in sorted(own.items())
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    faults = [
        f"{what}: {_listed(found)}"
        for what, found in (("missing", missing), ("extra", extra), ("of another shape", misfits))
        if found
    ]
    if faults:
        raise WeightsError(
            f"{source}: these are not the weights of this {type(module).__name__}; "
            + "; ".join(faults)
            + "; give the file that belongs to the card"
        )
    converted = {name: tensor.to(own[name].dtype) for name, tensor in tensors.items()}
    module.load_state_dict(converted, assign=any(tensor.is_meta for tensor in own.values()))


def filled(
    build: Callable[[], Network], tensors: Mapping[str, Tensor], source: Path, device: torch.device
) -> Network:
    """Builds a network and fills it strictly, ready to infer.

    Its own random weights are never made, and tensors that need no conversion are not copied: a
    network of 1.7 GB takes 1.7 GB while it is loaded, not twice that.

    Args:
        build: Makes the network.
        tensors: What the file holds.
        source: The file, for the error.
        device: Where the network goes.

    Raises:
        WeightsError: A tensor is missing, left over or of another shape.
    """
    with init_empty_weights(include_buffers=False):
        network = build()
    load_strictly(network, tensors, source)
    return network.to(device).eval().requires_grad_(requires_grad=False)


def _reason(error: Exception) -> str:
    """Why a file could not be read, in one line; of what torch refuses, the name."""
    refused = re.search(r"GLOBAL ([\w.]+)", str(error))
    if refused:
        return f"it asks for {refused[1]}, which is no tensor; nothing in it was run"
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _listed(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
