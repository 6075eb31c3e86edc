"""Which sizes of frames networks take: padding by repeating the border, and what is too small."""

from typing import Final, NamedTuple

from torch import Tensor
from torch.nn import functional as F

NARROWEST: Final = 32
"""Most that a frame's longer side may be of its shorter, where networks scale frames by a side."""


class FrameTooSmallError(ValueError):
    """Frames are smaller or narrower than a network can take, so that there is no result.

    Attributes:
        width: Width of the frames as they came, in pixels.
        height: Their height.
    """

    def __init__(self, width: int, height: int, expected: str) -> None:
        super().__init__(
            f"frames of {width}x{height} are too small: {expected}; "
            "score a larger video or leave this metric out"
        )
        self.width, self.height = width, height


def check_proportions(height: int, width: int) -> None:
    """Refuses frames whose shorter side vanishes, or whose longer one explodes, when scaled.

    Raises:
        FrameTooSmallError: The longer side is more than `NARROWEST` times the shorter.
    """
    if max(height, width) > NARROWEST * min(height, width):
        raise FrameTooSmallError(
            width, height, f"the longer side may be at most {NARROWEST} times the shorter"
        )


class Padding(NamedTuple):
    """Pixels added on each side, in the order of `torch.nn.functional.pad`."""

    left: int
    right: int
    top: int
    bottom: int

    @classmethod
    def to_multiple(cls, height: int, width: int, multiple: int) -> "Padding":
        """Padding that makes both sides multiples of `multiple`, the smaller half left and top."""
        rows, columns = -height % multiple, -width % multiple
        return cls(columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)

    def pad(self, frames: Tensor) -> Tensor:
        """Repeats the borders of floating-point `frames` (N, C, H, W)."""
        return F.pad(frames, self, mode="replicate") if any(self) else frames

    def crop(self, padded: Tensor) -> Tensor:
        """Takes the padding off `padded` (N, C, H, W) again."""
        height, width = padded.shape[-2:]
        return padded[..., self.top : height - self.bottom, self.left : width - self.right]


def pad_to_multiple(
    frames: Tensor, multiple: int, smallest: int, network: str
) -> tuple[Tensor, Padding]:
    """Pads `frames` so that `network` takes them.

    Args:
        frames: (N, C, H, W), floating point.
        multiple: What both sides are to be multiples of.
        smallest: Smallest side after padding that the network takes.
        network: Name of the network, for the error.

    Returns:
        The padded frames, and the padding, to crop what the network makes of them.

    Raises:
        FrameTooSmallError: A padded side is shorter than `smallest`.
    """
    height, width = frames.shape[-2:]
    padding = Padding.to_multiple(height, width, multiple)
    padded = padding.pad(frames)
    if min(padded.shape[-2:]) < smallest:
        raise FrameTooSmallError(
            width,
            height,
            f"padded to multiples of {multiple}, both sides must have at least {smallest} pixels "
            f"for {network}",
        )
    return padded, padding
