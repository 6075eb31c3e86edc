"""Damages to pixels, frame by frame. Time stays as it is.

Each function takes frames uint8 (T, H, W, 3), a strength above 0 and a random generator, and
returns frames of the same shape. With equal generators a greater strength is the same damage, only
stronger. Lengths are shares of the shorter side, so that a strength means the same at any size.
"""

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from eval.validate.specimen import Frames

RATE: Final = Fraction(8)
"""Frames a second that the encoder is told. Clips of any rate are damaged alike."""


def jittered(frames: Frames, reach: float, rng: np.random.Generator) -> Frames:
    """Moves each frame by its own random whole number of pixels, the border repeated.

    Args:
        frames: The clip.
        reach: Greatest distance each way, a share of the shorter side.
        rng: Draws directions and distances.
    """
    count, height, width, _ = frames.shape
    most = reach * min(height, width)
    border = int(np.ceil(most))
    moved = np.empty_like(frames)
    for number, (down, right) in enumerate(np.rint(most * rng.uniform(-1, 1, (count, 2)))):
        padded = np.pad(frames[number], ((border, border), (border, border), (0, 0)), mode="edge")
        top, left = border - int(down), border - int(right)
        moved[number] = padded[top : top + height, left : left + width]
    return moved


def flickering(frames: Frames, depth: float, rng: np.random.Generator) -> Frames:
    """Makes each frame brighter or darker by its own factor, from `1 - depth` to `1 + depth`."""
    gains = 1 + depth * rng.uniform(-1, 1, len(frames))
    return _levels(np.stack([gain * frame for gain, frame in zip(gains, frames, strict=True)]))


def noisy(frames: Frames, deviation: float, rng: np.random.Generator) -> Frames:
    """Adds white Gaussian noise, new for each frame, of a standard deviation in levels of 255."""
    return np.stack(
        [
            _levels(frame + deviation * rng.standard_normal(frame.shape, np.float32))
            for frame in frames
        ]
    )


def blurred(frames: Frames, sigma: float, rng: np.random.Generator) -> Frames:  # noqa: ARG001
    """Blurs by about a Gaussian of standard deviation `sigma`, a share of the shorter side."""
    radius = sigma * min(frames.shape[1:3])
    return _each(frames, lambda picture: picture.filter(ImageFilter.GaussianBlur(radius)))


def downscaled(frames: Frames, loss: float, rng: np.random.Generator) -> Frames:  # noqa: ARG001
    """Shrinks by averages, losing a share of width and height, and enlarges bilinearly again."""
    height, width = frames.shape[1:3]
    small = (max(1, round(width * (1 - loss))), max(1, round(height * (1 - loss))))
    return _each(
        frames,
        lambda picture: picture.resize(small, Image.Resampling.BOX).resize(
            (width, height), Image.Resampling.BILINEAR
        ),
    )


def as_jpeg(frames: Frames, loss: float, rng: np.random.Generator) -> Frames:  # noqa: ARG001
    """Stores each frame as JPEG with halved colour, of quality `100 - loss`, and reads it again."""

    def stored(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=round(100 - loss), subsampling="4:2:0")
        return Image.open(file)

    return _each(frames, stored)


def as_h264(frames: Frames, factor: float, rng: np.random.Generator) -> Frames:  # noqa: ARG001
    """Encodes the clip as H.264 of constant rate factor `factor` (to 51) and decodes it again.

    An odd width or height gets its last column or row twice, which is cut off afterwards.
    """
    _, height, width, _ = frames.shape
    odd = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = height + height % 2, width + width % 2
    encoder.pix_fmt = "yuv420p"
    encoder.framerate, encoder.time_base = RATE, 1 / RATE
    encoder.thread_count = 1  # x264's result depends on the number of threads
    encoder.options = {"crf": f"{factor:g}"}
    converter = VideoReformatter()
    packets = []
    for number, frame in enumerate(np.ascontiguousarray(np.pad(frames, odd, mode="edge"))):
        picture = converter.reformat(
            av.VideoFrame.from_ndarray(frame, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.AREA,
            threads=1,
        )
        picture.pts, picture.time_base = number, 1 / RATE
        packets += encoder.encode(picture)
    packets += encoder.encode()
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    pictures = [picture for packet in packets for picture in decoder.decode(packet)]
    pictures += decoder.decode()
    decoded = np.stack([picture.to_ndarray(format="rgb24") for picture in pictures])
    return decoded[:, :height, :width]


def _each(frames: Frames, change: Callable[[Image.Image], Image.Image]) -> Frames:
    return np.stack([np.asarray(change(Image.fromarray(frame))) for frame in frames])


def _levels(values: NDArray[Any]) -> Frames:
    return np.rint(values).clip(0, 255).astype(np.uint8)
