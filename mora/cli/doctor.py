"""`mora doctor`: what this machine has, and what can and cannot run on it."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mora import __version__
from mora.agents.binding import validate_agents
from mora.agents.pipeline_settings import PipelineSettings
from mora.agents.refiner import RefinerSettings
from mora.checkpoints import CheckpointError, folder_sha256, mini_weights
from mora.cli.application import Settings, run
from mora.cli.evaluate import applicable_metrics, captioning_networks_of, read_videos
from mora.cli.executor import executor_of
from mora.cli.forecast import cache_file, rates_of, room_of, size, time_of, videos_held
from mora.cli.meter import Meter
from mora.cli.runs import RUNS, run_folder, torch_device
from mora.errors import SettingError

if TYPE_CHECKING:
    from eval.cache import Cache
    from eval.ledger import LedgerReader

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
        "Cache": [scores_kept(settings)],
    }
    if settings["run"] is not None or settings["videos"]:
        groups["Evaluation"] = list(evaluation(settings))
    for title, findings in groups.items():
        print(title)
        for finding in findings:
            mark = {True: "ok", False: "NO", None: ""}[finding.fine]
            print(f"  {mark:3}{finding.name:17}{finding.found}")
        print()
    needs = {
        f"mora generate agents={settings['agents']['name']}": ("Machine", "Media", "Agents"),
        "mora evaluate weights=mini": ("Machine", "Media", "Metrics", "Cache"),
    }
    if "Evaluation" in groups:
        needs["this evaluation"] = ("Media", "Cache", "Evaluation")
    status = 0
    for command, titles in needs.items():
        lacking = [each.name for title in titles for each in groups[title] if each.fine is False]
        status = 1 if lacking else status
        print(f"{command}: " + (f"cannot run, for {', '.join(lacking)}" if lacking else "can run"))
    return status


def machine(device: str) -> Iterator[Finding]:
    """Python, packages, device, cores, memory, disk."""
    from eval.forecast.memory import room

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
    memory = room()
    whose = " that this container may use" if memory.contained else ""
    found = f"{size(memory.free)} free of {size(memory.total)}{whose}"
    yield Finding(
        "memory", f"{found}; the demo needs {size(DEMO_MEMORY)}", memory.free >= DEMO_MEMORY
    )
    place = next(each for each in (RUNS.absolute(), *RUNS.absolute().parents) if each.exists())
    free = shutil.disk_usage(place).free
    yield Finding("disk", f"{size(free)} free at {place}", free >= DEMO_DISK)


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
    return f"{device}, {properties.name}, {size(properties.total_memory)}"


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
    pipelines: dict[str, PipelineSettings | RefinerSettings | None] = {
        "text_to_image": chosen.text_to_image,
        "refiner": chosen.text_to_image and chosen.text_to_image.refiner,
        "image_to_image": chosen.image_to_image,
        "image_to_video": chosen.image_to_video,
    }
    for role, pipeline in pipelines.items():
        if pipeline is None:
            continue
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
        if isinstance(pipeline, PipelineSettings):
            place = pipeline.device or device
            if pipeline.dtype == "float16" and place.startswith("cpu"):
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
    count = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Finding(role, f"{size(count)}, sha256 {digest[:12]}, {folder}", True)


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
        yield Finding(name, f"{size(path.stat().st_size)}, sha256 {digest[:12]}, {path}", True)


def scores_kept(settings: Settings) -> Finding:
    """The cache of scores, how large it is, and whether it can be used."""
    from eval.cache import CacheError, ScoreCache

    path = cache_file(settings["cache"])
    if path is None:
        return Finding("scores", "none are kept, with cache=none")
    try:
        with _existing_cache(settings) as cache:
            if cache is None:
                return Finding("scores", f"none are kept yet; they will be in {path}", True)
            found = f"{len(ScoreCache(cache, ''))} in {size(cache.size)}, {path}"
            return Finding("scores", f"{found}; it may be removed when nothing runs", True)
    except CacheError as error:
        return Finding("scores", str(error), False)


def evaluation(settings: Settings) -> Iterator[Finding]:
    """What an evaluation with these settings has to do, and what it is forecast to take.

    Raises:
        SettingError: A setting cannot be used.
        LedgerError: There is no such run.
    """
    from eval.ledger import Ledger

    if not settings["videos"]:
        with Ledger.read(run_folder(settings["run"])) as ledger:
            yield from _evaluation(settings, ledger)
        return
    if settings["run"] is not None:
        raise SettingError("expected run=NAME or videos=DIR, not both.")
    folders = [Path(each) for each in settings["videos"]]
    with tempfile.TemporaryDirectory() as temporary, Meter() as meter:
        found, asked = read_videos(settings, Path(temporary), folders, meter)
        with Ledger.open(Path(temporary), asked) as ledger:
            ledger.add_videos(found)
            yield from _evaluation(settings, ledger)


def _evaluation(settings: Settings, ledger: "LedgerReader") -> Iterator[Finding]:
    from eval.cache import CacheError, ScoreCache, device_name, environment
    from eval.forecast import Forecast, count, forecast
    from eval.forecast.memory import resident, room
    from eval.plan import make_plan
    from metrics.captioners.captioner import NoStore
    from metrics.networks import MissingWeightsError
    from metrics.protocol import Protocol
    from metrics.registry import make_metrics

    protocol = Protocol.model_validate(settings["protocol"])
    networks = captioning_networks_of(settings, NoStore())
    names, _ = applicable_metrics(settings, ledger.videos(), protocol, networks)
    try:
        work = make_plan(
            ledger, make_metrics(names, protocol), networks, retry_failures=settings["retry"]
        )
    except MissingWeightsError as error:
        yield Finding("weights", " ".join(str(error).split()), False)
        return
    lacking = sum(map(len, work.metrics.values()))
    executor = executor_of(settings)
    told: Forecast | None = None
    known: set[tuple[str, str]] = set()
    try:
        with _existing_cache(settings) as cache:
            if cache is not None:
                scores = ScoreCache(cache, environment(device_name(networks.device)))
                for batch in scores.known(work, failures=not settings["retry"]):
                    known |= {(score.video_id, score.metric) for score in batch}
            work = work.without(known)
            todo = count(work, networks)
            if cache is not None:
                told = forecast(
                    todo,
                    rates_of(cache, networks, settings["executor"]),
                    resident=resident(),
                    held=videos_held(executor, networks),
                    gpu=networks.device.type == "cuda",
                )
    except CacheError:
        return  # `scores_kept` tells of it
    yield Finding("videos", f"{len(work.videos)} to score, {todo.frames} frames to decode")
    yield Finding(
        "scores", f"{lacking - len(known)} to compute, {len(known)} known from other runs"
    )
    if not work.videos:
        return
    if told is None:
        yield Finding("forecast", "none: nothing was measured on this device yet")
        return
    yield Finding("time", time_of(told))
    free = room().free
    for name, said in room_of(told).items():
        if name == "memory":
            yield Finding(name, f"{said}; {size(free)} are free", told.memory.value <= free)
        else:
            yield Finding(name, said)


@contextmanager
def _existing_cache(settings: Settings) -> "Iterator[Cache | None]":
    """The cache, if there is one: looking at a machine makes no files on it."""
    from eval.cache import Cache

    path = cache_file(settings["cache"])
    if path is None or not path.exists():
        yield None
        return
    with Cache.open(path) as cache:
        yield cache
