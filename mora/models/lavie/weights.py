"""The published weights, loaded strictly."""

from pathlib import Path

import torch

from mora.checkpoints.tensors import filled, read_tensors
from mora.models.lavie.blocks import UNetSettings
from mora.models.lavie.unet import UNet


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
