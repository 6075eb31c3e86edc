"""Pictures: single files, folders of them, and animated WebP."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mora.media.atomic import writing
from mora.media.errors import (
    CorruptVideoError,
    FrameSizeError,
    MediaNotFoundError,
    NoFramesError,
    NotAPictureError,
    NotAVideoError,
    TruncatedVideoError,
)
from mora.media.wholeness import is_webp, shortfall

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})

_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for content that it cannot read."""

_DEFAULT_WEBP_SECONDS = 0.1
"""Browsers show frames without a (sensible) duration that long, in WebP as in GIF."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Reads a picture.

    Args:
        path: A file in any format that Pillow reads.

    Returns:
        uint8 (H, W, 3), RGB: turned as its EXIF says, transparent parts over black, 16-bit
        values cut to their upper 8 bits.

    Raises:
        MediaNotFoundError: There is no such file.
        NotAPictureError: The content is not a picture, or not a whole one.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaNotFoundError(path, "there is no such file")
    try:
        with Image.open(path) as picture:
            return _rgb(ImageOps.exif_transpose(picture))
    except _UNREADABLE as error:
        raise NotAPictureError(path, f"it does not read as a picture ({error})") from error


def write_image(path: Path, picture: NDArray[np.uint8]) -> None:
    """Writes a picture as PNG, without loss; the file appears only when it is whole.

    Args:
        path: Where to, ending in `.png`.
        picture: uint8 (H, W, 3), RGB.

    Raises:
        ValueError: The array is not such a picture, or the path does not end in `.png`.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: pictures are written as PNG; let the name end in .png")
    with writing(path) as temporary:
        encode_image(temporary, picture)


def encode_image(path: Path, picture: NDArray[np.uint8]) -> None:
    """Writes a PNG straight to `path`; see `write_image`."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(
            f"{path}: a picture is uint8 (H, W, 3), not {picture.dtype} {picture.shape}"
        )
    Image.fromarray(picture).save(path, format="PNG")


def pictures_in(folder: Path) -> list[Path]:
    """Returns a folder's pictures in natural order: frame 2 before frame 10; hidden ones not."""
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    ]
    return sorted(found, key=lambda path: (_natural(path.name), path.name))


def folder_frames(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """Yields a folder's pictures, uint8 (H, W, 3) each.

    Raises:
        NoFramesError: The folder holds no pictures.
        CorruptVideoError: One of them does not read.
        FrameSizeError: They differ in size.
    """
    paths = pictures_in(folder)
    if not paths:
        raise NoFramesError(folder, "the folder holds no pictures")
    first: tuple[int, int] | None = None
    for path in paths:
        try:
            picture = read_image(path)
        except (MediaNotFoundError, NotAPictureError) as error:
            raise CorruptVideoError(folder, f"a picture in it is unreadable: {error}") from error
        size = picture.shape[0], picture.shape[1]
        first = first or size
        if size != first:
            raise FrameSizeError(folder, path.name, size, first)
        yield picture


def open_webp(path: Path) -> tuple[float, Iterator[NDArray[np.uint8]]]:
    """Opens a WebP, still or animated.

    Returns:
        The average rate in frames a second, and its frames, uint8 (H, W, 3) each; a still one
        has one.

    Raises:
        NotAVideoError: The content does not open as WebP.
        TruncatedVideoError: It ends too soon.
        CorruptVideoError: One of its frames does not decode.
    """
    if missing := shortfall(path):
        raise TruncatedVideoError(path, missing)
    seconds = [duration for duration, _ in _webp(path)]
    return len(seconds) / sum(seconds), (frame for _, frame in _webp(path))


def _webp(path: Path) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yields (duration in seconds, frame)."""
    try:
        picture = Image.open(path, formats=["WEBP"])
    except _UNREADABLE as error:
        raise NotAVideoError(path, f"it does not open as WebP ({error})") from error
    with picture:
        for index in range(_frame_count(picture)):
            try:
                picture.seek(index)
                frame = _rgb(picture)
            except _UNREADABLE as error:
                raise CorruptVideoError(path, f"frame {index} does not decode ({error})") from error
            yield picture.info.get("duration", 0) / 1000 or _DEFAULT_WEBP_SECONDS, frame


def is_animated_webp(path: Path) -> bool:
    """Whether a file is a WebP that is not certainly a still one."""
    if not is_webp(path):
        return False
    try:
        with Image.open(path) as picture:
            return _frame_count(picture) > 1
    except _UNREADABLE:
        return True  # broken: as a candidate for a video it becomes a counted failure


def _frame_count(picture: Image.Image) -> int:
    return int(getattr(picture, "n_frames", 1))


def _rgb(picture: Image.Image) -> NDArray[np.uint8]:
    if picture.mode.startswith("I;16"):  # grey; Pillow would cut at 255 instead of scaling
        grey = (np.asarray(picture) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    return np.array(picture.convert("RGB"))


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Key under which runs of digits are compared as numbers."""
    return [
        (part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in re.split(r"([0-9]+)", name)
    ]
