"""Pictures: one file each, PNG when written."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mora.media.atomic import writing
from mora.media.errors import MediaNotFoundError, NotAVideoError

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})


def read_image(path: Path) -> NDArray[np.uint8]:
    """Returns a picture as uint8 (H, W, 3), RGB; transparent parts lie over black.

    Raises:
        MediaNotFoundError: There is no such file.
        NotAVideoError: It is not a picture, or not a whole one.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaNotFoundError(path, "there is no such file")
    try:
        with Image.open(path) as picture:
            return opaque(picture)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise NotAVideoError(path, f"it is not a readable picture ({error})") from error


def opaque(picture: Image.Image) -> NDArray[np.uint8]:
    """Returns the picture as uint8 (H, W, 3) over black."""
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    return np.asarray(picture.convert("RGB"))


def write_image(path: Path, picture: NDArray[np.uint8]) -> None:
    """Writes uint8 (H, W, 3) RGB as a PNG, which appears only when it is complete."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"{path}: a picture is uint8 (H, W, 3), not {picture.dtype} {picture.shape}")
    with writing(Path(path)) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def pictures_in(folder: Path) -> list[Path]:
    """Returns the folder's pictures in natural order (frame 2 before frame 10)."""
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    ]
    return sorted(found, key=lambda path: natural_key(path.name))


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Key that sorts digits within names by their number."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)
