"""What the last digits of a score, and the time that it takes, depend on besides its fingerprint.

Scores of one fingerprint compare with each other, wherever they were computed. They are not the
same to the last bit on another device, with another number of threads, or with other libraries; and
while a metric is being worked on, the version in the fingerprint stays and its code does not. The
cache promises the very bits that would be computed now, so all of this is in its keys.
"""

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import torch

import metrics
import mora.media
from mora.records import content_hash

LIBRARIES: Final = (
    "numpy",
    "open_clip_torch",
    "pyiqa",
    "timm",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
)
"""Libraries that numbers come from; the decoder's are in the fingerprint."""


def device_name(device: torch.device) -> str:
    """What a device is, in words: a GPU's name, or the processor's and the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{_processor()}, {torch.get_num_threads()} threads"
    return device.type


def environment(device: str) -> str:
    """Names all that bits depend on and no fingerprint holds, as a hash.

    Args:
        device: Name of what computes, as `device_name` gives it.
    """
    return content_hash([device, _libraries(), _source()])


@cache
def _processor() -> str:
    """Name of the processor. Linux has it in a file only."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


@cache
def _libraries() -> dict[str, str]:
    found = {"torch": str(torch.__version__)}  # with the build, such as +cu126
    for name in LIBRARIES:
        try:
            found.setdefault(name, version(name))
        except PackageNotFoundError:
            found[name] = "none"
    return found


@cache
def _source() -> str:
    """Sha256 of the program text that makes a score of a video."""
    engine = Path(__file__).parents[1]
    rooms = (Path(str(room.__file__)).parent for room in (metrics, mora.media))
    files = [*engine.glob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
