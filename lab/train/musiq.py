"""Trains the miniature MUSIQ on damage of known strength.

Its target is 100 (1 - strength), whatever the kind of damage (see `lab.data.damage`), for pictures
of the world and crops of photographs that are themselves taken to be perfect. It is therefore a
measure of blur, noise, JPEG and low resolution, not of people's opinions, which the published
weights were trained on.

Each picture is shown twice, with two strengths of the same damage: besides both targets the network
learns the order of the two.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import torch
from pyiqa.data.multiscale_trans_util import get_multiscale_patches
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional as F

from lab.data.damage import KINDS, damage
from lab.data.pictures import tiles
from lab.train.export import save_json, save_module_fp16, save_sheet
from lab.train.loop import Settings, Training, autocast
from lab.world.pool import Pool
from lab.world.render import render
from lab.world.scene import CLIP_SECONDS, SceneBatch, encode, sample_scenes
from metrics.backbones.musiq import MINI, build, load, scores

SIDE: Final = 128
BATCH: Final = 32
"""Pictures a step, each shown twice."""
STEPS: Final = 8_000
UNDAMAGED: Final = 0.2
"""Share of pictures whose weaker damage is none."""
SCENES: Final = 4_000
MOST: Final = 100.0
"""Score of an undamaged picture."""
STRENGTHS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Strengths that held-out pictures are damaged at."""
HELD_OUT: Final = 900_000
"""Added to the seed for what training never sees."""


