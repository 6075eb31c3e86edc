"""`python -m lab.world.sheet OUT.png`: a contact sheet of sampled scenes with their captions."""

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from lab.world.caption import caption
from lab.world.render import render
from lab.world.scene import CLIP_SECONDS, STYLE_NAMES, Scene, encode, sample_scenes

_GAP: Final = 8
_LINE: Final = 15
_LINES: Final = 4


def sheet(
    scenes: Sequence[Scene],
    captions: Sequence[str],
    *,
    columns: int = 3,
    frames: int = 4,
    side: int = 128,
) -> Image.Image:
    """Draws each scene as a strip of frames, in even steps of its first two seconds.

    Args:
        scenes: What to draw, row by row.
        captions: What to write under each strip.
        columns: Strips in a row.
        frames: Frames in a strip.
        side: Height and width of a frame in pixels.
    """
    times = torch.linspace(0.0, CLIP_SECONDS, frames + 1)[:frames].expand(len(scenes), -1)
    pictures = render(encode(scenes), times, side, side)
    strips = (pictures * 255).round().byte().permute(0, 3, 1, 4, 2).flatten(2, 3).numpy()
    cell_width, cell_height = frames * side + _GAP, side + _LINES * _LINE + _GAP
    rows = -(-len(scenes) // columns)
    page = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(_LINE - 3)
    letters = int(frames * side / font.getlength("n"))
    for index, (strip, text) in enumerate(zip(strips, captions, strict=True)):
        row, column = divmod(index, columns)
        left, top = _GAP + column * cell_width, _GAP + row * cell_height
        page.paste(Image.fromarray(strip), (left, top))
        for line, words in enumerate(textwrap.wrap(text, letters)[:_LINES]):
            draw.text((left, top + side + line * _LINE), words, "black", font)
    return page


def main() -> None:
    """Reads the command line and writes the sheet."""
    parser = argparse.ArgumentParser(prog="python -m lab.world.sheet", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--style", choices=STYLE_NAMES, default=None)
    parser.add_argument("--side", type=int, default=128, help="of a frame, in pixels")
    given = parser.parse_args()
    scenes = sample_scenes(given.count, given.seed, style=given.style)
    rng = np.random.default_rng(given.seed)
    sheet(scenes, [caption(scene, rng) for scene in scenes], side=given.side).save(given.out)


if __name__ == "__main__":
    main()
