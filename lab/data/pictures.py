"""Photographs that scikit-image and scikit-learn carry inside their wheels.

They give textures and detail that the miniature world lacks to the training of flow,
interpolation and quality. Nothing is fetched, and no photograph is stored in this project.

| name | what | licence |
|---|---|---|
| astronaut | Eileen Collins, NASA | public domain |
| brick, grass, gravel | textures of CC0Textures | CC0 |
| camera | a cameraman, Lav Varshney | CC0 |
| chelsea | a cat, Stefan van der Walt | CC0 |
| coffee | a cup, Rachel Michetti | CC0 |
| coins | from Pompeii, Brooklyn Museum | no known restrictions |
| ihc | stained tissue | no known restrictions |
| rocket | a launch, SpaceX | public domain |
| motorcycle_left, motorcycle_right | a stereo pair, Middlebury 2014 benchmark | for research |
| china, flower | buildings and a blossom, by their photographers on Flickr | CC BY 2.0 |

`china` is by danielbuechele, `flower` by vultilion.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

_SKIMAGE = ("skimage", "data")
_SKLEARN = ("sklearn", "datasets", "images")

TRAINING: dict[str, tuple[str, ...]] = {
    "astronaut": (*_SKIMAGE, "astronaut.png"),
    "brick": (*_SKIMAGE, "brick.png"),
    "camera": (*_SKIMAGE, "camera.png"),
    "china": (*_SKLEARN, "china.jpg"),
    "coffee": (*_SKIMAGE, "coffee.png"),
    "coins": (*_SKIMAGE, "coins.png"),
    "grass": (*_SKIMAGE, "grass.png"),
    "ihc": (*_SKIMAGE, "ihc.png"),
    "rocket": (*_SKIMAGE, "rocket.jpg"),
}
"""Photographs that training draws from: the package, then the path inside it."""

HELD_OUT: dict[str, tuple[str, ...]] = {
    "chelsea": (*_SKIMAGE, "chelsea.png"),
    "flower": (*_SKLEARN, "flower.jpg"),
    "gravel": (*_SKIMAGE, "gravel.png"),
    "motorcycle_left": (*_SKIMAGE, "motorcycle_left.png"),
    "motorcycle_right": (*_SKIMAGE, "motorcycle_right.png"),
}
"""Photographs that no training sees."""

Split = Literal["training", "held_out"]


@cache
def photographs(split: Split) -> dict[str, Tensor]:
    """Reads the photographs of a split.

    Returns:
        uint8 (3, H, W) by name, at their own sizes (300 to 750 pixels); grey ones have three
        equal channels.

    Raises:
        FileNotFoundError: A package is not installed, or no longer carries the photograph.
    """
    names = TRAINING if split == "training" else HELD_OUT
    return {name: _read(name, *place) for name, place in names.items()}


def motorcycle() -> tuple[Tensor, Tensor, Tensor]:
    """The held-out stereo pair, with what is known of its depth.

    Returns:
        Left and right picture, uint8 (3, 500, 741); and the disparity of the left (500, 741), in
        pixels: what is at x there is at x - disparity on the right; infinite where unknown.
    """
    pair = photographs("held_out")
    with np.load(_find("motorcycle_disp", *_SKIMAGE, "motorcycle_disp.npz")) as stored:
        disparity = torch.from_numpy(stored["arr_0"])
    return pair["motorcycle_left"], pair["motorcycle_right"], disparity


def tiles(split: Split, side: int = 288) -> Tensor:
    """Cuts the photographs into squares, whole ones shrunk and details at their own size.

    Args:
        split: Which photographs.
        side: Side of the squares; 288 fits into the smallest photograph.

    Returns:
        uint8 (N, 3, side, side), in a fixed order.
    """
    return torch.cat([_squares(picture, side) for picture in photographs(split).values()])


def _squares(picture: Tensor, side: int) -> Tensor:
    """Squares (N, 3, side, side) side by side over the picture as it is and over it shrunk."""
    height, width = picture.shape[-2:]
    scale = side / min(height, width)
    size = (round(scale * height), round(scale * width))
    shrunk = F.interpolate(
        picture[None].float(), size, mode="bilinear", align_corners=False, antialias=True
    )[0]
    squares = []
    for version in (picture, shrunk.round().clamp(0, 255).to(torch.uint8)):
        height, width = version.shape[-2:]
        rows, columns = height // side, width // side
        top, left = (height - rows * side) // 2, (width - columns * side) // 2
        inner = version[:, top : top + rows * side, left : left + columns * side]
        blocks = inner.unfold(1, side, side).unfold(2, side, side)
        squares.append(blocks.permute(1, 2, 0, 3, 4).flatten(0, 1))
    return torch.cat(squares)


def _read(name: str, package: str, *place: str) -> Tensor:
    with Image.open(_find(name, package, *place)) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()


def _find(name: str, package: str, *place: str) -> Path:
    found = importlib.util.find_spec(package)  # finds the folder without importing the package
    if found is None or found.submodule_search_locations is None:
        raise FileNotFoundError(
            f"{name} comes inside the package {package}, which is not installed; "
            'install what the lab needs: pip install "mora-bench[lab]"'
        )
    path = Path(found.submodule_search_locations[0]).joinpath(*place)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: the installed {package} carries no {name}; "
            'install the version that the lab needs: pip install "mora-bench[lab]"'
        )
    return path
