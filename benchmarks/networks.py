"""How fast the metric networks run on a device, beside what the device can do.

    PYTHONPATH=. python benchmarks/networks.py --device cuda --out networks.json
    PYTHONPATH=. python benchmarks/networks.py --device cpu --out cpu.json --size 192x256 --frames 4

The device's ceilings come first: matrix products in each precision, a large convolution, a copy.
Then each network, with random weights at its published size, sees one video of 25 frames of
576 x 1024: `exact`, and in several ways of `fast`. Of each way the table shows

- ms a video: the median of several runs, by the device's own clock;
- TFLOP/s, the operations counted by `torch.utils.flop_counter` in `exact` over that time, and their
  share of the ceiling of its precision (float32's in `exact`, whose convolutions on a GPU may be
  TF32: then it may exceed 100 %);
- peak: the most device memory, the network's weights included;
- drift: the length of the difference from `exact` by the length of its output.

What takes long, compiling, comes last and is left out when `--seconds` are spent. A way that fails
is recorded with its error, and the rest goes on. Weights are random, so drift is a lead only: what
scores drift by is measured on the golden cases.
"""

import argparse
import copy
import gc
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from metrics import preprocess
from metrics.backbones import amt, clip, dino, fast, musiq, raft, viclip
from metrics.backbones.fast import Name, Way
from metrics.backbones.layout import laid_out

EXACT = Way(half=None)
FP16, BF16 = Way(half=torch.float16), Way(half=torch.bfloat16)


@dataclass(frozen=True)
class Case:
    """A network and what it is to do for one video.

    Attributes:
        name: The network.
        build: Makes it with random weights.
        forward: Its work on the frames uint8 (T, 3, H, W), so many at a time.
        batches: Numbers of inputs of a forward that are tried; the first is compared in all ways.
    """

    name: Name
    build: Callable[[], nn.Module]
    forward: Callable[[Any, Tensor, int], Tensor]
    batches: tuple[int, ...]


class Measured(NamedTuple):
    """What a way took."""

    ms: float
    spread_ms: float
    peak_gb: float | None
    output: Tensor


def chunks(frames: Tensor, size: int, forward: Callable[[Tensor], Tensor]) -> Tensor:
    """Runs `forward` on so many frames at a time."""
    return torch.cat([forward(chunk) for chunk in torch.split(frames, size)])


def by_dino(model: Any, frames: Tensor, batch: int) -> Tensor:
    """Classes of all frames, not cropped."""
    how = dino.OFFICIAL.preprocessing
    return chunks(frames, batch, lambda part: dino.features(model, preprocess.unrounded(part, how)))


def by_clip(model: Any, frames: Tensor, batch: int) -> Tensor:
    """Embeddings of all frames."""
    how = clip.B32.preprocessing

    def embed(part: Tensor) -> Tensor:
        return clip.image_features(model, preprocess.unrounded(part, how))

    return chunks(frames, batch, embed)


def by_musiq(model: Any, frames: Tensor, batch: int) -> Tensor:
    """Scores of all frames."""
    return chunks(frames, batch, lambda part: musiq.scores(model, part, resize="longer"))


def by_viclip(model: Any, frames: Tensor, batch: int) -> Tensor:  # noqa: ARG001  one clip a video
    """The embedding of eight frames, of the four there are if there are no more."""
    picked = frames[preprocess.middle_frames(len(frames), 8)]
    return viclip.video_features(
        model, preprocess.rounded(picked, viclip.OFFICIAL.preprocessing)[None]
    )


def by_raft(model: Any, frames: Tensor, batch: int) -> Tensor:
    """Flow of all neighbours; each frame is encoded once. Every eighth pixel is kept."""
    parts = [raft.encode(model, part) for part in torch.split(frames, batch)]
    encoded = tuple(torch.cat(each) for each in zip(*parts, strict=True))
    flows = []
    for start in range(0, len(frames) - 1, batch):
        end = min(start + batch, len(frames) - 1)
        before = tuple(each[start:end] for each in encoded)
        after = tuple(each[start + 1 : end + 1] for each in encoded)
        flows.append(raft.flows_between(model, before, after)[..., ::8, ::8])
    return torch.cat(flows)


def by_amt(model: Any, frames: Tensor, batch: int) -> Tensor:
    """Every second frame from its neighbours. Every eighth pixel is kept."""
    even = frames[::2]
    pairs = zip(torch.split(even[:-1], batch), torch.split(even[1:], batch), strict=True)
    return torch.cat([amt.interpolate(model, *pair)[..., ::8, ::8] for pair in pairs])


