"""Trains the miniature CLIP on stills of the world and their captions.

The loss is CLIP's. Beside it, short texts that name one thing each are told apart for every still:
"a red circle", "sketch style", "a navy background". Prompts of people are as short as that, and
captions alone would leave such texts unseen. A linear head that is thrown away afterwards names the
object straight from the still's embedding, so that the picture tower need not wait for the texts.

A still cannot show motion, although its caption speaks of it; the motion is left to ViCLIP.
"""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from open_clip import CLIP
from torch import Tensor, nn

from lab.train.contrastive import contrast, shares, text_ids
from lab.train.export import save_json, save_module_fp16
from lab.train.loop import Settings, Training, autocast
from lab.train.views import cut_views
from lab.world.caption import caption
from lab.world.pool import Pool
from lab.world.render import render
from lab.world.scene import (
    CLIP_SECONDS,
    COLOUR_NAMES,
    GROUND_COLOUR_NAMES,
    SHAPE_NAMES,
    STYLE_NAMES,
    SceneBatch,
    encode,
    sample_scenes,
)
from metrics import preprocess
from metrics.backbones.clip import MINI, build, image_features, load, text_features

SIDE: Final = 128
SCENES: Final = 60_000
BATCH: Final = 512
STEPS: Final = 8_000
SHARES: Final = (0.85, 1.0)
"""Side of the square that is seen of a still; little is cut off, so that captions stay true."""
LARGEST_SCALE: Final = math.log(100)
"""Of the logarithm of the logits' scale, as in CLIP's training."""
HELD_OUT: Final = 900_000
"""Added to the seed for scenes that training never sees."""

OBJECT_TEXTS: Final = [f"a {colour} {shape}" for colour in COLOUR_NAMES for shape in SHAPE_NAMES]
STYLE_TEXTS: Final = [
    f"{'digital world' if style == 'digital' else style} style" for style in STYLE_NAMES
]
GROUND_TEXTS: Final = [f"a {colour} background" for colour in GROUND_COLOUR_NAMES]


