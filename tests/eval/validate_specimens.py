"""Small clips of moving squares, to be damaged."""

import hashlib

import numpy as np

from eval.validate.specimen import Specimen, Wording

HUES = {
    "red": (220, 40, 30),
    "blue": (40, 60, 220),
    "green": (40, 190, 70),
    "pink": (250, 130, 190),
}


def clip(
    hue: str, frames: int = 10, height: int = 96, width: int = 128, ground: int = 90
) -> np.ndarray:
    """A square that moves to the right over a grainy ground; each frame is another picture."""
    rng = np.random.default_rng(len(hue))
    still = rng.integers(ground - 25, ground + 25, (height, width, 3)).astype(np.uint8)
    film = np.repeat(still[None], frames, axis=0)
    for time in range(frames):
        film[time, 12:30, 4 + 3 * time : 22 + 3 * time] = HUES[hue]
    return film


def specimen(hue: str, text: str | None = "", **size: int) -> Specimen:
    """A clip with its caption, or the one given."""
    film = clip(hue, **size)
    film.setflags(write=False)  # damages must leave it as it is
    others = [each for each in HUES if each != hue]
    wording = None if text is None else Wording(text or f"a {hue} square moves right", "plain")
    return Specimen(
        name=hue,
        sha256=hashlib.sha256(film.tobytes()).hexdigest(),
        path=f"{hue} square",
        frames=film.shape[0],
        height=film.shape[1],
        width=film.shape[2],
        fps=8.0,
        wording=wording,
        read=lambda: film,
        swapped={
            "object": lambda: clip(others[0], **size),
            "background": lambda: clip(hue, ground=200, **size),
        },
        misworded={
            "colour": Wording(f"a {others[0]} square moves right", "plain"),
            "shape": Wording(f"a {hue} circle moves right", "plain"),
            "motion": Wording(f"a {hue} square moves left", "plain"),
            "style": Wording(f"a {hue} square moves right at night", "night"),
        },
    )


def specimens(**size: int) -> list[Specimen]:
    """Four different clips."""
    return [specimen(hue, **size) for hue in HUES]
