"""Padding of frames to the sides that a network takes, by repeating their borders."""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class FrameTooSmallError(ValueError):
    """Frames are smaller than the network can take, so that there is no result to be had.

    Attributes:
        width: Width of the frames as they came, in pixels.
        height: Height of the frames as they came, in pixels.
        smallest: Smallest side after padding that the network takes, in pixels.
    """

    def __init__(self, network: str, width: int, height: int, smallest: int) -> None:
        super().__init__(
            f"{network}: frames of {width}x{height} are too small: padded, both sides must have "
            f"at least {smallest} pixels; score a larger video or leave this metric out"
        )
        self.width, self.height, self.smallest = width, height, smallest


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
        return F.pad(frames, self, mode="replicate")

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
        raise FrameTooSmallError(network, width, height, smallest)
    return padded, padding
