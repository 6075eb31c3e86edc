"""`mora doctor`: what this machine has, and what can and cannot run on it."""

import math
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psutil

from mora import __version__
from mora.agents.binding import validate_agents
from mora.agents.pipelines import PipelineSettings
from mora.checkpoints import CheckpointError, folder_sha256, mini_weights
from mora.cli.application import Settings, run
from mora.cli.runs import RUNS, torch_device

PACKAGES: Final = ("torch", "diffusers", "transformers", "open_clip_torch", "pyiqa", "av")
DEMO_MEMORY: Final = 4e9
"""Bytes of memory that `mora demo` stays below."""
DEMO_DISK: Final = 1e8
"""Bytes that a run of `mora demo` stays below."""


@dataclass(frozen=True)
class Finding:
    """Something that was looked at.

    Attributes:
        name: What.
        found: What was found.
        fine: Whether that is enough; `None` for what is only told.
    """

    name: str
    found: str
    fine: bool | None = None


def main(arguments: Sequence[str]) -> int:
    """Carries out `mora doctor`."""
    return run("doctor", arguments, doctor)


def doctor(settings: Settings) -> int:
    """Prints all findings and what follows. Returns 1 if the demo or the agents cannot run."""
    device = torch_device(settings["executor"]["device"])
    groups = {
        "Machine": list(machine(device)),
        "Media": [h264()],
        "Agents": list(agents(settings["agents"], device)),
        "Metrics": list(metric_weights()),
    }
    for title, findings in groups.items():
        print(title)
        for finding in findings:
            mark = {True: "ok", False: "NO", None: ""}[finding.fine]
            print(f"  {mark:3}{finding.name:17}{finding.found}")
        print()
    needs = {
        f"mora generate agents={settings['agents']['name']}": ("Machine", "Media", "Agents"),
        "mora evaluate weights=mini": ("Machine", "Media", "Metrics"),
    }
    status = 0
    for command, titles in needs.items():
        lacking = [each.name for title in titles for each in groups[title] if each.fine is False]
        status = 1 if lacking else status
        print(f"{command}: " + (f"cannot run, for {', '.join(lacking)}" if lacking else "can run"))
    return status


def machine(device: str) -> Iterator[Finding]:
    """Python, packages, device, cores, memory, disk."""
    python = sys.version_info[:2]
    yield Finding("Python", platform.python_version(), (3, 11) <= python < (3, 14))
    yield Finding("Mora bench", __version__)
    for package in PACKAGES:
        try:
            yield Finding(package, version(package), True)
        except PackageNotFoundError:
            yield Finding(package, "not installed; set the project up again", False)
    yield Finding("device", _device(device), True)
    yield Finding("cores", str(_cores()))
    memory = psutil.virtual_memory()
    found = f"{_size(memory.available)} free of {_size(memory.total)}"
    enough = memory.available >= DEMO_MEMORY
    yield Finding("memory", f"{found}; the demo needs {_size(DEMO_MEMORY)}", enough)
    place = next(each for each in (RUNS.absolute(), *RUNS.absolute().parents) if each.exists())
    free = shutil.disk_usage(place).free
    yield Finding("disk", f"{_size(free)} free at {place}", free >= DEMO_DISK)


def _cores() -> int | None:
    """Cores that this process may use, as far as the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _device(device: str) -> str:
    import torch

    if not device.startswith("cuda"):
        return f"{device}, {torch.get_num_threads()} threads"
    properties = torch.cuda.get_device_properties(device)
    return f"{device}, {properties.name}, {_size(properties.total_memory)}"


def h264() -> Finding:
    """Whether H.264 can be written and read back with exact frames and rate."""
    import numpy as np

    from mora.media import DECODER, MediaError, read_video, write_video

    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    frames = np.broadcast_to(ramp[None, None, :, None], (5, 48, 64, 3)).copy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ramp.mp4"
        try:
            write_video(path, frames, 7)
            clip = read_video(path)
        except (MediaError, OSError, ValueError) as error:
            return Finding("H.264", f"cannot be written and read: {error}", False)
    exact = clip.frames.shape == frames.shape and clip.fps == 7
    off = float(np.abs(clip.frames.astype(float) - frames).mean())
    found = f"written and read back, {off:.1f} of 255 off on average ({DECODER})"
    return Finding("H.264", found, exact and off < 4)


def agents(settings: Mapping[str, Any], device: str) -> Iterator[Finding]:
    """The weights of the agents that are pipelines, and whether the device suits them.

    Raises:
        SettingError: A setting of the agents is missing, unknown or wrong.
    """
    chosen = validate_agents(settings)
    pipelines: dict[str, PipelineSettings] = {
        "text_to_image": chosen.text_to_image,
        "image_to_video": chosen.image_to_video,
    }
    for role, pipeline in pipelines.items():
        source = pipeline.weights
        if not source.startswith("hub:"):
            folder = (
                mini_weights() / source.removeprefix("mini:")
                if source.startswith("mini:")
                else Path(source).expanduser()
            )
            yield _folder(role, folder)
        elif pipeline.revision is None:
            yield Finding(role, f"{source} needs revision=, a commit on the hub", False)
        else:
            yield _hub(role, source.removeprefix("hub:"), pipeline.revision)
        if pipeline.dtype == "float16" and device.startswith("cpu"):
            yield Finding(role, "is set to float16, which needs a GPU", False)


def _hub(role: str, name: str, revision: str) -> Finding:
    from huggingface_hub import try_to_load_from_cache

    here = isinstance(try_to_load_from_cache(name, "model_index.json", revision=revision), str)
    state = "in the hub's cache" if here else "not here yet; fetched from the hub when first used"
    return Finding(role, f"{name} at {revision[:12]}, {state}", True if here else None)


def _folder(role: str, folder: Path) -> Finding:
    try:
        digest = folder_sha256(folder)
    except CheckpointError as error:
        return Finding(role, str(error), False)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Finding(role, f"{_size(size)}, sha256 {digest[:12]}, {folder}", True)


def metric_weights() -> Iterator[Finding]:
    """The miniature weights of the metrics' networks."""
    import torch

    from metrics.networks import BACKBONES, MissingWeightsError, Networks

    networks = Networks("mini", mini_weights(), torch.device("cpu"))
    for name in BACKBONES:
        path = networks.path(name)
        try:
            networks.check([name])
        except MissingWeightsError:
            yield Finding(name, f"{path} is missing", False)
            continue
        digest = networks.checkpoints([name])[networks.card(name).name]
        yield Finding(name, f"{_size(path.stat().st_size)}, sha256 {digest[:12]}, {path}", True)


def _size(count: float) -> str:
    """A number of bytes as a person reads it."""
    power = min(3, int(math.log10(max(count, 1)) // 3))
    return f"{count / 1000**power:.{1 if power else 0}f} {('B', 'kB', 'MB', 'GB')[power]}"
