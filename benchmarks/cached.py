"""Overhead of a video whose scores are all known: lookup, ledger, report of progress.

    python -m benchmarks.cached

Records alone: there are no videos, since none is decoded. The miniature weights are read for their
fingerprints.
"""

import argparse
import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from eval import engine
from eval.cache import Cache, ScoreCache
from eval.ledger import Ledger
from eval.plan import make_plan
from metrics.networks import Networks
from metrics.protocol import load_protocol
from metrics.registry import METRICS, make_metrics
from mora.checkpoints import mini_weights
from mora.records import MediaRef, Score, Video

FRAMES = 25
EIGHT = tuple(METRICS)[:8]
"""VBench's."""


def records(count: int) -> list[Video]:
    """Videos that are nowhere."""
    return [
        Video(
            id=f"{number:020x}",
            model="none",
            prompt_id=f"p{number}",
            text=f"a circle, take {number}",
            media=MediaRef(
                sha256=f"{number:064x}",
                path=f"media/{number}.mp4",
                kind="video",
                width=1024,
                height=576,
                frames=FRAMES,
                fps=8.0,
            ),
        )
        for number in range(count)
    ]


def main() -> None:
    """Measures, and prints milliseconds a video and bytes a video."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=2000)
    count = parser.parse_args().videos
    protocol = load_protocol("sound")
    networks = Networks("mini", mini_weights(), torch.device("cpu"))
    videos, chance = records(count), random.Random(0)
    with TemporaryDirectory() as folder, Cache.open(Path(folder) / "scores.sqlite") as file:
        cache = ScoreCache(file, "benchmark")
        with Ledger.open(Path(folder) / "run", {}) as ledger:
            ledger.add_videos(videos)
            work = make_plan(ledger, make_metrics(EIGHT, protocol), networks)
            began = time.perf_counter()
            for video in videos:
                scores = [
                    Score(
                        video_id=video.id,
                        metric=name,
                        fingerprint=work.fingerprints[name].id,
                        value=chance.random(),
                        per_frame=tuple(chance.random() for _ in range(FRAMES)),
                    )
                    for name in EIGHT
                ]
                cache.keep(work, video, scores)
            kept = time.perf_counter() - began
            began = time.perf_counter()
            last = engine.evaluate(ledger, protocol, networks, metrics=EIGHT, cache=cache)
            found = time.perf_counter() - began
            assert last.cached == count * len(EIGHT)
            assert len(ledger.all_scores()) == count * len(EIGHT)
        print(f"{count} videos, {len(EIGHT)} metrics, series of {FRAMES} values")
        print(f"kept:  {1000 * kept / count:.2f} ms a video")
        print(f"found: {1000 * found / count:.2f} ms a video, in the run's ledger")
        print(f"size:  {file.size / count:.0f} bytes a video in the cache")


if __name__ == "__main__":
    main()