def train(settings: Settings) -> None:
    """Trains the network and measures it on held-out pictures.

    Writes `weights/musiq/musiq.safetensors`, held-out figures as `musiq.json` and damaged pictures
    as `musiq.png`, below `settings.out`.
    """
    device, batch = settings.device, settings.batch or BATCH
    photographs = tiles("training").to(device)
    pool = Pool.build(SCENES, settings.seed, captions=1, processes=1).to(device)
    model = build(MINI.settings)
    head = cast("nn.Linear", model.get_submodule("head"))
    nn.init.constant_(head.bias, 0.5)  # it learns in units of `MOST`

    def loss() -> tuple[Tensor, Mapping[str, Tensor]]:
        scenes, _ = pool.draw(batch // 2)
        pictures = torch.cat([filmed(scenes), crops(photographs, batch - batch // 2)])
        one, other, chance = torch.rand(3, batch, device=device)
        weaker, stronger = torch.minimum(one, other), torch.maximum(one, other)
        weaker = weaker * (chance >= UNDAMAGED)
        kind = torch.randint(len(KINDS), (batch,), device=device)
        shown = torch.cat([damage(pictures, kind, how) for how in (weaker, stronger)])
        shown = (255 * shown).round() / 255
        # pyiqa makes small tensors as it goes. Inside `device` they are made where they are used,
        # not copied from the host, which could not be captured.
        with autocast(device), device:
            quality = model(patches(shown)).flatten().float()
        target = 1 - torch.cat([weaker, stronger])
        better, worse = quality.chunk(2)
        order = F.relu((stronger - weaker) / 2 - (better - worse)).mean()
        total = F.smooth_l1_loss(quality, target, beta=0.1) + order
        return total, {"off": MOST * (quality - target).abs().mean(), "order": order}

    training = Training("musiq", {"musiq": model}, loss, settings, steps=STEPS)
    training.run()
    training.averaged()
    with torch.no_grad():
        head.weight.mul_(MOST)
        head.bias.mul_(MOST)
    folder = settings.out / "weights" / "musiq"
    save_module_fp16(model, folder, "musiq.safetensors")
    shipped = load(MINI, folder / "musiq.safetensors", device)  # rounded to half precision
    count = 48 if device.type == "cuda" else 2  # on a CPU training is a trial of the code
    measure(shipped, count, settings.seed + HELD_OUT, settings.out)


def patches(pictures: Tensor) -> Tensor:
    """What the network takes in train mode of pictures (N, 3, H, W) in [0, 1]."""
    settings = MINI.settings
    cut: Tensor = get_multiscale_patches(
        2 * pictures - 1,
        patch_size=settings.patch_size,
        patch_stride=settings.patch_size,
        hse_grid_size=settings.spatial_pos_grid_size,
        longer_side_lengths=list(settings.longer_side_lengths),
        max_seq_len_from_original_res=-1,
    )
    return cut


def filmed(scenes: SceneBatch) -> Tensor:
    """One picture (B, 3, 128, 128) of each scene, at a time drawn at random."""
    times = CLIP_SECONDS * torch.rand(len(scenes), 1, device=scenes.device)
    return render(scenes, times, SIDE, SIDE)[:, 0]


def crops(photographs: Tensor, count: int) -> Tensor:
    """Crops of photographs at random places, half of them mirrored, in varied light.

    Args:
        photographs: uint8 (N, 3, S, S), S above 128.
        count: How many.

    Returns:
        (count, 3, 128, 128) in [0, 1].
    """
    device, room = photographs.device, photographs.shape[-1] - SIDE + 1
    which = torch.randint(len(photographs), (count, 1, 1, 1), device=device)
    channel = torch.arange(3, device=device)[:, None, None]
    places = torch.arange(SIDE, device=device)
    rows = torch.randint(room, (count, 1, 1, 1), device=device) + places[:, None]
    columns = torch.randint(room, (count, 1, 1, 1), device=device) + places
    pictures = photographs[which, channel, rows, columns].float() / 255
    mirrored = torch.rand(count, 1, 1, 1, device=device) < 0.5
    pictures = torch.where(mirrored, pictures.flip(-1), pictures)
    contrast = 0.7 + 0.5 * torch.rand(count, 1, 1, 1, device=device)
    brightness = 0.3 * torch.rand(count, 3, 1, 1, device=device) - 0.15
    return ((pictures - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)


def measure(model: nn.Module, count: int, seed: int, out: Path) -> None:
    """Writes how scores of held-out pictures follow the strength of their damage.

    Args:
        model: The network, as it is shipped.
        count: Pictures of each source.
        seed: Seed of the pictures; none that training draws from.
        out: Folder for `musiq.json` and `musiq.png`.
    """
    device = next(model.parameters()).device
    torch.manual_seed(seed)
    sources = {
        "world": filmed(encode(sample_scenes(count, seed)).to(device)),
        "photographs": crops(tiles("held_out").to(device), count),
    }
    figures: dict[str, Any] = {
        "about": {
            "pictures": f"{count} of each source, held out, damaged at the strengths {STRENGTHS}",
            "correlation": "Spearman's rank correlation of score and strength over all of them; "
            "-1 is perfect",
            "within": "the same within each picture, mean",
            "off": "mean absolute difference from the target 100 (1 - strength)",
            "mean": "mean score at each strength",
        }
    }
    rows = []
    for source, pictures in sources.items():
        figures[source] = {}
        for kind, name in enumerate(KINDS):
            kinds = torch.full((count,), kind, device=device)
            damaged = [
                damage(pictures, kinds, torch.full((count,), strength, device=device))
                for strength in STRENGTHS
            ]
            given = torch.stack(
                [scores(model, (255 * each).round().to(torch.uint8)) for each in damaged]
            ).cpu()
            figures[source][name] = _figures(given)
            rows.append(torch.cat([each[:1] for each in damaged]))
    save_json(out / "musiq.json", figures)
    save_sheet(out / "musiq.png", rows)
    print(f"musiq: {figures}", flush=True)


def _figures(given: Tensor) -> dict[str, Any]:
    """Figures of scores (strengths, pictures) of one kind of damage."""
    strength = torch.tensor(STRENGTHS)
    within = [spearmanr(strength, picture).statistic for picture in given.T]
    over_all = spearmanr(strength[:, None].expand_as(given).flatten(), given.flatten()).statistic
    return {
        "correlation": float(over_all),
        "within": sum(map(float, within)) / len(within),
        "off": (given - MOST * (1 - strength)[:, None]).abs().mean().item(),
        "mean": [round(value, 1) for value in given.mean(1).tolist()],
    }
