"""What the verbs share: where runs are, numbers in settings, torch's devices."""

import logging
from pathlib import Path
from typing import Final

from mora.errors import SettingError

RUNS: Final = Path("results") / "runs"
"""Folder of the runs that are given by name, below the current one."""


def run_folder(name: str) -> Path:
    """Returns the folder of a run: a path if it has a slash in it, else a name below `RUNS`."""
    is_path = "/" in name or name in (".", "..")
    return Path(name).expanduser() if is_path else RUNS / name


def whole_number(name: str, value: object, least: int) -> int:
    """Returns the value of a setting that counts something.

    Raises:
        SettingError: It is not a whole number, or less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingError(f"{name}={value}: expected a whole number, at least {least}.")
    return value


def torch_device(setting: str) -> str:
    """Returns the torch device that a setting means; `auto` is a GPU if there is one.

    Raises:
        SettingError: There is no such device.
    """
    import torch

    if setting == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=setting)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SettingError(f"executor.device={setting}: {reason}") from None
    return setting


def quieten() -> None:
    """Silences a warning that concerns nobody here.

    bitsandbytes, which diffusers imports where it is installed, misses kernels for 4-bit weights.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
