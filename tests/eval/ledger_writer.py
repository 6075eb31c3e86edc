"""Writes a ledger until it is killed: `python ledger_writer.py RUN`."""

import sys
from pathlib import Path

from eval.ledger import Ledger
from mora.records import Fingerprint, MediaRef, Score, Video

SETTINGS = {"task": {"name": "text_to_video", "steps": 25}, "device": "cpu"}


def video(number: int, sha256: str = "0", model: str = "mora") -> Video:
    media = MediaRef(
        sha256=sha256, path=f"{number}.mp4", kind="video", width=64, height=64, frames=14, fps=7.0
    )
    return Video(id=f"v{number}", model=model, prompt_id=f"p{number}", media=media)


def fingerprint(metric: str, protocol: str = "vbench") -> Fingerprint:
    return Fingerprint(metric=metric, protocol=protocol, decoder="pyav", precision="float32")


SMOOTH = fingerprint("motion_smoothness")
DEGREE = fingerprint("dynamic_degree")


def score(number: int, value: float, of: Fingerprint = SMOOTH, n: int = 3) -> Score:
    per_frame = tuple(value + i / 7 for i in range(n))
    return Score(
        video_id=f"v{number}", metric=of.metric, fingerprint=of.id, value=value, per_frame=per_frame
    )


def both_scores(number: int) -> list[Score]:
    return [score(number, number / 3, n=2000), score(number, number / 7, of=DEGREE)]


def write_for_ever(run: Path) -> None:
    with Ledger.open(run, SETTINGS) as ledger:
        ledger.add_fingerprints([SMOOTH, DEGREE])
        number = len(ledger.videos())
        print("writing", flush=True)
        while True:
            ledger.add_videos([video(number)])
            ledger.record_scores(both_scores(number))
            number += 1


if __name__ == "__main__":
    write_for_ever(Path(sys.argv[1]))
