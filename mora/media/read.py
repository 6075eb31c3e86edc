"""Reads videos frame by frame."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import PIL
from numpy.typing import NDArray

from mora.media.errors import MediaNotFoundError, NoFramesError, NotAVideoError
from mora.media.pictures import pictures_in, read_image

FOLDER_FPS = 8.0


def _version(library: str) -> str:
    return ".".join(map(str, av.library_versions[library]))


DECODER = (
    f"pyav {av.__version__}, libavcodec {_version('libavcodec')}, "
    f"libswscale {_version('libswscale')}, pillow {PIL.__version__}, {platform.machine()}"
)
"""What decoded pixels depend on; part of every fingerprint."""


@dataclass(frozen=True)
class Clip:
    """A decoded video.

    Attributes:
        frames: uint8 (T, H, W, 3), RGB.
        fps: Frames a second.
    """

    frames: NDArray[np.uint8]
    fps: float

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.frames) / self.fps


@dataclass(frozen=True)
class VideoInfo:
    """What a video is, without its pixels."""

    width: int
    height: int
    frames: int
    fps: float
    codec: str

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.fps


def read_video(path: Path, *, max_frames: int | None = None, fps: float = FOLDER_FPS) -> Clip:
    """Reads a video file or a folder of pictures."""
    path = Path(path)
    frames = []
    for frame in _frames(path):
        frames.append(frame)
        if max_frames is not None and len(frames) == max_frames:
            break
    return Clip(np.stack(frames), fps if path.is_dir() else _rate(path))


def read_frames(path: Path, chunk: int) -> Iterator[NDArray[np.uint8]]:
    """Yields uint8 (at most `chunk`, H, W, 3) until the video ends."""
    batch: list[NDArray[np.uint8]] = []
    for frame in _frames(Path(path)):
        batch.append(frame)
        if len(batch) == chunk:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def probe(path: Path, *, fps: float = FOLDER_FPS) -> VideoInfo:
    """Says what a video is."""
    path = Path(path)
    count, height, width = 0, 0, 0
    for frame in _frames(path):
        count += 1
        height, width = frame.shape[:2]
    if path.is_dir():
        return VideoInfo(width, height, count, fps, "pictures")
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context.name
    return VideoInfo(width, height, count, _rate(path), codec)


def _rate(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(container.streams.video[0].average_rate)


def _frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    if not path.exists():
        raise MediaNotFoundError(path, "there is no such file or folder")
    count = 0
    if path.is_dir():
        for count, picture in enumerate(pictures_in(path), 1):
            yield read_image(picture)
    else:
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise NotAVideoError(path, "it has no video stream")
                for count, frame in enumerate(container.decode(video=0), 1):
                    yield frame.to_ndarray(format="rgb24")
        except av.error.FFmpegError as error:
            raise NotAVideoError(path, f"it cannot be decoded ({error})") from error
    if not count:
        raise NoFramesError(path, "it holds no frames")
