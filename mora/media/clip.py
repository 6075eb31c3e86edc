"""A clip in memory, and what can be said of a video without its pixels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Clip:
    """A decoded video.

    Attributes:
        frames: uint8 (T, H, W, 3), RGB.
        fps: Frames a second, on average where the rate varies.
    """

    frames: NDArray[np.uint8]
    fps: float

    @property
    def seconds(self) -> float:
        """Length in seconds (frames/fps)."""
        return len(self.frames) / self.fps


@dataclass(frozen=True)
class VideoInfo:
    """What a video is, without its pixels.

    Attributes:
        width: Pixels across, after rotation.
        height: Pixels down, after rotation.
        frames: Number of frames that `read_video` gives.
        fps: Frames a second, on average where the rate varies.
        codec: FFmpeg's name of the codec, or `pictures` for a folder.
        container: FFmpeg's name of the format, `webp` or `folder`.
        counted: Whether the number of frames is the container's word (and then every frame that
            is missing is an error when the video is read) or was found by decoding them all.
    """

    width: int
    height: int
    frames: int
    fps: float
    codec: str
    container: str
    counted: Literal["by_container", "by_decoding"]

    @property
    def seconds(self) -> float:
        """Length in seconds (frames/fps)."""
        return self.frames / self.fps
