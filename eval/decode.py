"""Reads the videos that are to be scored, in a thread ahead of the networks."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self

from mora.errors import machine_fault
from mora.media import FOLDER_FPS, Clip, MediaError, read_image, read_video, sha256
from mora.records import Failure, FailureKind, MediaRef, Video

PICTURE_FPS: Final = 1.0
"""Rate of a picture as a clip of one frame; no number depends on it."""

Read = Callable[[Video, Path], Clip | Failure]
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


def decode_ahead(
    videos: Sequence[Video], run: Path, ahead: int, read: Read | None = None
) -> Iterator[tuple[Video, Clip | Failure | OutOfMemory]]:
    """Decodes videos in a thread while the caller works on those before.

    Args:
        videos: Videos, in the order in which they are given.
        run: Folder that their paths are relative to.
        ahead: Videos that are held decoded at once, the one with the caller included.
        read: Gives a video's pixels; `None` is `decode`.

    Raises:
        OSError: The system's means are exhausted, see `mora.errors.machine_fault`.
    """
    read = decode if read is None else read
    waiting = iter(videos)
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")
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


def decode(video: Video, run: Path) -> Clip | Failure:
    """Reads a video from its file, or says why it cannot be read."""
    if video.media is None:
        # The record sees to it that a video without media has a failure.
        return video.failure or Failure(kind=FailureKind.UPSTREAM, message="it was not made")
    return read_media(video.media, run)


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
        found = sha256(path)
    except MediaError as error:
        return error.failure()
    if found != media.sha256:
        return Failure(
            kind=FailureKind.ERROR,
            message=f"{path} has changed since it was recorded: its sha256 was "
            f"{media.sha256[:12]}…, now it is {found[:12]}…. Evaluate it in a new run.",
        )
    return clip


def _shielded(read: Read, video: Video, run: Path) -> Clip | Failure | OutOfMemory:
    """Reads a video; what goes wrong with it costs only itself, unless it is the machine's."""
    try:
        return read(video, run)
    except Exception as error:
        match machine_fault(error):
            case None:
                return Failure.unforeseen(error)
            case "memory":
                return OutOfMemory.told_by(error)
            case _:
                raise
