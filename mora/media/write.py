"""Writes H.264 that every browser plays, with exact frame count and rate."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mora.media.atomic import writing


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> None:
    """Writes frames as an MP4 file with H.264, yuv420p.

    Args:
        path: Where to; the file appears there only when it is complete.
        frames: uint8 (H, W, 3) RGB each, all of one size; an array (T, H, W, 3) is one.
        fps: Frames a second.

    Raises:
        ValueError: There are no frames, or they differ in size, or `fps` is not positive.
    """
    if not fps > 0:
        raise ValueError(f"{path}: fps is {fps}; a video needs a positive rate")
    rate = Fraction(fps).limit_denominator(1001)
    with writing(Path(path)) as temporary:
        _encode(temporary, frames, rate)


def _encode(path: Path, frames: Iterable[NDArray[np.uint8]], rate: Fraction) -> None:
    size: tuple[int, ...] | None = None
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.codec_context.thread_count = 1
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "16", "preset": "medium", "bf": "0"}
        for index, frame in enumerate(frames):
            if size is None:
                size = frame.shape
                stream.height, stream.width = (-(-side // 2) * 2 for side in size[:2])
            if frame.shape != size:
                raise ValueError(f"frame {index} is {frame.shape}, the first is {size}")
            even = np.pad(frame, ((0, size[0] % 2), (0, size[1] % 2), (0, 0)), mode="edge")
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            picture.pts, picture.time_base = index, 1 / rate
            container.mux(stream.encode(picture))
        if size is None:
            raise ValueError(f"{path}: there are no frames to write")
        container.mux(stream.encode())
