"""What each metric costs with the official networks: parameters, FLOPs, CPU seconds, memory.

    python -m benchmarks.cost --save                     all metrics, 16 frames of 576 x 1024
    python -m benchmarks.cost --save --size 2160x3840    the same of 4K
    python -m benchmarks.cost motion_smoothness --size 2160x3840 --protocol paper
    python -m benchmarks.cost --device cuda              memory of a GPU, too

Each metric runs in a process of its own, from weights in a file to a score in a ledger, as
`mora evaluate` does it. The weights are those of the golden cases, in files of the published names,
shapes and precisions: neither time nor memory depends on their values.

Memory is the largest resident set of the process, as Linux counts it. Seconds are those that the
processor worked, all threads together, so that other work on the machine hardly counts. FLOPs are
counted by `torch.utils.flop_counter` in a run of their own; a multiplication with its addition
counts as two. Both are for a frame, or for a pair of frames that a network saw, or for the video.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from metrics.protocol import protocol_names
from metrics.registry import METRICS
from mora.media import ref, write_video
from mora.records import Video

FIGURES = Path(__file__).with_suffix(".json")
EIGHT = tuple(METRICS)[:8]
DEFAULT_SIZE = "576x1024"
UNITS = {"motion_smoothness": "pair", "dynamic_degree": "pair", "temporal_style": "video"}


def write_clip(folder: Path, count: int, height: int, width: int, fps: float) -> None:
    """Writes a clip in which a texture moves by two pixels a frame, and its record."""
    path = folder / "clip.mp4"
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 3, height // 8 + 8, width // 8 + 8), dtype=np.float32))
    texture = nn.functional.interpolate(coarse, scale_factor=8, mode="bicubic")[0].clamp(0, 1)
    levels = (texture * 255).byte().permute(1, 2, 0).numpy()
    frames = np.stack([levels[:height, 2 * t : 2 * t + width] for t in range(count)])
    write_video(path, frames, fps)
    video = Video(id="clip", model="texture", media=ref(path, folder))
    (folder / "clip.json").write_text(video.model_dump_json())


def measured(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures one metric; its weights are made by another process."""
    height, width = map(int, arguments.size.split("x"))
    # All pairs cost the same: with 16 frames of 60 a second there is one to be measured.
    fps = 60.0 if name == "dynamic_degree" else 8.0
    with tempfile.TemporaryDirectory() as folder:
        child = [sys.executable, "-m", "benchmarks.one_metric", name, "--weights", folder]
        child += ["--protocol", arguments.protocol, "--device", arguments.device]
        subprocess.run([*child, "--write"], check=True)

        def run(*options: str) -> dict[str, Any]:
            with tempfile.TemporaryDirectory() as place:
                write_clip(Path(place), arguments.frames, height, width, fps)
                command = [*child, *options, "--run", place]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            return figures

        row = run()
        if arguments.save and arguments.size == DEFAULT_SIZE:
            row["flops"] = run("--flops")["flops"]
    counts = {"pair": max(1, row["values"]), "video": 1, "frame": arguments.frames}
    count = counts[UNITS.get(name, "frame")]
    del row["values"]
    row["flops"], row["seconds"] = row["flops"] / count, row["seconds"] / count
    return row


def sentence(name: str, row: dict[str, Any]) -> str:
    """The figures as the metric's page tells them."""
    unit = UNITS.get(name, "frame")
    operations = f"{row['flops'] / 1e12:.2g} TFLOPs"
    if row["flops"] < 1e12:
        operations = f"{row['flops'] / 1e9:.3g} GFLOPs"
    return (
        f"{row['parameters'] / 1e6:.1f} million parameters; {operations} and "
        f"{row['seconds']:.2g} CPU seconds a {unit} at 576×1024 (machine class: two CPU cores); "
        f"at most {row['peak_gb']:.1f} GB of host memory."
    )


def table(figures: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Memory by metric and size, as docs/metrics.md shows it."""
    sizes = [size.replace("x", "×") for size in figures]
    lines = [["metric", *(f"GB at {size}" for size in sizes)], ["---"] * (1 + len(sizes))]
    for name in EIGHT:
        peaks = [f"{rows[name]['peak_gb']:.1f}" for rows in figures.values()]
        lines.append([name.replace("_", " "), *peaks])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measures the metrics one by one and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("metrics", nargs="*", default=list(EIGHT), metavar="METRIC")
    parser.add_argument("--size", default=DEFAULT_SIZE, help="height x width, in pixels")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--protocol", default="vbench", choices=protocol_names())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--save", action="store_true", help="write cost.json; count FLOPs, too")
    arguments = parser.parse_args()
    for name in arguments.metrics:
        row = measured(name, arguments)
        print(json.dumps({"metric": name, "size": arguments.size} | row), flush=True)
        if arguments.save:
            saved = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
            saved.setdefault(arguments.size, {})[name] = row
            FIGURES.write_text(json.dumps(saved, indent=1) + "\n")


if __name__ == "__main__":
    main()
