"""Video files that FFmpeg reads: MP4 and MOV, Matroska and WebM, AVI, GIF.

A file is walked twice. The first pass only takes the packets apart, which gives the count and the
times of the frames; the second decodes. So the frame rate does not depend on how far a video is
read, and a frame that the container lists but that does not decode is noticed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from mora.media.clip import VideoInfo
from mora.media.errors import (
    CorruptVideoError,
    FrameSizeError,
    NoFramesError,
    NotAVideoError,
    TruncatedVideoError,
)
from mora.media.wholeness import shortfall

_OPEN = {
    # Playlists and the like would make FFmpeg open other files, or addresses.
    "format_whitelist": "mov,matroska,avi,gif",
    "protocol_whitelist": "file",
}
# A title that is not UTF-8 is no reason to refuse a video; from version 19 on PyAV agrees.
_TITLES: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)
_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"  # FFmpeg's name of the family
_DECODE = {"err_detect": "crccheck+explode"}  # report damage instead of painting over it
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own drop the alpha channel
_ONE_SHOWN_FRAME = {"h264", "hevc", "vp9", "av1", "libdav1d", "gif"}
"""Codecs of which each sample of an MP4, or block of a GIF, is one frame that is shown. Elsewhere
a decoder may rightly give fewer frames than there are packets (MPEG-4's and VP8's hidden ones)."""


@dataclass(frozen=True)
class _Packets:
    """What the first pass finds.

    Attributes:
        codec: FFmpeg's name of the codec.
        container: FFmpeg's name of the format.
        times: Times of the frames that are to be shown, in ticks, sorted.
        fps: Average rate.
    """

    codec: str
    container: str
    times: list[int]
    fps: float

    @property
    def counted(self) -> bool:
        """Whether the number of packets is a promise of as many frames."""
        return self.codec in _ONE_SHOWN_FRAME and self.container in (_MP4, "gif")

    def due(self, first: int | None) -> int:
        """Frames to expect, given the time of the first that decodes.

        Frames before it belong to a group of pictures whose start was cut away; players skip
        them too.
        """
        if first is None:
            return len(self.times)
        return sum(time >= first for time in self.times)


def probe_container(path: Path) -> VideoInfo:
    """Describes a video file. Raises what `open_container` and its frames raise."""
    packets = _scan(path)
    decoded = _decode(path, packets)
    time, first = next(decoded)
    return VideoInfo(
        width=first.shape[1],
        height=first.shape[0],
        frames=packets.due(time) if packets.counted else 1 + sum(1 for _ in decoded),
        fps=packets.fps,
        codec=packets.codec,
        container=packets.container,
        counted="by_container" if packets.counted else "by_decoding",
    )


def open_container(path: Path) -> tuple[float, Iterator[NDArray[np.uint8]]]:
    """Opens a video file.

    Returns:
        The average rate in frames a second, and all frames as they are stored, uint8 (H, W, 3)
        each. The rate is what the container declares, where the times of its frames agree with
        that to the accuracy of its clock, otherwise the number of frames over the time that they
        fill.

    Raises:
        NotAVideoError: It is not one of the formats, or has sound only.
        NoFramesError: It is empty.
        TruncatedVideoError: It ends too soon.
        CorruptVideoError: A frame does not decode (raised when it is reached).
        FrameSizeError: The size changes on the way (raised when it does).
    """
    packets = _scan(path)
    return packets.fps, _frames(path, packets)


def _frames(path: Path, packets: _Packets) -> Iterator[NDArray[np.uint8]]:
    first: tuple[int, int] | None = None
    due = count = 0
    for count, (time, frame) in enumerate(_decode(path, packets), 1):
        size = frame.shape[0], frame.shape[1]
        if first is None:
            first, due = size, packets.due(time)
        if size != first:
            raise FrameSizeError(path, count - 1, size, first)
        yield frame
    if packets.counted and count < due:
        raise CorruptVideoError(path, f"{due - count} of its {due} frames do not decode")


def _scan(path: Path) -> _Packets:
    if path.stat().st_size == 0:
        raise NoFramesError(path, "the file is empty (0 bytes)")
    if missing := shortfall(path):
        promised, got = _count_cut(path)
        raise TruncatedVideoError(path, missing, promised, got)
    times: list[int] = []
    last = (0, 0)
    with _open(path) as (container, stream):
        codec, tick = stream.codec_context.name, stream.time_base
        try:
            for packet in container.demux(stream):
                time = packet.dts if packet.pts is None else packet.pts
                if not packet.size or packet.is_discard or _hidden(codec, packet):
                    continue
                if time is not None:  # Matroska's frames before a cut start have none
                    times.append(time)
                    last = max(last, (time, packet.duration or 0))
        except av.error.FFmpegError as error:
            raise CorruptVideoError(path, f"its parts do not fit ({error.strerror})") from error
        if not times:
            raise NoFramesError(path, f"its {codec} stream holds no frames")
        times.sort()
        fps = _rate(len(times), times[-1] - times[0], last[1], tick, stream.average_rate)
        if fps is None:
            raise CorruptVideoError(path, "it does not say its frame rate")
        return _Packets(codec, container.format.name, times, fps)


def _count_cut(path: Path) -> tuple[int | None, int | None]:
    """Returns the frames that a cut file promises and those that it holds, where it says so."""
    try:
        with _open(path) as (container, stream):
            if container.format.name == "gif":
                return None, None  # its list of frames is only what was found
            duration, tick, rate = stream.duration, stream.time_base, stream.average_rate
            if not duration and len(container.streams) == 1:
                duration, tick = container.duration, Fraction(1, av.time_base)
            by_duration = round(duration * tick * rate) if duration and rate else 0
            promised = max(stream.frames, by_duration)
            got = sum(
                1 for packet in container.demux(stream) if packet.size and not packet.is_corrupt
            )
    except (NotAVideoError, av.error.FFmpegError):
        return None, None
    return (promised, got) if promised > got else (None, None)


def _decode(path: Path, packets: _Packets) -> Iterator[tuple[int | None, NDArray[np.uint8]]]:
    """Yields (time in ticks, frame)."""
    reformatter = VideoReformatter()
    count = 0
    with _open(path) as (container, stream):
        decoder = _decoder(stream)
        whole = (packet for packet in container.demux(stream) if packet.size)
        try:
            for packet in chain(whole, [None]):  # None asks for what the decoder still holds
                for frame in decoder.decode(packet):
                    if frame.is_corrupt:
                        raise CorruptVideoError(path, f"frame {count} is damaged")
                    yield frame.pts, _pixels(frame, reformatter)
                    count += 1
        except av.error.FFmpegError as error:
            raise CorruptVideoError(
                path, f"frame {count} does not decode as {packets.codec} ({error.strerror})"
            ) from error
    if not count:
        raise CorruptVideoError(path, f"not one frame of its {packets.codec} stream decodes")


def _decoder(stream: Any) -> Any:
    """Returns what decodes the stream, in one thread.

    With several, FFmpeg reports less of the damage that it meets. Several videos at a time keep
    the cores busy all the same.
    """
    context = stream.codec_context
    if stream.metadata.get("alpha_mode") == "1" and context.name in _ALPHA_DECODERS:
        context = av.CodecContext.create(_ALPHA_DECODERS[context.name], "r")
    context.thread_type, context.thread_count = "NONE", 1
    context.options = _DECODE
    return context


def _pixels(frame: Any, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """Converts a frame to uint8 (H, W, 3), upright, transparent parts over black.

    Bicubic is what OpenCV and decord ask of swscale. It makes a difference beyond 8 bits only.
    """
    transparent = any(component.is_alpha for component in frame.format.components)
    layout = "rgba" if transparent else "rgb24"
    pixels: Any = reformatter.reformat(
        frame, format=layout, interpolation=Interpolation.BICUBIC, threads=1
    ).to_ndarray()
    if transparent:
        colour, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:]
        pixels = ((colour * alpha + 127) // 255).astype(np.uint8)
    if frame.rotation % 90 == 0 and frame.rotation % 360:
        pixels = np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))
    upright: NDArray[np.uint8] = pixels
    return upright


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    """Opens a file and its (first, true) video stream."""
    try:
        container = av.open(str(path.absolute()), options=_OPEN, **_TITLES)
    except av.error.FFmpegError as error:
        raise NotAVideoError(
            path, f"it does not open as MP4, MOV, WebM, MKV, AVI or GIF ({error.strerror})"
        ) from error
    with container:
        cover = av.stream.Disposition.attached_pic
        streams = [item for item in container.streams.video if not item.disposition & cover]
        if not streams:
            others = {item.type for item in container.streams if item.type != "video"}
            raise NotAVideoError(
                path, f"it has no video stream, only {', '.join(sorted(others)) or 'a cover'}"
            )
        if streams[0].codec_context is None:
            raise NotAVideoError(path, "no decoder is known for its video stream")
        yield container, streams[0]


def _hidden(codec: str, packet: Any) -> bool:
    """Whether a packet is a VP8 reference that is never shown (RFC 6386, section 9.1)."""
    return codec == "vp8" and not memoryview(packet)[0] & 0x10


def _rate(
    count: int, span: int, last: int, tick: Fraction, declared: Fraction | None
) -> float | None:
    """Average rate of `count` frames over `span` ticks and the duration of the last frame."""
    if not last and count > 1:
        last = round(span / (count - 1))
    seconds = (span + last) * tick
    if declared:
        tolerance = min(2 * tick, 1 / (2 * declared))
        if seconds <= 0 or abs(count / declared - seconds) <= tolerance:
            return float(declared)
    return float(count / seconds) if seconds > 0 else None
