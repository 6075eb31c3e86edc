"""Trains all miniature models, several at once on one card: `python -m lab.train.together`.

They run in two lanes side by side, one process a model, so that one computes while the other loads,
renders its pool or measures. More lanes gain nothing: processes take turns on a card. Within a lane
each waits for the one before, which is also how the diffusion models get the autoencoder that they
need. A second call resumes where the first was
stopped: finished models are not trained again.
"""

import argparse
import concurrent.futures
import subprocess
import sys
import time
from pathlib import Path

LANES: tuple[tuple[tuple[str, float], ...], ...] = (
    (("temporal_autoencoder", 0.43), ("image_to_video", 0.57)),
    (
        ("image_autoencoder", 0.12),
        ("text_to_image", 0.32),
        ("clip", 0.12),
        ("aesthetic", 0.02),
        ("raft", 0.11),
        ("amt", 0.09),
        ("viclip", 0.14),
        ("musiq", 0.04),
        ("dino", 0.04),
    ),
)
"""Models of each lane in order, with their share of the lane's time."""

STARTING_SECONDS = 25.0
"""Time that a process needs before its first step: imports and the pool of scenes."""


def train_lane(lane: tuple[tuple[str, float], ...], out: Path, seconds: float, device: str) -> None:
    """Trains one lane's models one after the other, each in a process of its own.

    Args:
        lane: Models and their shares of the time.
        out: Folder for weights, checkpoints and logs.
        seconds: Wall-clock time of the whole lane.
        device: Torch device.
    """
    started = time.monotonic()
    used = 0.0
    for model, share in lane:
        used += share
        done = out / f"{model}.done"
        if done.exists():
            continue
        # What an earlier model left over, or took too long, is this one's gain or loss.
        remaining = started + used * seconds - time.monotonic() - STARTING_SECONDS
        command = [sys.executable, "-m", "lab.train", model, "--out", str(out)]
        command += ["--device", device, "--seconds", f"{max(remaining, 5.0):.0f}"]
        with (out / f"{model}.out").open("a") as log:
            code = subprocess.run(  # noqa: S603  the command is made of names of this module
                command, stdout=log, stderr=subprocess.STDOUT, check=False
            ).returncode
        print(f"{time.monotonic() - started:6.0f} s  {model}: exit {code}", flush=True)
        if code == 0:
            done.touch()


def main() -> None:
    """Reads the command line and trains all lanes side by side."""
    parser = argparse.ArgumentParser(prog="python -m lab.train.together", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs/lab"))
    parser.add_argument("--seconds", type=float, default=1400.0, help="wall-clock time of a lane")
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(len(LANES)) as lanes:
        for future in [
            lanes.submit(train_lane, lane, given.out, given.seconds, given.device) for lane in LANES
        ]:
            future.result()


if __name__ == "__main__":
    main()