class StillLoss:
    """Draws stills and their texts, and compares them.

    Args:
        model: The network, on the device.
        pool: Captioned scenes, on the device.
        batch: Stills a step.

    Attributes:
        head: The linear head, trained along.
    """

    def __init__(self, model: CLIP, pool: Pool, batch: int) -> None:
        device = pool.tokens.device
        self.model, self.pool, self.batch, self.device = model, pool, batch, device
        self.head = nn.Linear(MINI.settings.embedding, len(OBJECT_TEXTS)).to(device)
        self.counts = (len(OBJECT_TEXTS), len(STYLE_TEXTS), len(GROUND_TEXTS))
        short = [*OBJECT_TEXTS, *STYLE_TEXTS, *GROUND_TEXTS]
        self.short = text_ids(short, MINI.settings).to(device)
        how = MINI.preprocessing
        self.mean = torch.tensor(how.mean, device=device)[:, None, None]
        self.std = torch.tensor(how.std, device=device)[:, None, None]

    def __call__(self) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Returns the loss of a fresh batch, and values to log."""
        scenes, tokens = self.pool.draw(self.batch)
        times = CLIP_SECONDS * torch.rand(self.batch, 1, device=self.device)
        stills = render(scenes, times, SIDE, SIDE)[:, 0]
        pixels = (cut_views(stills, MINI.settings.side, SHARES) - self.mean) / self.std
        with autocast(self.device):
            seen = self.model.encode_image(pixels)
            said = self.model.encode_text(torch.cat((tokens, self.short)))
        scale = self.model.logit_scale.exp()
        captions, short = said.split((self.batch, len(self.short)))
        loss, found = contrast(seen, captions, scale)
        logits = scale * F.normalize(seen.float(), dim=-1) @ F.normalize(short.float(), dim=-1).T
        truths = self._truth(scenes)
        for part, truth in zip(logits.split(self.counts, 1), truths, strict=True):
            loss = loss + F.cross_entropy(part, truth) / len(self.counts)
        loss = loss + F.cross_entropy(self.head(seen.float()), truths[0])
        return loss, {"found": found, "scale": scale}

    def _truth(self, scenes: SceneBatch) -> tuple[Tensor, Tensor, Tensor]:
        """How much each short text is true of each scene, in the order of the texts."""
        objects = torch.where(
            scenes.shape >= 0, scenes.colour * len(SHAPE_NAMES) + scenes.shape, scenes.shape
        )
        labels = (objects, scenes.style[:, None], scenes.ground_colour)
        first, second, third = (
            shares(label, count) for label, count in zip(labels, self.counts, strict=True)
        )
        return first, second, third


def train(settings: Settings) -> None:
    """Trains both towers, writes them and measures them on held-out scenes.

    Writes `weights/clip/model.safetensors` and `clip.json` with figures below `settings.out`.
    """
    device, batch = settings.device, settings.batch or BATCH
    drawn = batch * (settings.steps or STEPS)
    pool = Pool.build(min(SCENES, drawn), settings.seed, context=MINI.settings.context).to(device)
    model = build(MINI.settings).to(device)

    def hold_scale() -> None:
        with torch.no_grad():
            model.logit_scale.clamp_(max=LARGEST_SCALE)

    loss = StillLoss(model, pool, batch)
    training = Training(
        "clip",
        {"clip": model, "head": loss.head},
        loss,
        settings,
        steps=STEPS,
        weight_decay=0.05,
        after_step=hold_scale,
    )
    training.run()
    training.averaged()
    folder = settings.out / "weights" / "clip"
    size = save_module_fp16(model, folder)
    shipped = load(MINI, folder / "model.safetensors", device)  # rounded to half precision
    count = 512 if device.type == "cuda" else 16  # on a CPU training is a trial of the code
    figures: dict[str, float] = {"steps": training.step, "bytes": size}
    save_json(settings.out / "clip.json", figures | measure(shipped, count, settings.seed))


@torch.inference_mode()
def measure(model: CLIP, count: int, seed: int) -> dict[str, float]:
    """Asks a trained network about held-out stills with one object each.

    Args:
        model: The network.
        count: Number of scenes.
        seed: Seed of the training.

    Returns:
        Shares of right answers: which of all `count` captions is the still's (`caption`, and
        `caption_5` for the first five), which colour, shape, style and background are seen.
    """
    device = model.logit_scale.device
    drawn = sample_scenes(count, seed + HELD_OUT, objects=1)
    rng = np.random.default_rng(seed + HELD_OUT)
    captions = [caption(scene, rng) for scene in drawn]
    scenes = encode(drawn).to(device)
    times = torch.full((count, 1), CLIP_SECONDS / 2, device=device)
    seen = []
    for part in torch.arange(count, device=device).split(64):
        stills = render(scenes[part], times[part], SIDE, SIDE)[:, 0]
        frames = (255 * stills).round().to(torch.uint8)
        seen.append(image_features(model, preprocess.unrounded(frames, MINI.preprocessing)))
    pictures = torch.cat(seen)

    def answers(texts: list[str]) -> Tensor:
        return pictures @ text_features(model, text_ids(texts, MINI.settings).to(device)).T

    def right(found: Tensor, truth: Tensor) -> float:
        return float((found == truth).float().mean())

    own = torch.arange(count, device=device)
    ranked = answers(captions).topk(min(5, count), 1).indices
    objects = answers(OBJECT_TEXTS).argmax(1)
    flat = scenes.ground_colour[:, 1] < 0  # a gradient has two colours
    grounds = answers(GROUND_TEXTS).argmax(1)
    return {
        "caption": right(ranked[:, 0], own),
        "caption_5": float((ranked == own[:, None]).any(1).float().mean()),
        "colour": right(objects // len(SHAPE_NAMES), scenes.colour[:, 0]),
        "shape": right(objects % len(SHAPE_NAMES), scenes.shape[:, 0]),
        "style": right(answers(STYLE_TEXTS).argmax(1), scenes.style),
        "background": right(grounds[flat], scenes.ground_colour[flat, 0]),
    }
