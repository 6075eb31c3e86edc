"""Forwards of fixed shape, recorded once as a CUDA graph and replayed.

A forward of RAFT launches thousands of small kernels; launching them takes longer than a GPU needs
to run them in half precision. A replay launches all of them at once. It runs the very kernels that
were recorded, so it gives the same bits.
"""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

Row = tuple[Tensor, ...]
"""What a network takes, or gives: of one input, or with the axis of the batch first of all."""

EAGER: Final = 2
"""Forwards that are run as they are before one is recorded: a recording has to pay for itself."""


class Captured:
    """A forward that is recorded when it has been asked for often enough.

    Args:
        forward: Takes and gives tensors on a GPU. Their shapes stay the same. It never looks at a
            value from the host.
        pool: Memory that recordings share, as `torch.cuda.graph_pool_handle` gives it. Only one
            of them runs at a time.
    """

    def __init__(self, forward: Callable[[Row], Row], pool: Any) -> None:
        self._forward, self._pool = forward, pool
        self._calls = 0
        self._recording: _Recording | None = None

    def __call__(self, inputs: Row) -> Row:
        """Runs the forward."""
        self._calls += 1
        if self._calls <= EAGER:
            return self._forward(inputs)
        if self._recording is None:
            self._recording = _Recording(self._forward, inputs, self._pool)
        return self._recording.replay(inputs)


class _Recording:
    def __init__(self, forward: Callable[[Row], Row], inputs: Row, pool: Any) -> None:
        self.inputs = tuple(each.clone() for each in inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            forward(self.inputs)  # what libraries set up at first must not be recorded
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=pool):
            self.outputs = forward(self.inputs)

    def replay(self, inputs: Row) -> Row:
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        self.graph.replay()
        # The next replay, of this recording or of another, writes over the outputs.
        return tuple(output.clone() for output in self.outputs)