CASES = (
    Case("dino", lambda: dino.Dino(dino.OFFICIAL.settings), by_dino, (25,)),
    Case("clip_b32", lambda: clip.build(clip.B32.settings), by_clip, (25,)),
    Case("clip_l14", lambda: clip.build(clip.L14.settings), by_clip, (25,)),
    Case("musiq", lambda: musiq.lean(musiq.build(musiq.OFFICIAL.settings)), by_musiq, (25,)),
    Case("viclip", lambda: viclip.ViClip(viclip.OFFICIAL.settings), by_viclip, (1,)),
    Case("raft", lambda: raft.Raft(raft.OFFICIAL.settings), by_raft, (8, 1, 2, 4, 24)),
    Case("amt", lambda: amt.Amt(amt.OFFICIAL.settings), by_amt, (4, 1, 2, 8, 12)),
)


def texture(count: int, height: int, width: int, device: torch.device) -> Tensor:
    """Frames in which a texture moves by two pixels: uint8 (count, 3, height, width)."""
    noise = torch.rand(1, 3, height // 8 + 8, (width + 2 * count) // 8 + 8, device=device)
    fine = F.interpolate(noise, scale_factor=8, mode="bicubic")[0].clamp(0, 1)
    moved = [fine[:, :height, 2 * t : 2 * t + width] for t in range(count)]
    return (torch.stack(moved) * 255).byte()


def timed(function: Callable[[], object], device: torch.device, repeats: int) -> list[float]:
    """Milliseconds of each of several runs, after one that does not count."""
    function()
    times = []
    for _ in range(repeats):
        if device.type == "cuda":
            start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            start.record()
            function()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end))
        else:
            started = time.perf_counter()
            function()
            times.append(1e3 * (time.perf_counter() - started))
    return times


