"""Trains the miniature AMT on textured motion with a known middle frame, and on the world's clips.

The loss compares the frame in between with the true one, pixel by pixel and by its detail at
several sizes, and the flows that the updates leave with the true motion, which spares the network
from finding out about motion by trial.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from lab.data.mixture import MotionMixture, world_motion
from lab.data.motion import TexturedMotion
from lab.data.pictures import tiles
from lab.train.export import save_json, save_module_fp16, save_sheet
from lab.train.loop import Settings, Training, autocast
from lab.world.scene import encode, sample_scenes
from metrics.backbones.amt import MINI, Amt, interpolate, load

HEIGHT: Final = 128
WIDTH: Final = 160
BATCH: Final = 16
STEPS: Final = 8_000
FLOW_WEIGHT: Final = 0.01
"""Loss of a pixel of flow, where the frame's channels are in [0, 1]."""
DETAIL_LEVELS: Final = 4
HELD_OUT: Final = 900_000
"""Added to the seed for what training never sees."""


def train(settings: Settings) -> None:
    """Trains the network and measures it on held-out motion.

    Writes `weights/amt/amt.safetensors`, held-out figures as `amt.json` and what they were taken
    from as `amt.png`, below `settings.out`.
    """
    device, batch = settings.device, settings.batch or BATCH
    mixture = MotionMixture(TexturedMotion(tiles("training"), device), settings.seed)
    model = Amt(MINI.settings)

    def loss() -> tuple[Tensor, Mapping[str, Tensor]]:
        sample = mixture.draw(batch, HEIGHT, WIDTH)
        first, middle, last = sample.frames.unbind(1)
        with autocast(device):
            frame, flows = model(first, last)
        off = frame.float() - middle
        pixels = (off**2 + 1e-6).sqrt().mean()
        motion = torch.stack([flow_error(pair, sample.halfway) for pair in flows]).sum()
        total = pixels + detail(off) + FLOW_WEIGHT * motion
        return total, {"psnr": psnr(frame.float(), middle).mean(), "flow": motion / len(flows)}

    training = Training("amt", {"amt": model}, loss, settings, steps=STEPS)
    training.run()
    training.averaged()
    folder = settings.out / "weights" / "amt"
    save_module_fp16(model, folder, "amt.safetensors")
    shipped = load(MINI, folder / "amt.safetensors", device)  # rounded to half precision
    count = 64 if device.type == "cuda" else 2  # on a CPU training is a trial of the code
    measure(shipped, count, settings.seed + HELD_OUT, settings.out)


def flow_error(pair: tuple[Tensor, Tensor], halfway: Tensor) -> Tensor:
    """Mean absolute error of a pair of flows, in full-size pixels.

    Args:
        pair: To the frame before and to the one after, (B, 2, h, w), in pixels of their own size.
        halfway: The true flows, (B, 4, H, W).
    """
    flows = torch.cat(pair, dim=1)
    truth = F.interpolate(halfway, flows.shape[-2:], mode="area")
    return (halfway.shape[-1] / flows.shape[-1] * flows - truth).abs().mean()


def detail(off: Tensor) -> Tensor:
    """Mean absolute error of the levels of a Laplacian pyramid.

    Args:
        off: (B, C, H, W), the difference of two pictures; the pyramid is linear.
    """
    total = off.new_zeros(())
    for _ in range(DETAIL_LEVELS):
        coarse = F.avg_pool2d(off, 2)
        fine = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        total = total + (off - fine).abs().mean()
        off = coarse
    return total + off.abs().mean()


def psnr(pictures: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture (B, 3, H, W) in [0, 1], in dB; 60 at most."""
    return -10 * (pictures - truth).square().mean((1, 2, 3)).clamp(min=1e-6).log10()


def measure(model: Amt, count: int, seed: int, out: Path) -> None:
    """Writes how well held-out middle frames are met, beside what averaging the others gives.

    Args:
        model: The network, as it is shipped.
        count: Scenes of each kind.
        seed: Seed of the scenes; none that training draws from.
        out: Folder for `amt.json` and `amt.png`.
    """
    device = next(model.parameters()).device
    torch.manual_seed(seed)
    kinds = {
        "textured": TexturedMotion(tiles("held_out"), device).draw(count, HEIGHT, WIDTH),
        "world": world_motion(encode(sample_scenes(count, seed)).to(device), HEIGHT, WIDTH),
    }
    methods: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "amt_mini": lambda first, last: interpolate(model, first, last),
        "average": lambda first, last: (first.float() + last.float()) / 510,
        "first": lambda first, _: first.float() / 255,
    }
    figures: dict[str, Any] = {
        "about": {
            "textured": f"mean PSNR in dB of the middle frame, {count} scenes of textured motion "
            "with held-out photographs",
            "world": f"likewise, {count} held-out scenes of the world",
            "average": "the average of the two frames",
            "first": "the first frame, unchanged",
        }
    }
    rows = []
    for kind, truth in kinds.items():
        first, middle, last = (255 * truth.frames).round().to(torch.uint8).unbind(1)
        estimates = {name: method(first, last) for name, method in methods.items()}
        figures[kind] = {
            name: psnr(frames, middle.float() / 255).mean().item()
            for name, frames in estimates.items()
        }
        shown = (first / 255, last / 255, middle / 255, estimates["amt_mini"], estimates["average"])
        rows += [frames[:8] for frames in shown]
    save_json(out / "amt.json", figures)
    save_sheet(out / "amt.png", rows)
    print(f"amt: {figures}", flush=True)
