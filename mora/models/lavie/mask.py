"""Which frames SEINE is given and which it makes."""

import torch
from torch import Tensor


def mask(frames: int, first: int, last: int) -> Tensor:
    """Returns the mask over a clip's frames, float32 (frames,): 1 to be made, 0 given.

    SEINE's transition gives one frame at each end, its image-to-video the first frame only.

    Args:
        frames: Frames of the clip.
        first: Frames given at the start.
        last: Frames given at the end.

    Raises:
        ValueError: A count is negative, or more frames are given than there are.
    """
    if min(first, last) < 0 or first + last > frames:
        raise ValueError(
            f"expected at most {frames} given frames, found {first} first and {last} last"
        )
    made = torch.zeros(frames)
    made[first : frames - last] = 1
    return made
