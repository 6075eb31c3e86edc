"""Reads the videos that are to be scored, in threads ahead of the networks.

A video that fits is decoded whole. A larger one is decoded piece by piece while it is scored, so
that no video needs more memory than `WHOLE_BYTES`.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from mora.errors import machine_fault
from mora.media import FOLDER_FPS, Clip, MediaError, read_frames, read_image, read_video, sha256
from mora.records import Failure, FailureKind, MediaRef, Video

PICTURE_FPS: Final = 1.0
"""Rate of a picture as a clip of one frame; no number depends on it."""

WHOLE_BYTES = 256 * 2**20
"""Bytes of frames up to which a video is decoded whole: 145 frames of 1024x576, 10 of 3840x2160."""

PIECE_BYTES = 64 * 2**20
"""Bytes of frames in a piece, about: 36 frames of 1024x576, 2 of 3840x2160."""


@dataclass(frozen=True)
class Pieces:
    """A video that is decoded piece by piece.

    Attributes:
        path: Its file.
        frames: Frames that it has.
        height: Height in pixels.
        width: Width in pixels.
        fps: Frames a second.
    """

    path: Path
    frames: int
    height: int
    width: int
    fps: float

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Decodes: uint8 (n, H, W, 3), the next piece in a thread while the last is worked on.

        Raises:
            MediaError: The video is damaged, or there is another video than was recorded.
        """
        pieces = read_frames(self.path, piece_frames(self.height, self.width))
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="pieces") as pool:
            following = pool.submit(next, pieces, None)
            while (piece := following.result()) is not None:
                following = pool.submit(next, pieces, None)
                yield piece


Read = Callable[[Video, Path], Clip | Pieces | Failure]
"""Gives a video's pixels, or says why there are none; the path is the run's folder."""


@dataclass(frozen=True)
class OutOfMemory:
    """The machine's memory did not suffice for a video.

    That says nothing of the video, so it is not a failure that is recorded: it stays unscored, and
    the next session tries again.

    Attributes:
        reason: What was said.
    """

    reason: str

    @classmethod
    def told_by(cls, error: Exception) -> Self:
        """Takes the reason from an error, in one line."""
        return cls(" ".join(str(error).split()) or "no memory is left")


Seen = Clip | Pieces | Failure | OutOfMemory
"""What came of reading a video."""


def piece_frames(height: int, width: int) -> int:
    """Frames in a piece."""
    return max(1, PIECE_BYTES // (3 * height * width))


def decode_ahead(
    videos: Sequence[Video],
    run: Path,
    ahead: int,
    read: Read | None = None,
    threads: int = 1,
) -> Iterator[tuple[Video, Seen]]:
    """Decodes videos in threads while the caller works on those before.

    Args:
        videos: Videos, in the order in which they are given.
        run: Folder that their paths are relative to.
        ahead: Videos that are held decoded at once, the one with the caller included.
        read: Gives a video's pixels; `None` is `decode`.
        threads: Videos that are decoded at once.

    Raises:
        OSError: The system's means are exhausted, see `mora.errors.machine_fault`.
    """
    read = decode if read is None else read
    waiting = iter(videos)
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="decode")
    try:
        held = deque(
            (video, pool.submit(_shielded, read, video, run)) for video in islice(waiting, ahead)
        )
        while held:
            video, clip = held.popleft()
            yield video, clip.result()
            held.extend(
                (each, pool.submit(_shielded, read, each, run)) for each in islice(waiting, 1)
            )
    finally:
        pool.shutdown(cancel_futures=True)


def decode(video: Video, run: Path) -> Clip | Pieces | Failure:
    """Reads a video from its file, or says why it cannot be read. A large one is only opened."""
    if video.media is None:
        # The record sees to it that a video without media has a failure.
        return video.failure or Failure(kind=FailureKind.UPSTREAM, message="it was not made")
    media = video.media
    size = 3 * media.height * media.width * media.frames
    if media.kind == "video" and media.fps is not None and size > WHOLE_BYTES:
        path = run / media.path
        return _changed(media, path) or Pieces(
            path, media.frames, media.height, media.width, media.fps
        )
    return read_media(media, run)


def read_media(media: MediaRef, run: Path) -> Clip | Failure:
    """Reads a video, or a picture as a clip of one frame, if it still is what was recorded.

    Args:
        media: What was recorded.
        run: Folder that its path is relative to.
    """
    path = run / media.path
    try:
        if media.kind == "image":
            clip = Clip(read_image(path)[None], PICTURE_FPS)
        else:
            clip = read_video(path, folder_fps=media.fps or FOLDER_FPS)
    except MediaError as error:
        return error.failure()
    return _changed(media, path) or clip


def _changed(media: MediaRef, path: Path) -> Failure | None:
    """Says that a file is not what was recorded, or is gone; `None` if it is."""
    try:
        found = sha256(path)
    except MediaError as error:
        return error.failure()
    if found == media.sha256:
        return None
    return Failure(
        kind=FailureKind.ERROR,
        message=f"{path} has changed since it was recorded: its sha256 was "
        f"{media.sha256[:12]}…, now it is {found[:12]}…. Evaluate it in a new run.",
    )


def _shielded(read: Read, video: Video, run: Path) -> Seen:
    """Reads a video; what goes wrong with it costs only itself, unless it is the machine's."""
    try:
        return read(video, run)
    except Exception as error:
        return cost_of(error)


def cost_of(error: Exception) -> Failure | OutOfMemory:
    """What an error that nobody foresaw costs the video that was worked on.

    Raises:
        Exception: The error itself, where the machine is at fault and the session has to end.
    """
    match machine_fault(error):
        case None:
            return Failure.unforeseen(error)
        case "memory":
            return OutOfMemory.told_by(error)
        case _:
            raise error
