"""Convolutions of large frames, a band of rows at a time.

Kernels that convolve bring what they take and give into layouts of their own, each time a copy. Of
a frame of 3840 x 2160 that RAFT sees, one such copy takes 0.5 GB.
"""

from functools import partial
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

Network = TypeVar("Network", bound=nn.Module)

LARGE = 2**25
"""Most numbers that a convolution gives of one frame in one piece: 128 MB."""

BAND = 2**23
"""Numbers in a band of what is larger."""


def in_bands(network: Network) -> Network:
    """Lets the convolutions of a network go in bands where they give more than `LARGE` numbers.

    Those of a single frame count, however many go together. What they give is the same, but for
    rounding. Smaller ones are left as they are.

    Args:
        network: A network that is only to infer. Its convolutions pad with zeros.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            vars(module)["forward"] = partial(convolve, module)
    return network


def convolve(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolves `x` (B, C, H, W), in bands if that gives many numbers."""
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    above, beside = (int(padding) for padding in convolution.padding)
    height = (x.shape[-2] + 2 * above - kernel) // stride + 1
    width = (x.shape[-1] + 2 * beside - convolution.kernel_size[1]) // convolution.stride[1] + 1
    a_row = convolution.out_channels * width
    if height * a_row <= LARGE:
        return nn.Conv2d.forward(convolution, x)
    result = x.new_empty(len(x), height, width, convolution.out_channels).permute(0, 3, 1, 2)
    rows = max(1, BAND // (len(x) * a_row))
    for start in range(0, height, rows):
        end = min(start + rows, height)
        first, last = start * stride - above, (end - 1) * stride - above + kernel
        band = x[..., max(first, 0) : min(last, x.shape[-2]), :]
        band = F.pad(band, (0, 0, max(-first, 0), max(last - x.shape[-2], 0)))
        result[..., start:end, :] = F.conv2d(
            band, convolution.weight, convolution.bias, convolution.stride, (0, beside)
        )
    return result
