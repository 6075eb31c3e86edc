"""Writes H.264 that every browser plays, with exact frame count and rate."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)
from numpy.typing import NDArray

from mora.media.atomic import writing

CRF = 16
"""x264's constant rate factor: hardly visible loss, see `docs/media.md` for what it costs."""

_LARGEST_DENOMINATOR = 1001
"""Exact for whole rates, for hundredths such as 23.98, and for the NTSC family (24000/1001)."""

_ENCODER = {"crf": str(CRF), "preset": "medium", "bf": "0"}
"""Without B-frames, frames are stored in the order of their times."""

_MUXER = {"movflags": "+faststart", "use_editlist": "0"}
"""The index is at the front, so that a browser can start before it has the whole file, and the
file starts at time zero without an edit list, which not every reader respects."""

_SCALING = Interpolation.AREA
"""A colour sample is the mean of its four pixels, which is best for readers that repeat it."""


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> None:
    """Writes frames as MP4 with H.264, yuv420p; the file appears only when it is whole.

    The same frames give the same bytes on the same machine. H.264 with colour at half the
    resolution has even sizes only: an odd width or height gets its last column or row twice.

    Args:
        path: Where to, ending in `.mp4`.
        frames: uint8 (H, W, 3), RGB, each, all of one size; an array (T, H, W, 3) is such.
        fps: Frames a second, kept as the nearest fraction with a denominator up to 1001.

    Raises:
        ValueError: There are no frames, one has another shape or type, `fps` is not a positive
            number, or the path does not end in `.mp4`.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"{path}: videos are written as MP4; let the name end in .mp4")
    with writing(path) as temporary:
        encode_video(temporary, frames, fps)


def encode_video(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> None:
    """Writes an MP4 straight to `path`; see `write_video`."""
    if not 0 < fps < float("inf"):
        raise ValueError(f"{path}: fps is {fps}; a video has a positive number of frames a second")
    rate = Fraction(fps).limit_denominator(_LARGEST_DENOMINATOR)
    if not rate:
        raise ValueError(f"{path}: fps is {fps}; the slowest rate is one frame in 1001 seconds")
    reformatter = VideoReformatter()
    first: tuple[int, ...] = ()
    with av.open(str(path), "w", format="mp4", options=_MUXER) as container:
        stream = None
        for index, frame in enumerate(frames):
            _check(path, index, frame, first)
            if stream is None:
                first = frame.shape
                stream = _stream(container, rate, height=first[0], width=first[1])
            picture = reformatter.reformat(
                av.VideoFrame.from_ndarray(_even(frame), format="rgb24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU601,
                dst_color_range=ColorRange.MPEG,
                interpolation=_SCALING,
                threads=1,
            )
            picture.pts, picture.time_base = index, 1 / rate
            container.mux(stream.encode(picture))
        if stream is None:
            raise ValueError(f"{path}: there are no frames to write")
        container.mux(stream.encode())


def _stream(container: Any, rate: Fraction, height: int, width: int) -> Any:
    stream = container.add_stream("libx264", rate=rate)
    context = stream.codec_context
    context.height, context.width = height + height % 2, width + width % 2
    context.pix_fmt = "yuv420p"
    context.thread_count = 1  # x264's result depends on the number of threads
    # Readers that ignore these tags assume what they say; browsers need them for small sizes.
    context.colorspace = Colorspace.ITU601
    context.color_range = ColorRange.MPEG
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.IEC61966_2_1
    context.options = _ENCODER
    return stream


def _check(path: Path, index: int, frame: NDArray[np.uint8], first: tuple[int, ...]) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise ValueError(
            f"{path}: frame {index} is {frame.dtype} {frame.shape}; frames are uint8 (H, W, 3)"
        )
    if first and frame.shape != first:
        raise ValueError(f"{path}: frame {index} is {frame.shape} and the first is {first}")


def _even(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, _ = frame.shape
    padded = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded)
