"""Fits the miniature aesthetic head. Its ratings are arithmetic, not anybody's taste.

No person has rated these pictures. The target is a fixed formula over what a rendered picture is
known to show, on the scale 1 to 10 of the published head:

    1 + 9 · composition · (1 − strength of damage)

where composition, in [0, 1], is half the main object's contrast against the ground, three tenths
how near its centre is to the picture's centre or to a crossing of its thirds, and two tenths how
near its height is to a third of the picture's. Damage is blur, noise, JPEG or downscaling. So the
head rates clear, well placed, undamaged pictures higher, as far as one linear layer can read that
off miniature CLIP's embedding. That CLIP has seen no damage, and it never needed to know places, so
the fit is loose; `aesthetic.json` says how loose.

A linear layer has a best fit in closed form: ridge regression on the normalised embeddings.
"""

from pathlib import Path
from typing import Final

import torch
from open_clip import CLIP
from torch import Tensor, nn

from lab.data.damage import KINDS, damage
from lab.train.export import save_json, save_module_fp16
from lab.train.loop import Settings
from lab.world.render import render
from lab.world.scene import SceneBatch, encode, sample_scenes
from metrics import preprocess
from metrics.backbones import clip
from metrics.backbones.aesthetic import MINI, build, load, scores
from mora.checkpoints import mini_weights

SIDE: Final = 128
PICTURES: Final = 12_288
DAMAGED: Final = 0.5
"""Share of the pictures that are damaged."""
RIDGE: Final = 1e-3
"""Weight of the squared length of the layer's weights, relative to the mean squared error."""
CONTRAST: Final = 0.45
"""Distance of two colours in [0, 1], a channel's root mean square, that counts as full contrast."""
NEAR: Final = 0.3
"""Distance in units at which the worth of a place has fallen to 1/e."""
HELD_OUT: Final = 900_000
"""Added to the seed for pictures that the fit never sees."""


def composition(scenes: SceneBatch) -> Tensor:
    """How well the main object is set in the first frame, by the formula above: (B,), in [0, 1]."""
    body_scale, body_shift = scenes.body_map.unbind(1)
    ground_scale, ground_shift = scenes.ground_map.unbind(1)
    body = scenes.rgb[:, 0] * body_scale + body_shift
    ground = scenes.ground_rgb.mean(1) * ground_scale + ground_shift
    contrast = ((body - ground).square().mean(1).sqrt() / CONTRAST).clamp(max=1)

    reach, _, phase = scenes.orbit[:, 0].unbind(1)  # an orbit does not start at its centre
    place = scenes.place[:, 0] + reach[:, None] * torch.stack((phase.cos(), phase.sin()), 1)
    # The crossings of the thirds lie a third of a unit from the axes; folded, they are one point.
    to_thirds = (place.abs() - 1 / 3).norm(dim=1)
    balance = torch.exp(-((torch.minimum(place.norm(dim=1), to_thirds) / NEAR) ** 2))

    fitting = torch.exp(-((torch.log2(scenes.radius[:, 0] * 3)) ** 2))
    return 0.5 * contrast + 0.3 * balance + 0.2 * fitting


