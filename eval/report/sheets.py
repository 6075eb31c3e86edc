"""Contact sheets: a picture of one model's videos, a row each, with the prompt below."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

COLUMNS: Final = 7
"""Frames of a row."""
WIDTH: Final = 128
"""Width of a frame in pixels."""

MARGIN: Final = 24
GAP: Final = 6
TITLE: Final = 22
TEXT: Final = 14
LINE: Final = 19
PAPER: Final = (250, 250, 248)
INK: Final = (28, 30, 33)
GREY: Final = (112, 116, 122)
RED: Final = (176, 40, 40)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Strip:
    """One video on a sheet.

    Attributes:
        text: What is written below it.
        frames: uint8 (K, h, w, 3), evenly spaced in time; `None` if there is no video.
        failure: Why there is none.
    """

    text: str
    frames: NDArray[np.uint8] | None
    failure: str = ""


def thumbnails(
    frames: NDArray[np.uint8], columns: int = COLUMNS, width: int = WIDTH
) -> NDArray[np.uint8]:
    """Returns frames evenly spaced in time, the first and the last among them, at one width.

    Args:
        frames: uint8 (T, H, W, 3).
        columns: Frames to pick; all of them if there are fewer.
        width: Width of the result in pixels; the aspect is kept.

    Returns:
        uint8 (K, h, width, 3), K = min(T, columns).
    """
    count, full_height, full_width = frames.shape[:3]
    height = max(1, round(full_height * width / full_width))
    picked = np.linspace(0, count - 1, min(columns, count)).round().astype(int)
    if (full_height, full_width) == (height, width):
        return frames[picked]
    resized = [
        Image.fromarray(frames[index]).resize((width, height), Image.Resampling.LANCZOS)
        for index in picked
    ]
    return np.stack([np.asarray(each) for each in resized])


def contact_sheet(
    title: str, strips: Sequence[Strip], columns: int = COLUMNS, width: int = WIDTH
) -> NDArray[np.uint8]:
    """Draws a sheet.

    Args:
        title: What is written above.
        strips: The videos, from top to bottom.
        columns: Frames of a row, as given to `thumbnails`.
        width: Width of a frame, as given to `thumbnails`.

    Returns:
        The sheet, uint8 (H, W, 3).
    """
    across = columns * width + (columns - 1) * GAP
    heading = ImageFont.load_default(TITLE)
    font = ImageFont.load_default(TEXT)
    texts = [_wrap(strip.text, font, across) for strip in strips]
    below = [len(lines) * LINE + 14 for lines in texts]
    tall = MARGIN + TITLE + 20
    tall += sum(_height(strip) + 5 + space for strip, space in zip(strips, below, strict=True))
    sheet = Image.new("RGB", (across + 2 * MARGIN, tall + MARGIN // 2), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN - 4), title, INK, heading)
    y = MARGIN + TITLE + 20
    for strip, lines, space in zip(strips, texts, below, strict=True):
        _draw_frames(sheet, strip, y, across, font)
        y += _height(strip) + 5
        for place, line in enumerate(lines):
            draw.text((MARGIN, y + place * LINE), line, GREY, font)
        y += space
    return np.asarray(sheet)


def _height(strip: Strip) -> int:
    return strip.frames.shape[1] if strip.frames is not None else 3 * LINE


def _draw_frames(sheet: Image.Image, strip: Strip, y: int, across: int, font: Font) -> None:
    if strip.frames is None:
        draw = ImageDraw.Draw(sheet)
        draw.rectangle((MARGIN, y, MARGIN + across - 1, y + _height(strip) - 1), outline=RED)
        for place, line in enumerate(_wrap(strip.failure, font, across - 2 * GAP)[:3]):
            draw.text((MARGIN + GAP, y + 2 + place * (LINE - 1)), line, RED, font)
        return
    for place, frame in enumerate(strip.frames):
        sheet.paste(Image.fromarray(frame), (MARGIN + place * (frame.shape[1] + GAP), y))


def _wrap(text: str, font: Font, width: int) -> list[str]:
    """Breaks a text into lines that are no wider than `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
