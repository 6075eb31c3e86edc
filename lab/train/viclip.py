"""Trains the miniature ViCLIP on clips of the world and their captions.

The loss is contrastive between clips and captions. In a batch, though, colours, shapes and
backgrounds tell almost all captions apart, so nothing would make the network look at motion. Each
clip is therefore also compared with eleven texts that name its main object rightly and differ only
in what it does. Two linear heads that are thrown away afterwards name the object and its motion
straight from the clip's embedding: through the texts alone, which must be learnt at the same time,
motion stays at chance for thousands of steps.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.train.contrastive import contrast, text_ids
from lab.train.export import save_json, save_module_fp16
from lab.train.loop import Settings, Training, autocast
from lab.train.views import cut_views
from lab.world.caption import VERBS, caption
from lab.world.pool import Pool
from lab.world.render import render
from lab.world.scene import (
    CLIP_SECONDS,
    COLOUR_NAMES,
    HEADINGS,
    MOTION_NAMES,
    SHAPE_NAMES,
    MotionName,
    SceneBatch,
    encode,
    sample_scenes,
)
from metrics import preprocess
from metrics.backbones.viclip import MINI, ViClip, load, text_features, video_features

SIDE: Final = 128
SCENES: Final = 60_000
BATCH: Final = 160
STEPS: Final = 12_000
SHARES: Final = (0.9, 1.0)
"""Side of the square that is seen of a clip."""
PACE: Final = (0.85, 1.1)
"""Slowest and fastest that time runs in a clip."""
CLIP_FRAMES: Final = 14
"""Frames of a clip as generated, of which the network sees some; together `CLIP_SECONDS` long."""
TEMPERATURES: Final = (0.01, 0.5)
FIRST_TEMPERATURE: Final = 0.07
PHRASINGS: Final = 3
HELD_OUT: Final = 900_000
"""Added to the seed for scenes that training never sees."""


def motion_texts(phrasing: int) -> list[str]:
    """Says of every object that it does each of the motions.

    Args:
        phrasing: Which of the verbs of a motion is taken, from 0.

    Returns:
        Texts in the order of colour, then shape, then motion.
    """
    return [
        f"a {colour} {shape} {_verb(motion, phrasing)}"
        for colour in COLOUR_NAMES
        for shape in SHAPE_NAMES
        for motion in MOTION_NAMES
    ]


def _verb(motion: MotionName, phrasing: int) -> str:
    if motion == "stop":
        return ("moves, then stops", "moves and stops", "moves, then comes to a halt")[phrasing]
    word, _, complement = VERBS[motion][phrasing % len(VERBS[motion])]
    return f"{word} {complement}".strip()


def frame_times(device: torch.device) -> Tensor:
    """Times in seconds of the frames that are seen of a clip, (frames,)."""
    picked = preprocess.middle_frames(CLIP_FRAMES, MINI.settings.frames)
    return torch.tensor(picked, device=device) * (CLIP_SECONDS / CLIP_FRAMES)


class ClipLoss:
    """Draws clips and their texts, and compares them.

    Args:
        model: The network, on the device.
        pool: Captioned scenes, on the device.
        batch: Clips a step.

    Attributes:
        heads: The two linear heads, trained along.
    """

    def __init__(self, model: ViClip, pool: Pool, batch: int) -> None:
        device = pool.tokens.device
        self.model, self.pool, self.batch, self.device = model, pool, batch, device
        objects = len(COLOUR_NAMES) * len(SHAPE_NAMES)
        self.heads = nn.ModuleDict(
            {
                "object": nn.Linear(MINI.settings.embedding, objects),
                "motion": nn.Linear(MINI.settings.embedding, len(MOTION_NAMES)),
            }
        ).to(device)
        phrasings = [text_ids(motion_texts(index), MINI.settings) for index in range(PHRASINGS)]
        self.motions = torch.stack(phrasings).to(device)
        self.times = frame_times(device)
        how = MINI.preprocessing
        self.mean = torch.tensor(how.mean, device=device)[:, None, None]
        self.std = torch.tensor(how.std, device=device)[:, None, None]

    def __call__(self) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Returns the loss of a fresh batch, and values to log."""
        scenes, tokens = self.pool.draw(self.batch)
        slow, fast = PACE
        pace = slow + (fast - slow) * torch.rand(self.batch, 1, device=self.device)
        frames = render(scenes, pace * self.times, SIDE, SIDE).flatten(1, 2)
        views = cut_views(frames, MINI.settings.side, SHARES).unflatten(1, (-1, 3))
        phrasing = torch.randint(PHRASINGS, (1,), device=self.device)
        motions = self.motions[phrasing][0]
        with autocast(self.device):
            seen = self.model.vision_encoder((views - self.mean) / self.std)
            said = self.model.text_encoder(torch.cat((tokens, motions)))
        scale = 1 / self.model.temp
        captions, motion_texts = said.split((self.batch, len(motions)))
        loss, found = contrast(seen, captions, scale)
        logits = motion_logits(F.normalize(seen.float(), dim=-1), motion_texts, scenes)
        moved = scenes.motion[:, 0]
        right = (logits.argmax(1) == moved).float().mean()
        loss = loss + F.cross_entropy(scale * logits, moved)
        shown = scenes.colour[:, 0] * len(SHAPE_NAMES) + scenes.shape[:, 0]
        for name, truth in (("object", shown), ("motion", moved)):
            loss = loss + F.cross_entropy(self.heads[name](seen.float()), truth)
        return loss, {"found": found, "motion": right, "scale": scale}


