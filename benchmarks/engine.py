"""The engine against the naive way: seconds a video, where they go, memory.

    python -m benchmarks.engine                               miniature networks, on this machine
    python -m benchmarks.engine --weights official            published sizes, random weights
    python -m benchmarks.engine --weights official --device cuda --size 576x1024 --frames 25

Clips are made: a texture moves. Each way scores the same clips, one way after the other in one
process, after a clip that does not count. What is told of the engine is from files to scores in a
ledger. Weights are random, so the drift of `fast` from `exact` is a lead only.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.cost import EIGHT, write_clip
from benchmarks.naive import METRICS as NAIVE
from benchmarks.random_networks import RandomNetworks
from eval import engine, scoring
from eval.executors import Local
from eval.ledger import Ledger
from metrics.networks import Networks, Precision
from metrics.protocol import load_protocol
from mora.media import ref
from mora.records import Prompt, Request, Video

PROMPT = "a texture moves left"


def write_clips(folder: Path, count: int, frames: int, size: str, fps: float) -> list[Path]:
    """Writes clips of one content, each with a length of its own name, and gives their files."""
    height, width = map(int, size.split("x"))
    paths = []
    for number in range(count):
        place = folder / f"{number}"
        place.mkdir(parents=True)
        write_clip(place, frames, height, width, fps)
        paths.append((place / "clip.mp4").rename(folder / f"{number}.mp4"))
    return paths


@contextmanager
def timed(figures: dict[str, Any], name: str, device: torch.device) -> Iterator[None]:
    """Adds the seconds and the peak of GPU memory of a block to the figures."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize()
        figures[f"{name}_gpu_gb"] = torch.cuda.max_memory_allocated() / 1e9
    figures[f"{name}_s"] = time.perf_counter() - began


def naive(paths: list[Path], networks: Networks, names: list[str]) -> dict[str, float]:
    """Scores videos the naive way; seconds of each metric for all of them together."""
    seconds = {}
    with scoring.exact():
        for name in names:
            began = time.perf_counter()
            for path in paths:
                float(NAIVE[name](path, PROMPT, networks))
            seconds[name] = time.perf_counter() - began
    return seconds


def scored(
    paths: list[Path], folder: Path, networks: Networks, names: list[str], at_once: int | None
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Scores videos by the engine.

    Returns:
        Seconds of each metric for all of them together, and each metric's scores.
    """
    folder.mkdir()
    requests = [
        Request(model="texture", recipe="none", seed=number, prompt=Prompt(id=str(number),
                text=PROMPT)) for number in range(len(paths))
    ]  # fmt: skip
    videos = [
        Video(id=request.id, model="texture", media=ref(path, path.parent), text=PROMPT)
        for request, path in zip(requests, paths, strict=True)
    ]
    videos = [
        each.model_copy(update={"media": each.media.model_copy(update={"path": str(path)})})
        for each, path in zip(videos, paths, strict=True)
        if each.media is not None
    ]
    with Ledger.open(folder, {}) as ledger:
        ledger.add_requests(requests)
        ledger.add_videos(videos)
        engine.evaluate(
            ledger, load_protocol("sound"), networks, metrics=names, executor=Local(at_once)
        )
        seconds = dict.fromkeys(names, 0.0)
        values: dict[str, list[float]] = {name: [] for name in names}
        for score in ledger.all_scores():
            if score.value is None:
                sys.exit(f"{score.metric}: {score.failure}")
            seconds[score.metric] += score.seconds
            values[score.metric].append(score.value)
    return seconds, values


def main() -> None:
    """Reads the command line, measures and prints a table; JSON goes to `--out`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="mini", choices=("mini", "official"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="128x128", help="height x width, in pixels")
    parser.add_argument("--frames", type=int, default=14)
    parser.add_argument("--fps", type=float, default=8.0)
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--metrics", default=",".join(EIGHT))
    parser.add_argument("--at-once", type=int, default=None, help="videos held decoded at once")
    parser.add_argument("--precision", default="exact", help="exact, fast, or exact,fast")
    parser.add_argument("--no-naive", action="store_true")
    parser.add_argument("--naive-videos", type=int, default=None, help="fewer, the naive way")
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args()
    device, names = torch.device(given.device), given.metrics.split(",")
    precisions: list[Precision] = given.precision.split(",")
    figures: dict[str, Any] = {key: str(value) for key, value in vars(given).items()}
    figures["threads"] = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        size = (given.frames, given.size, given.fps)
        first = write_clips(folder / "first", 1, *size)
        paths = write_clips(folder / "clips", given.videos, *size)
        scores: dict[str, dict[str, list[float]]] = {}
        for precision in precisions:
            networks = RandomNetworks(given.weights, device, precision)
            # Three videos, so that what is recorded on a GPU is recorded before.
            scored(first * 3, folder / f"warm-{precision}", networks, names, given.at_once)
            with timed(figures, precision, device):
                found = scored(paths, folder / precision, networks, names, given.at_once)
            figures[precision], scores[precision] = found
        if not given.no_naive:
            networks = RandomNetworks(given.weights, device)
            naive(first, networks, names)
            some = paths[: given.naive_videos]
            with timed(figures, "naive", device):
                figures["naive"] = naive(some, networks, names)
            share = len(paths) / len(some)
            figures["naive"] = {name: share * each for name, each in figures["naive"].items()}
            figures["naive_s"] *= share
    if len(scores) == 2:
        figures["drift"] = {
            name: max(abs(a - b) for a, b in zip(scores["exact"][name], each, strict=True))
            for name, each in scores["fast"].items()
        }
    if given.out:
        given.out.write_text(json.dumps(figures, indent=1) + "\n")
    ways = [way for way in ("exact", "fast", "naive") if way in figures]
    print(f"{'seconds a video':24}" + "".join(f"{way:>10}" for way in ways))
    for name in names:
        print(f"{name:24}" + "".join(f"{figures[w][name] / given.videos:10.4f}" for w in ways))
    print(f"{'all':24}" + "".join(f"{figures[w + '_s'] / given.videos:10.4f}" for w in ways))
    for way in ways:
        if "naive" in figures and way != "naive":
            ratio = figures["naive_s"] / figures[f"{way}_s"]
            print(f"{way} is {ratio:.2f} times as fast as the naive way")
        if f"{way}_gpu_gb" in figures:
            print(f"{way}: at most {figures[way + '_gpu_gb']:.2f} GB of GPU memory")
    for name, drift in figures.get("drift", {}).items():
        print(f"fast drifts from exact by at most {drift:.1e} in {name}")


if __name__ == "__main__":
    main()