def train(settings: Settings) -> None:
    """Fits the head, writes it and measures it on held-out pictures.

    It takes seconds; of the settings only the folder, the device, the seed and `batch` (pictures
    of the fit) count. Writes `weights/aesthetic/model.safetensors` and `aesthetic.json` with
    figures below `settings.out`.

    Raises:
        FileNotFoundError: Miniature CLIP has not been trained yet.
    """
    count = settings.batch or PICTURES
    network = clip.load(clip.MINI, find_clip(settings.out), settings.device)
    embeddings, targets, _ = examples(network, count, settings.seed)
    head = fit(embeddings, targets)
    folder = settings.out / "weights" / "aesthetic"
    size = save_module_fp16(head, folder)
    shipped = load(MINI, folder / "model.safetensors", settings.device)
    figures: dict[str, float] = {"pictures": count, "bytes": size}
    measured = measure(network, shipped, max(16, count // 6), settings.seed + HELD_OUT)
    save_json(settings.out / "aesthetic.json", figures | measured)


def find_clip(out: Path) -> Path:
    """Finds miniature CLIP's weights: below `out`, where its training writes, else as shipped.

    Raises:
        FileNotFoundError: They are in neither place.
    """
    places = [clip.MINI.shipped_path(root) for root in (out / "weights", mini_weights())]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"{places[0]} and {places[1]}: the aesthetic head is fitted to miniature CLIP, whose "
        "weights are in neither place; train it first: `python -m lab.train clip`"
    )


def examples(network: CLIP, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Renders pictures, damages some, and embeds them as the metric does.

    Args:
        network: Miniature CLIP.
        count: Number of pictures.
        seed: Seed of scenes and damage.

    Returns:
        Unit-length embeddings (N, D), ratings by the formula (N,), strengths of damage (N,).
    """
    device = network.logit_scale.device
    scenes = encode(sample_scenes(count, seed)).to(device)
    random = torch.Generator().manual_seed(seed)
    strength = torch.rand(count, generator=random)
    strength = (strength * (torch.rand(count, generator=random) < DAMAGED)).to(device)
    kind = torch.randint(len(KINDS), (count,), generator=random).to(device)
    start = torch.zeros(count, 1, device=device)
    found = []
    for part in torch.arange(count, device=device).split(128):
        pictures = render(scenes[part], start[part], SIDE, SIDE)[:, 0]
        pictures = damage(pictures, kind[part], strength[part])
        frames = (255 * pictures).round().clamp(0, 255).to(torch.uint8)
        pixels = preprocess.unrounded(frames, clip.MINI.preprocessing)
        found.append(clip.image_features(network, pixels))
    ratings = 1 + 9 * composition(scenes) * (1 - strength)
    return torch.cat(found), ratings, strength


def fit(embeddings: Tensor, ratings: Tensor) -> nn.Linear:
    """Fits the head by ridge regression; the bias is not shrunk.

    Args:
        embeddings: Unit-length embeddings (N, D).
        ratings: (N,).
    """
    inputs, wanted = embeddings.double(), ratings.double()
    middle, mean = inputs.mean(0), wanted.mean()
    centred = inputs - middle
    gram = centred.T @ centred / len(inputs)
    # Relative to the embeddings' own spread, so that the strength means the same for any CLIP.
    gram = gram + RIDGE * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
    weight = torch.linalg.solve(gram, centred.T @ (wanted - mean) / len(inputs))
    head = build(MINI.settings).to(embeddings.device).requires_grad_(requires_grad=False)
    head.weight.copy_(weight[None])
    head.bias.copy_((mean - middle @ weight)[None])
    return head


def measure(network: CLIP, head: nn.Linear, count: int, seed: int) -> dict[str, float]:
    """Measures a head on fresh pictures.

    Returns:
        Share of the ratings' variance that it explains (`explained`), rank correlation with the
        formula among undamaged pictures (`rank_undamaged`), and with the strength of the damage
        (`rank_damage`; as wanted where it is negative), and the root mean square error in points.
    """
    embeddings, ratings, strength = examples(network, count, seed)
    found = scores(head, embeddings)
    clean = strength == 0
    error = (found - ratings).square().mean()
    return {
        "explained": float(1 - error / ratings.var(correction=0)),
        "rank_undamaged": rank_correlation(found[clean], ratings[clean]),
        "rank_damage": rank_correlation(found[~clean], strength[~clean]),
        "error": float(error.sqrt()),
    }


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's rank correlation of two lists (N,) without ties."""
    ranks = torch.stack([values.argsort().argsort() for values in (first, second)]).double()
    return float(torch.corrcoef(ranks)[0, 1])
