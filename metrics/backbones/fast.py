"""Precision `fast`: half precision where a card multiplies fast, and fewer launches.

`prepared` readies a loaded network, and `computing` is entered around its forwards:

    network = fast.prepared("dino", network)
    with fast.computing("dino", device):
        features = dino.features(network, pixels)

How each network computes is in `WAYS`; what the choices cost and save is measured by
`benchmarks/networks.py`. Sums, norms, flows and what is looked up in correlations stay in float32.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import torch
from torch import Tensor, nn

Name = Literal["dino", "clip_b32", "clip_l14", "aesthetic", "musiq", "viclip", "raft", "amt"]
Network = TypeVar("Network", bound=nn.Module)

_MATRICES: Final = (nn.Linear, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)

GRAPHS: Final = 4
"""Shapes of inputs of which a network keeps CUDA graphs; each holds memory of its own."""


@dataclass(frozen=True)
class Way:
    """How a network computes.

    Attributes:
        half: Half precision of its products; `None` for float32. A CPU takes bfloat16 for both,
            as it has instructions for nothing else.
        channels_last: Whether a pixel's channels are neighbours in memory.
        compiled: Whether PyTorch fuses its operations. Each new shape costs up to a minute.
        graphed: Whether its launches are recorded and replayed. Only on a GPU.
    """

    half: torch.dtype | None = torch.float16
    channels_last: bool = False
    compiled: bool = False
    graphed: bool = False


WAYS: Final[dict[Name, Way]] = {
    "dino": Way(),
    "clip_b32": Way(),
    "clip_l14": Way(),
    "aesthetic": Way(half=None),
    "musiq": Way(),
    "viclip": Way(),
    "raft": Way(channels_last=True),
    "amt": Way(channels_last=True),
}
"""float16 has three binary digits more than bfloat16 and is as fast; nothing here exceeds its
range. The aesthetic head is one product of a vector."""


def prepared(name: Name, network: Network, way: Way | None = None) -> Network:
    """Readies a loaded network to infer within `computing`; changes it in place.

    Args:
        name: Which network it is.
        network: The network, as its module's `load` gives it.
        way: How it is to compute; `WAYS[name]` if not given.
    """
    way = way or WAYS[name]
    device = next(network.parameters()).device
    half = _half(way, device)
    for module in network.modules():
        vars(module).pop("forward", None)  # bands, which only save memory
        # Subclasses are left alone: they do something to their weights first.
        if half is not None and type(module) in _MATRICES:
            module.to(half)
    if way.channels_last:
        network.to(memory_format=torch.channels_last)
    for part, method in _parts(name, network):
        if way.compiled:
            # Of RAFT a single update: all of them in one piece would take as many times as long.
            inner = "update" if name == "raft" else method
            vars(part)[inner] = torch.compile(getattr(part, inner), dynamic=False)
        if way.graphed and device.type == "cuda":
            vars(part)[method] = Graphed(getattr(part, method))
    return network


@contextmanager
def computing(name: Name, device: torch.device, way: Way | None = None) -> Iterator[None]:
    """Lets the forwards of a prepared network compute as its way says, and TF32 in the rest.

    Args:
        name: Which network it is.
        device: Where it is.
        way: As it was given to `prepared`.
    """
    half = _half(way or WAYS[name], device)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with torch.autocast(device.type, dtype=half, enabled=half is not None):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


class Graphed:
    """A function of tensors whose launches are recorded once for each shape, and then replayed.

    Args:
        function: Takes tensors, tuples of tensors, and plain values; gives tensors in the same
            way. It must not look at what tensors hold.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._graphs: OrderedDict[
            Any, tuple[torch.cuda.CUDAGraph, list[Tensor], list[Tensor], Any]
        ] = OrderedDict()

    def __call__(self, *arguments: Any) -> Any:
        """Gives what the function gives, in tensors of its own."""
        given, shape = torch.utils._pytree.tree_flatten(arguments)
        tensors = [each for each in given if isinstance(each, Tensor)]
        key = (str(shape), *((tuple(each.shape), each.dtype, each.stride()) for each in tensors))
        if key not in self._graphs:
            while len(self._graphs) >= GRAPHS:
                self._graphs.popitem(last=False)
            self._graphs[key] = self._recorded(given, shape)
        self._graphs.move_to_end(key)
        graph, inputs, outputs, form = self._graphs[key]
        for place, tensor in zip(inputs, tensors, strict=True):
            place.copy_(tensor)
        graph.replay()
        return torch.utils._pytree.tree_unflatten([each.clone() for each in outputs], form)

    def _recorded(
        self, given: list[Any], shape: Any
    ) -> tuple[torch.cuda.CUDAGraph, list[Tensor], list[Tensor], Any]:
        held = [each.clone() if isinstance(each, Tensor) else each for each in given]
        arguments = torch.utils._pytree.tree_unflatten(held, shape)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries choose kernels and take memory before
            for _ in range(2):
                self._function(*arguments)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self._function(*arguments)
        outputs, form = torch.utils._pytree.tree_flatten(result)
        return graph, [each for each in held if isinstance(each, Tensor)], outputs, form


def _half(way: Way, device: torch.device) -> torch.dtype | None:
    if way.half is not None and device.type == "cpu":
        return torch.bfloat16
    return way.half


def _parts(name: Name, network: Any) -> list[tuple[Any, str]]:
    """Where a network's work is done: modules, and their methods that take and give tensors."""
    match name:
        case "clip_b32" | "clip_l14":
            return [(network.visual, "forward")]
        case "viclip":
            return [(network.vision_encoder, "forward")]
        case "musiq":
            blocks = network.transformer_encoder.transformer.values()
            return [(block, "forward") for block in blocks]
        case "raft":
            return [(network, "flow")]
        case _:
            return [(network, "forward")]
