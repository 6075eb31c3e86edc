"""Weights of the family, loaded strictly: the published files, or a folder with its sizes."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Final

import torch
from pydantic import TypeAdapter

from mora.checkpoints.tensors import WeightsError, filled, read_tensors
from mora.models.lavie.blocks import UNetSettings
from mora.models.lavie.unet import UNet

CONFIG: Final = "config.json"
"""File of a folder that holds the network's sizes, the fields of `UNetSettings`."""
TENSORS: Final = "model.safetensors"
"""File of a folder that holds the tensors."""


def load(path: Path, settings: UNetSettings, device: torch.device) -> UNet:
    """Loads a published checkpoint, such as `seine.pt`, ready to infer.

    Args:
        path: A torch checkpoint with the tensors under `ema`, or the same tensors alone as
            safetensors. No code in it is run.
        settings: Sizes of the network.
        device: Where the network goes.

    Raises:
        WeightsError: There is no such file, it cannot be read as weights, or its tensors are not
            those of this network; names what is missing, left over or of another shape.
    """
    return filled(lambda: UNet(settings), read_tensors(path, "ema"), path, device)


def load_folder(folder: Path, device: torch.device) -> UNet:
    """Loads a network whose sizes lie beside its tensors, such as the miniature.

    Args:
        folder: With `config.json` and `model.safetensors`.
        device: Where the network goes.

    Raises:
        WeightsError: A file is missing, states no sizes, or does not fit the other.
    """
    config = folder / CONFIG
    try:
        settings = _sizes(config)
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{config}: expected the sizes of a UNet of the LaVie family: "
            f"{' '.join(str(error).split())}"
        ) from error
    return load(folder / TENSORS, settings, device)


def _sizes(config: Path) -> UNetSettings:
    stated = dict(json.loads(config.read_text()))
    unknown = set(stated) - {field.name for field in fields(UNetSettings)}
    if unknown:
        raise ValueError(f"found {', '.join(sorted(unknown))}")
    return TypeAdapter(UNetSettings).validate_python(stated)
