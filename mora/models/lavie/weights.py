"""The published weights, loaded strictly."""

from pathlib import Path

import torch
from accelerate import init_empty_weights

from mora.errors import SettingError
from mora.models.lavie.blocks import UNetSettings
from mora.models.lavie.unet import UNet


def load(path: Path, settings: UNetSettings, device: torch.device) -> UNet:
    """Loads a published checkpoint, such as `seine.pt`, ready to infer.

    Args:
        path: A torch checkpoint with the tensors under `ema`. No code in it is run.
        settings: Sizes of the network.
        device: Where the network goes.

    Raises:
        SettingError: The tensors are not those of this network; names what is missing, what is
            left over and what has another shape.
    """
    stored = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(stored, dict) or "ema" not in stored:
        found = sorted(map(str, stored)) if isinstance(stored, dict) else type(stored).__name__
        raise SettingError(f"{path}: expected an entry 'ema' with the tensors, found {found}")
    with init_empty_weights(include_buffers=False):
        network = UNet(settings)
    try:
        network.load_state_dict(stored["ema"], assign=True)
    except RuntimeError as error:
        raise SettingError(
            f"{path}: these are not the weights of a network with {settings}; {error}"
        ) from error
    return network.to(device).eval().requires_grad_(requires_grad=False)
