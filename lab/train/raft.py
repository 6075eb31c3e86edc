"""Trains the miniature RAFT on textured motion of known flow, and on the world's clips.

The loss is the paper's: the absolute error of the flow after every update, weighted more the later
(section 3.3). Each frame gets noise and a brightness of its own, as real videos have from
compression and exposure.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.utils import flow_to_image

from lab.data.mixture import MotionMixture, world_motion
from lab.data.motion import TexturedMotion
from lab.data.pictures import motorcycle, tiles
from lab.train.export import save_json, save_module_fp16, save_sheet
from lab.train.loop import Settings, Training, autocast
from lab.world.scene import encode, sample_scenes
from metrics.backbones.raft import MINI, Raft, flows, load

HEIGHT: Final = 128
WIDTH: Final = 160
BATCH: Final = 16
STEPS: Final = 6_000
GAMMA: Final = 0.85
"""Weight of an update's error relative to that of the next."""
NORM_BATCHES: Final = 50
HELD_OUT: Final = 900_000
"""Added to the seed for what training never sees."""


def train(settings: Settings) -> None:
    """Trains the network and measures it on held-out motion.

    Writes `weights/raft/raft.safetensors`, held-out figures as `raft.json` and what they were
    taken from as `raft.png`, below `settings.out`.
    """
    device, batch = settings.device, settings.batch or BATCH
    mixture = MotionMixture(TexturedMotion(tiles("training"), device), settings.seed)
    model = Raft(MINI.settings)

    def loss() -> tuple[Tensor, Mapping[str, Tensor]]:
        sample = mixture.draw(batch, HEIGHT, WIDTH)
        first, _, last = sample.frames.unbind(1)
        with autocast(device):
            estimates = model.all_flows(255 * filmed(first), 255 * filmed(last))
        weights = sample.valid / sample.valid.mean()
        errors = [((flow - sample.flow).abs() * weights).mean() for flow in reversed(estimates)]
        total = torch.stack([GAMMA**later * error for later, error in enumerate(errors)]).sum()
        return total, {"epe": endpoint_error(estimates[-1], sample.flow, sample.valid)}

    training = Training("raft", {"raft": model}, loss, settings, steps=STEPS, lr=8e-4)
    training.run()
    training.averaged()
    settle_norms(model, mixture, batch)
    folder = settings.out / "weights" / "raft"
    save_module_fp16(model, folder, "raft.safetensors")
    shipped = load(MINI, folder / "raft.safetensors", device)  # rounded to half precision
    count = 64 if device.type == "cuda" else 2  # on a CPU training is a trial of the code
    measure(shipped, count, settings.seed + HELD_OUT, settings.out)


def filmed(frames: Tensor) -> Tensor:
    """Gives each frame (B, 3, H, W) in [0, 1] a brightness and noise of its own."""
    one = (len(frames), 1, 1, 1)
    brightness = 1 + 0.05 * torch.randn(one, device=frames.device)
    noise = 0.03 * torch.rand(one, device=frames.device) * torch.randn_like(frames)
    return (brightness * frames + noise).clamp(0, 1)