def motion_logits(seen: Tensor, said: Tensor, scenes: SceneBatch) -> Tensor:
    """Cosines of clips with the texts of their own main object, (B, motions).

    Args:
        seen: Unit-length embeddings of the clips (B, D).
        said: Embeddings of all texts of `motion_texts`, (texts, D).
        scenes: What the clips show.
    """
    said = F.normalize(said.float(), dim=-1).unflatten(0, (-1, len(MOTION_NAMES)))
    own = said[scenes.colour[:, 0] * len(SHAPE_NAMES) + scenes.shape[:, 0]]
    return torch.einsum("bd,bmd->bm", seen, own)


def train(settings: Settings) -> None:
    """Trains both towers, writes them and measures them on held-out scenes.

    Writes `weights/viclip/model.safetensors` and `viclip.json` with figures below `settings.out`.
    """
    device, batch = settings.device, settings.batch or BATCH
    drawn = batch * (settings.steps or STEPS)
    pool = Pool.build(min(SCENES, drawn), settings.seed, context=MINI.settings.context).to(device)
    model = ViClip(MINI.settings).to(device)

    def hold_temperature() -> None:
        with torch.no_grad():
            model.temp.clamp_(*TEMPERATURES)

    with torch.no_grad():
        model.temp.fill_(FIRST_TEMPERATURE)
    loss = ClipLoss(model, pool, batch)
    training = Training(
        "viclip",
        {"viclip": model, "heads": loss.heads},
        loss,
        settings,
        steps=STEPS,
        weight_decay=0.05,
        after_step=hold_temperature,
    )
    training.run()
    training.averaged()
    folder = settings.out / "weights" / "viclip"
    size = save_module_fp16(model, folder)
    shipped = load(MINI, folder / "model.safetensors", device)  # rounded to half precision
    count = 256 if device.type == "cuda" else 16  # on a CPU training is a trial of the code
    figures: dict[str, float] = {"steps": training.step, "bytes": size}
    save_json(settings.out / "viclip.json", figures | measure(shipped, count, settings.seed))


@torch.inference_mode()
def measure(model: ViClip, count: int, seed: int) -> dict[str, float]:
    """Asks a trained network about held-out clips with one object each.

    Args:
        model: The network.
        count: Number of scenes.
        seed: Seed of the training.

    Returns:
        Shares of right answers: which of all `count` captions is the clip's (`caption`), which
        motion its object makes (`motion`), where it goes, of clips that go somewhere (`heading`);
        and of clips that move, how often the caption fits them better than the same clip frozen
        (`not_frozen`).
    """
    device = model.temp.device
    drawn = sample_scenes(count, seed + HELD_OUT, objects=1)
    rng = np.random.default_rng(seed + HELD_OUT)
    captions = [caption(scene, rng) for scene in drawn]
    scenes = encode(drawn).to(device)
    times = frame_times(device).expand(count, -1)
    moving, frozen = [], []
    for part in torch.arange(count, device=device).split(16):
        clips = (255 * render(scenes[part], times[part], SIDE, SIDE)).round().to(torch.uint8)
        frames = preprocess.rounded(clips.flatten(0, 1), MINI.preprocessing)
        pixels = frames.unflatten(0, (len(part), -1))
        moving.append(video_features(model, pixels))
        frozen.append(video_features(model, pixels[:, :1].expand_as(pixels)))
    seen, still = torch.cat(moving), torch.cat(frozen)

    def embed(texts: list[str]) -> Tensor:
        return text_features(model, text_ids(texts, MINI.settings).to(device))

    def right(found: Tensor, truth: Tensor) -> float:
        return float((found == truth).float().mean())

    said = embed(captions)
    motions = motion_logits(seen, embed(motion_texts(0)), scenes)
    moved = scenes.motion[:, 0]
    travels = moved < len(HEADINGS)  # the first motions are the headings
    moves = moved != MOTION_NAMES.index("still")
    gain = (seen * said).sum(1) - (still * said).sum(1)
    return {
        "caption": right((seen @ said.T).argmax(1), torch.arange(count, device=device)),
        "motion": right(motions.argmax(1), moved),
        "heading": right(motions[travels, : len(HEADINGS)].argmax(1), moved[travels]),
        "not_frozen": float((gain[moves] > 0).float().mean()),
    }