def ceilings(device: torch.device) -> dict[str, float]:
    """TFLOP/s of matrix products and of a convolution, TB/s of a copy (read and written)."""
    on_gpu = device.type == "cuda"
    side, found = 8192 if on_gpu else 1024, {}

    def rate(operations: float, function: Callable[[], object]) -> float:
        return operations / statistics.median(timed(function, device, 10)) / 1e9

    kinds = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
    kinds |= {"fp16": torch.float16} if on_gpu else {}
    before = torch.get_float32_matmul_precision()
    for kind, dtype in kinds.items():
        if kind == "tf32" and not on_gpu:
            continue
        torch.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        found[kind] = rate(2 * side**3, partial(torch.mm, a, b))
    torch.set_float32_matmul_precision(before)
    batch = 8 if on_gpu else 1
    x = torch.randn(batch, 256, 72, 128, device=device)
    weight = torch.randn(256, 256, 3, 3, device=device)
    half = torch.float16 if on_gpu else torch.bfloat16
    for kind, dtype in (("conv float32", torch.float32), ("conv half", half)):
        operands = [each.to(dtype).to(memory_format=torch.channels_last) for each in (x, weight)]
        count = 2 * batch * 256 * 256 * 9 * 72 * 128
        found[kind] = rate(count, partial(F.conv2d, *operands, padding=1))
    source = torch.empty(2**30 if on_gpu else 2**26, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    found["copy"] = rate(2 * source.numel(), partial(target.copy_, source))
    return found


def ways(case: Case, device: torch.device, quick: bool) -> Iterator[tuple[str, Way, int, bool]]:
    """Names, ways, batches, and whether it is `exact`: what is asked of each network."""
    first, *others = case.batches
    convolves = case.name in ("raft", "amt", "musiq")
    best = fast.WAYS[case.name]
    if quick:
        yield "exact", EXACT, first, True
        if convolves:
            yield "exact, channels last", replace(EXACT, channels_last=True), first, True
        if device.type == "cuda":
            yield "tf32", EXACT, first, False
            yield "fp16", FP16, first, False
        yield "bf16", BF16, first, False
        if convolves:
            half = FP16 if device.type == "cuda" else BF16
            yield "half, channels last", replace(half, channels_last=True), first, False
        for batch in others:
            yield f"exact, batch {batch}", EXACT, batch, True
            yield f"fast, batch {batch}", best, batch, False
        if device.type == "cuda":
            yield "fast, graph", replace(best, graphed=True), first, False
            if others:
                yield "fast, graph, batch 1", replace(best, graphed=True), 1, False
    else:
        yield "fast, compiled", replace(best, compiled=True), first, False


def operations(case: Case, network: nn.Module, frames: Tensor) -> float:
    """Floating-point operations of a video in `exact`; a multiply-add counts as two."""
    part = frames if case.name == "viclip" else frames[: 3 if case.name == "amt" else 2]
    torch.backends.mha.set_fastpath_enabled(False)
    try:  # fused attention is not in the counter's books; its plain form is
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            case.forward(network, part, len(part))
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    total: int = counter.get_total_flops()
    if case.name == "raft":  # two encodings and a pair
        with FlopCounterMode(display=False) as encoding:
            raft.encode(network, part[:1])  # type: ignore[arg-type]
        a_frame: int = encoding.get_total_flops()
        return (total - 2 * a_frame) * (len(frames) - 1) + a_frame * len(frames)
    shares = {"viclip": 1.0, "amt": (len(frames) - 1) // 2}
    return total * shares.get(case.name, len(frames) / 2)


def measured(
    case: Case, base: nn.Module, frames: Tensor, way: Way, batch: int, *, exact: bool, repeats: int
) -> Measured:
    """Runs a copy of the network in one way."""
    device = frames.device
    network = copy.deepcopy(base).to(device)
    around: Callable[[], AbstractContextManager[None]] = nullcontext
    if exact:
        if case.name in ("raft", "amt"):
            network = laid_out(network)  # as their `load` does
        if way.channels_last:
            network.to(memory_format=torch.channels_last)
    else:
        network = fast.prepared(case.name, network, way)
        around = partial(fast.computing, case.name, device, way)
    with around():
        output = case.forward(network, frames, batch)
        if device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        times = timed(partial(case.forward, network, frames, batch), device, repeats)
    peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None
    return Measured(statistics.median(times), max(times) - min(times), peak, output.float())


def main() -> None:
    """Measures, prints a line for each way, and writes all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--size", default="576x1024", help="height x width, in pixels")
    parser.add_argument("--seconds", type=float, default=140, help="when to stop")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--networks", nargs="*", default=[case.name for case in CASES])
    arguments = parser.parse_args()
    started, device = time.perf_counter(), torch.device(arguments.device)
    height, width = map(int, arguments.size.split("x"))
    on_gpu = device.type == "cuda"
    cases = [case for case in CASES if case.name in arguments.networks]
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if on_gpu else platform.machine(),
        "torch": torch.__version__,
        "frames": arguments.frames,
        "size": arguments.size,
        "ceilings": ceilings(device),
        "rows": [],
    }
    print("TFLOP/s, TB/s:", {name: round(rate, 3) for name, rate in found["ceilings"].items()})
    torch.manual_seed(0)
    frames = texture(arguments.frames, height, width, device)
    networks: dict[str, nn.Module] = {}
    counts: dict[str, float] = {}
    expected: dict[str, Tensor] = {}
    for quick in (True, False):
        for case in cases:
            if case.name not in networks:
                networks[case.name] = case.build().eval().requires_grad_(False)
                network = copy.deepcopy(networks[case.name]).to(device)
                counts[case.name] = operations(case, network, frames)
                del network
            for label, way, batch, exact in ways(case, device, quick):
                row: dict[str, Any] = {
                    "network": case.name,
                    "way": label,
                    "batch": batch,
                    "settings": {key: str(value) for key, value in asdict(way).items()},
                    "tflop": counts[case.name] / 1e12,
                }
                found["rows"].append(row)
                if time.perf_counter() - started > arguments.seconds:
                    row["error"] = "left out: the time is spent"
                    continue
                try:
                    took = measured(
                        case,
                        networks[case.name],
                        frames,
                        way,
                        batch,
                        exact=exact,
                        repeats=arguments.repeats,
                    )
                except Exception as error:  # one way's failure is not another's
                    row["error"] = f"{type(error).__name__}: {error}"[:500]
                    print(f"{case.name:9} {label:22} {row['error'][:100]}", flush=True)
                    continue
                finally:
                    gc.collect()
                    if on_gpu:
                        torch.cuda.empty_cache()
                truth = expected.setdefault(case.name, took.output)
                rate = counts[case.name] / took.ms / 1e9
                ceiling = found["ceilings"][ceiling_of(way, exact=exact, on_gpu=on_gpu)]
                row |= {
                    "ms": took.ms,
                    "spread_ms": took.spread_ms,
                    "peak_gb": took.peak_gb,
                    "tflop_per_s": rate,
                    "share": rate / ceiling,
                    "drift": ((took.output - truth).norm() / truth.norm()).item(),
                }
                print(line(row), flush=True)
                arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    found["seconds"] = time.perf_counter() - started
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{found['seconds']:.0f} s", file=sys.stderr)


def ceiling_of(way: Way, *, exact: bool, on_gpu: bool) -> str:
    """The ceiling that a way is held against."""
    if way.half is not None:
        return "fp16" if way.half is torch.float16 and on_gpu else "bf16"
    return "tf32" if on_gpu and not exact else "fp32"


def line(row: dict[str, Any]) -> str:
    """A way as a line of the table."""
    peak = "" if row["peak_gb"] is None else f"{row['peak_gb']:5.1f} GB "
    return (
        f"{row['network']:9} {row['way']:22} batch {row['batch']:2} {row['ms']:9.1f} ms "
        f"{row['tflop_per_s']:7.2f} TFLOP/s {row['share']:4.0%} {peak}drift {row['drift']:.1e}"
    )


if __name__ == "__main__":
    main()
