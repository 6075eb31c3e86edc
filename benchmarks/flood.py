"""Many short videos, one after the other: does memory or speed change on the way?

    python -m benchmarks.flood --save          2,000 videos, miniature networks, on this machine

Every 20 videos the resident memory and the time are noted. `--save` writes the figures and draws
docs/images/flood.svg.
"""

import argparse
import json
import shutil
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import torch

from benchmarks.random_networks import RandomNetworks
from eval import engine
from eval.ledger import Ledger
from metrics.networks import Networks
from metrics.protocol import load_protocol
from metrics.registry import METRICS
from mora.checkpoints import mini_weights
from mora.media import ref, write_video
from mora.records import Video

FIGURES = Path(__file__).with_suffix(".json")
PLOT = Path(__file__).parents[1] / "docs" / "images" / "flood.svg"
EVERY = 20
DISTINCT = 40
"""Different clips among the videos; the rest are copies, which cost the engine the same."""


def write_clips(folder: Path, frames: int) -> list[Path]:
    """Writes small clips of noise that fades into other noise."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(DISTINCT):
        ends = rng.integers(0, 256, (2, 16, 16, 3)).repeat(8, axis=1).repeat(8, axis=2)
        share = np.linspace(0, 1, frames)[:, None, None, None]
        clip = (ends[0] * (1 - share) + ends[1] * share).astype(np.uint8)
        paths.append(folder / f"{number}.mp4")
        write_video(paths[-1], clip, 8.0)
    return paths


def flood(count: int, frames: int, names: list[str], networks: Networks) -> list[dict[str, float]]:
    """Scores videos, and tells memory and time on the way."""
    process, noted = psutil.Process(), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        clips = write_clips(folder, frames)
        run = folder / "run"
        run.mkdir()
        videos = []
        for number in range(count):
            path = run / f"{number}.mp4"
            shutil.copy(clips[number % DISTINCT], path)
            media = ref(path, run)
            videos.append(Video(id=str(number), model="noise", media=media, text=f"noise {number}"))
        with Ledger.open(run, {}) as ledger:
            ledger.add_videos(videos)
            began = time.perf_counter()

            def note(now: engine.Progress) -> None:
                if now.done % EVERY == 0:
                    memory, seconds = process.memory_info().rss, time.perf_counter() - began
                    noted.append({"videos": now.done, "gb": memory / 1e9, "seconds": seconds})

            engine.evaluate(ledger, load_protocol("sound"), networks, metrics=names, report=note)
            failed = sum(score.failed for score in ledger.all_scores())
            if failed:
                raise SystemExit(f"{failed} scores failed")
    return noted


def svg(noted: list[dict[str, float]]) -> str:
    """Draws memory and speed over the number of videos."""
    panels = []
    steps = pairwise(noted)
    speeds = [
        (later["videos"] - earlier["videos"]) / (later["seconds"] - earlier["seconds"])
        for earlier, later in steps
    ]
    series = {
        "resident memory, GB": [each["gb"] for each in noted],
        "videos a second": speeds,
    }
    for place, (title, values) in enumerate(series.items()):
        top, most = 30 + 170 * place, max(values) * 1.1
        points = " ".join(
            f"{60 + 600 * index / (len(values) - 1):.1f},{top + 120 * (1 - value / most):.1f}"
            for index, value in enumerate(values)
        )
        panels.append(
            f'<text x="60" y="{top - 8}">{title}</text>'
            f'<path d="M60 {top}V{top + 120}H660" fill="none" stroke="#888"/>'
            f'<text x="54" y="{top + 5}" text-anchor="end">{most:.2g}</text>'
            f'<text x="54" y="{top + 124}" text-anchor="end">0</text>'
            f'<text x="660" y="{top + 138}" text-anchor="end">{noted[-1]["videos"]:.0f} videos'
            "</text>"
            f'<polyline points="{points}" fill="none" stroke="#1d5fa8" stroke-width="1.5"/>'
        )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 350" width="680" height="350" '
        'font-family="sans-serif" font-size="12" role="img">'
        "<title>Memory and speed over many videos</title>"
        '<rect width="680" height="350" fill="#fff"/>' + "".join(panels) + "</svg>\n"
    )


def main() -> None:
    """Measures, and prints the first and the last quarter beside each other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--metrics", default=",".join(tuple(METRICS)[:8]))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--random", action="store_true", help="random weights, none are read")
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    device = torch.device(given.device)
    networks = (
        RandomNetworks("mini", device) if given.random else Networks("mini", mini_weights(), device)
    )
    noted = flood(given.videos, given.frames, given.metrics.split(","), networks)
    quarter = len(noted) // 4
    for name, part in (("first", noted[1 : quarter + 1]), ("last", noted[-quarter:])):
        speed = (part[-1]["videos"] - part[0]["videos"]) / (
            part[-1]["seconds"] - part[0]["seconds"]
        )
        memory = max(each["gb"] for each in part)
        print(f"{name} quarter: {speed:.2f} videos a second, at most {memory:.3f} GB")
    if given.save:
        figures = {"threads": torch.get_num_threads(), "frames": given.frames, "noted": noted}
        FIGURES.write_text(json.dumps(figures) + "\n")
        PLOT.write_text(svg(noted))


if __name__ == "__main__":
    main()
