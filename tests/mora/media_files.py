"""Makes small video files of many kinds, with PyAV and Pillow alone, for the tests of media."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frames = NDArray[np.uint8]


def scene(count: int = 12, height: int = 48, width: int = 64) -> Frames:
    """Smooth coloured frames (T, H, W, 3) of which each differs from all others."""
    t, y, x = np.meshgrid(
        np.arange(count), np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij"
    )
    red = 60 + 120 * x + 4 * t
    green = 200 - 110 * y
    blue = 90 + 70 * np.sin(3 * x + 2 * y + t / 4)
    return np.stack([red, green, blue], axis=-1).clip(0, 255).astype(np.uint8)


def psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures in dB."""
    error = np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def encode(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction | int = 8,
    times: Sequence[int] | None = None,
    ticks: int = 1000,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    form: str | None = None,
    colour: tuple[int, int] | None = None,
    sound: bool = False,
) -> Path:
    """Encodes RGB or RGBA frames.

    Args:
        path: Where to; the suffix decides on the container.
        frames: uint8 (H, W, 3 or 4).
        codec: FFmpeg's name of the encoder.
        pix_fmt: Pixel format in the file.
        rate: Frames a second.
        times: Time of each frame in `1/ticks` seconds, for a variable rate.
        ticks: Ticks a second of `times`.
        options: The encoder's.
        muxer: The container's.
        form: FFmpeg's name of the container, where the suffix does not say it.
        colour: Matrix and range by their numbers in H.273 and FFmpeg.
        sound: Add two seconds of silence as a second stream.
    """
    with av.open(str(path), "w", format=form, options=muxer or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.options = options or {}
        stream.pix_fmt = pix_fmt
        if colour:
            stream.codec_context.colorspace, stream.codec_context.color_range = colour
        if times is not None:
            stream.codec_context.time_base = Fraction(1, ticks)
        silence: Any = container.add_stream("aac", rate=8000) if sound else None
        for index, frame in enumerate(frames):
            if index == 0:
                stream.height, stream.width = frame.shape[:2]
            layout = "rgba" if frame.shape[2] == 4 else "rgb24"
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=layout)
            if colour:
                picture = picture.reformat(
                    format=pix_fmt, dst_colorspace=colour[0], dst_color_range=colour[1]
                )
            else:
                picture = picture.reformat(format=pix_fmt)
            picture.pts = index if times is None else times[index]
            picture.time_base = 1 / Fraction(rate) if times is None else Fraction(1, ticks)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if silence is not None:
            samples = np.zeros((1, 16000), np.float32)
            chunk: Any = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            chunk.sample_rate, chunk.pts = 8000, 0
            container.mux(silence.encode(chunk))
            container.mux(silence.encode())
    return path


def sound_only(path: Path, *, cover: bool = False) -> Path:
    """Writes two seconds of silence, with or without a cover picture."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=8000)
        if cover:
            art: Any = container.add_stream("mjpeg", rate=1)
            art.pix_fmt, art.height, art.width = "yuvj420p", 48, 64
            art.disposition = int(av.stream.Disposition.attached_pic)
            picture = av.VideoFrame.from_ndarray(scene(1)[0], format="rgb24")
            container.mux(art.encode(picture.reformat(format="yuvj420p")))
        samples = np.zeros((1, 16000), np.float32)
        chunk: Any = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        chunk.sample_rate, chunk.pts = 8000, 0
        container.mux(stream.encode(chunk))
        container.mux(stream.encode())
    return path


def moving_picture(
    path: Path, frames: Iterable[NDArray[np.uint8]], milliseconds: int | list[int], **save: Any
) -> Path:
    """Writes an animated WebP or GIF."""
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=milliseconds, **save)
    return path


def folder_of(path: Path, frames: Iterable[NDArray[np.uint8]], name: str = "{}.png") -> Path:
    """Writes frames as pictures that are numbered without leading zeros."""
    path.mkdir(parents=True)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(path / name.format(index))
    return path


def rotated(path: Path, source: Path, clockwise: int) -> Path:
    """Copies an MP4 and sets the display matrix of its track (ISO/IEC 14496-12, 8.3.2).

    Args:
        path: Where to.
        source: An MP4 with one track.
        clockwise: Quarter turns.
    """
    one = 0x10000
    a, b = [(one, 0), (0, one), (-one, 0), (0, -one)][clockwise]
    matrix = [a, b, 0, -b, a, 0, 0, 0, 0x40000000]
    data = bytearray(source.read_bytes())
    start = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes lie between name and matrix
    data[start : start + 36] = b"".join(value.to_bytes(4, signed=True) for value in matrix)
    path.write_bytes(data)
    return path


def cut_copy(path: Path, source: Path, start: int) -> Path:
    """Copies packets so that the first `start` frames lie before time zero.

    That is what `ffmpeg -ss … -c copy` does: MP4 then hides them by an edit list.
    """
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        old: Any = reader.streams.video[0]
        new: Any = writer.add_stream_from_template(old)
        packets = [packet for packet in reader.demux(old) if packet.size]
        zero = sorted(packet.pts for packet in packets)[start]
        for packet in packets:
            packet.pts, packet.dts = packet.pts - zero, packet.dts - zero
            packet.stream = new
            writer.mux(packet)
    return path