def endpoint_error(flow: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Mean distance of flow (B, 2, H, W) from the true one where that is valid, in pixels."""
    return ((flow - truth).norm(dim=1, keepdim=True) * valid).sum() / valid.sum()


@torch.no_grad()
def settle_norms(model: Raft, mixture: MotionMixture, batch: int) -> None:
    """Takes the batch norms' statistics anew, for the averaged weights, as plain means."""
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    for _ in range(NORM_BATCHES):
        frames = mixture.draw(batch, HEIGHT, WIDTH).frames[:, 0]
        model.context_encoder(2 * filmed(frames) - 1)
    model.eval()


def measure(model: Raft, count: int, seed: int, out: Path) -> None:
    """Writes errors on held-out motion beside those of OpenCV's DIS flow and of no flow at all.

    Args:
        model: The network, as it is shipped.
        count: Scenes of each kind.
        seed: Seed of the scenes; none that training draws from.
        out: Folder for `raft.json` and `raft.png`.
    """
    device = next(model.parameters()).device
    torch.manual_seed(seed)
    textured = TexturedMotion(tiles("held_out"), device).draw(count, HEIGHT, WIDTH)
    world = world_motion(encode(sample_scenes(count, seed)).to(device), HEIGHT, WIDTH)
    kinds = {
        "textured": (textured.frames[:, 0], textured.frames[:, 2], textured.flow, textured.valid),
        "world": (world.frames[:, 0], world.frames[:, 2], world.flow, world.valid),
        "stereo": tuple(part.to(device) for part in stereo_motion()),
    }
    methods: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "raft_mini": lambda first, last: flows(model, first, last, crop=True),
        "dis": dis_flow,
        "none": lambda first, _: first.new_zeros(len(first), 2, *first.shape[2:]).float(),
    }
    figures: dict[str, Any] = {
        "about": {
            "textured": f"mean end-point error in pixels, {count} scenes of textured motion with "
            "held-out photographs",
            "world": f"likewise, {count} held-out scenes of the world",
            "stereo": "likewise, a real stereo pair with measured disparity (Middlebury 2014, "
            "motorcycle), at a third of scikit-image's size",
            "dis": "OpenCV's DIS flow, medium preset",
            "none": "no motion: the mean length of the true flow",
        }
    }
    rows = []
    for kind, (first, last, truth, valid) in kinds.items():
        frames = [(255 * frame).round().to(torch.uint8) for frame in (first, last)]
        estimates = {name: method(*frames) for name, method in methods.items()}
        figures[kind] = {
            name: endpoint_error(flow, truth, valid).item() for name, flow in estimates.items()
        }
        if kind != "stereo":
            longest = truth[:8].norm(dim=1).amax((1, 2)).clamp(min=1)[:, None, None, None]
            shown = (truth, estimates["raft_mini"], estimates["dis"])
            rows += [first[:8], *(painted(flow[:8] / longest) for flow in shown)]
    save_json(out / "raft.json", figures)
    save_sheet(out / "raft.png", rows)
    print(f"raft: {figures}", flush=True)


def dis_flow(first: Tensor, last: Tensor) -> Tensor:
    """OpenCV's DIS flow between uint8 (N, 3, H, W) frames: (N, 2, H, W) in pixels."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimates = []
    for pair in zip(first, last, strict=True):
        before, after = (
            cv2.cvtColor(frame.permute(1, 2, 0).cpu().numpy(), cv2.COLOR_RGB2GRAY) for frame in pair
        )
        start = np.zeros((*before.shape, 2), np.float32)
        estimates.append(torch.from_numpy(method.calc(before, after, start)))
    return torch.stack(estimates).permute(0, 3, 1, 2).to(first.device)


def stereo_motion() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The real stereo pair at a third of its size.

    Returns:
        Left and right picture (1, 3, H, W) in [0, 1], the flow between them (1, 2, H, W) in pixels,
        and where it is known (1, 1, H, W).
    """
    left, right, disparity = motorcycle()
    height, width = (side // 3 * 3 for side in disparity.shape)
    pictures = F.avg_pool2d(torch.stack([left, right])[..., :height, :width].float() / 255, 3)
    centres = disparity[None, None, 1:height:3, 1:width:3]
    known = centres.isfinite()
    distance = torch.where(known, centres / 3, 0.0)
    flow = torch.cat([-distance, torch.zeros_like(distance)], dim=1)
    return pictures[:1], pictures[1:], flow, known.float()


def painted(flow: Tensor) -> Tensor:
    """Flow (N, 2, H, W) of length 1 at most, as colours in [0, 1]: the hue is the direction."""
    one_by_one = [flow_to_image(single.cpu()) for single in flow]
    return torch.stack(one_by_one).float() / 255
