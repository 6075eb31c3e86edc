"""Reads videos, whatever they are stored in."""

import os
import platform
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import numpy as np
import PIL
from numpy.typing import NDArray

from mora.media.clip import Clip, VideoInfo
from mora.media.containers import open_container, probe_container
from mora.media.errors import MediaNotFoundError
from mora.media.pictures import folder_frames, open_webp
from mora.media.wholeness import is_webp

FOLDER_FPS = 8.0
"""Rate of a folder of pictures, which does not say its own."""


def _version(library: str) -> str:
    return ".".join(map(str, av.library_versions[library]))


DECODER = (
    f"pyav {av.__version__}, libavcodec {_version('libavcodec')}, "
    f"libswscale {_version('libswscale')}, pillow {PIL.__version__}, {platform.machine()}"
)
"""What decoded pixels depend on; part of every score's fingerprint.

The machine's architecture is in it because the colour conversion is rounded differently there.
"""


def read_video(
    path: Path, *, max_frames: int | None = None, folder_fps: float = FOLDER_FPS
) -> Clip:
    """Reads a video into memory.

    Args:
        path: A video file, or a folder of pictures.
        max_frames: Stop after so many frames. Damage further on is then not noticed, a cut is.
        folder_fps: Rate that a folder of pictures gets.

    Returns:
        The frames as stored, none repeated or dropped, and the average rate of the whole video.

    Raises:
        MediaError: One of its subclasses says why the video cannot be read.
        ValueError: `max_frames` is not positive.
    """
    path = Path(path)
    if max_frames is not None and max_frames < 1:
        raise ValueError(f"max_frames is {max_frames}; a clip has at least one frame")
    fps, frames = _open(path, folder_fps)
    return Clip(_stack(list(islice(frames, max_frames))), fps)


def read_frames(path: Path, chunk: int) -> Iterator[NDArray[np.uint8]]:
    """Reads a video piece by piece, with no more than one piece in memory.

    Args:
        path: A video file, or a folder of pictures.
        chunk: Frames a piece; the last piece may be shorter.

    Returns:
        Pieces of uint8 (at most `chunk`, H, W, 3), RGB.

    Raises:
        MediaError: As `read_video`; damage is reported when it is reached.
        ValueError: `chunk` is not positive.
    """
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; a piece has at least one frame")
    _, frames = _open(Path(path), FOLDER_FPS)
    return _pieces(frames, chunk)


def probe(path: Path, *, folder_fps: float = FOLDER_FPS) -> VideoInfo:
    """Describes a video; decodes no more of it than that needs.

    Args:
        path: A video file, or a folder of pictures.
        folder_fps: Rate that a folder of pictures gets.

    Raises:
        MediaError: As `read_video`, as far as it is noticed.
    """
    path = Path(path)
    form = _form(path)
    if form == "container":
        return probe_container(path)
    fps, frames = _open(path, folder_fps)
    first = next(frames)
    return VideoInfo(
        width=first.shape[1],
        height=first.shape[0],
        frames=1 + sum(1 for _ in frames),
        fps=fps,
        codec="pictures" if form == "folder" else form,
        container=form,
        counted="by_decoding",
    )


def _pieces(frames: Iterator[NDArray[np.uint8]], chunk: int) -> Iterator[NDArray[np.uint8]]:
    while piece := list(islice(frames, chunk)):
        yield np.stack(piece)


def _open(path: Path, folder_fps: float) -> tuple[float, Iterator[NDArray[np.uint8]]]:
    """Returns the rate of a video and its frames."""
    form = _form(path)
    if form == "folder":
        return folder_fps, folder_frames(path)
    return open_webp(path) if form == "webp" else open_container(path)


def _form(path: Path) -> Literal["folder", "webp", "container"]:
    if not path.exists():
        raise MediaNotFoundError(path, "there is no such file or folder")
    if not os.access(path, os.R_OK):
        raise MediaNotFoundError(path, "it may not be read; check its permissions")
    if path.is_dir():
        return "folder"
    return "webp" if is_webp(path) else "container"


def _stack(frames: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Stacks frames as `np.stack` does, but frees each as it goes: a clip fills memory once."""
    clip = np.empty((len(frames), *frames[0].shape), np.uint8)
    frames.reverse()
    for index in range(len(clip)):
        clip[index] = frames.pop()
    return clip
