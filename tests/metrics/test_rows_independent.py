"""At a fixed batch size, what a network makes of one input does not depend on the others.

Not on what they are and not on where it stands among them, to the last bit. The engine relies on it
when it fills batches from several videos.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metrics import preprocess
from metrics.backbones import aesthetic, amt, clip, dino, musiq, raft, viclip
from metrics.networks import Networks
from mora.checkpoints import mini_weights

FRAMES, CLIPS, PAIRS = 16, 4, 8


def pictures(count: int, seed: int) -> Tensor:
    """Smooth random frames uint8 (count, 3, 128, 144)."""
    noise = torch.rand(count, 3, 128, 144, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.avg_pool2d(noise, 5, 1, 2) * 255).byte()


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks("mini", mini_weights(), torch.device("cpu"))


def embedded_by_dino(networks: Networks, frames: Tensor) -> Tensor:
    how = networks.card("dino").preprocessing
    return dino.features(networks["dino"], preprocess.unrounded(frames, how))


def embedded_by_clip(networks: Networks, frames: Tensor) -> Tensor:
    how = networks.card("clip_b32").preprocessing
    return clip.image_features(networks["clip_b32"], preprocess.antialiased(frames, how))


def rated(networks: Networks, frames: Tensor) -> Tensor:
    return aesthetic.scores(networks["aesthetic"], embedded_by_clip(networks, frames))


def scored(networks: Networks, frames: Tensor) -> Tensor:
    return musiq.scores(networks["musiq"], frames, resize="longer")


def flows(networks: Networks, frames: Tensor) -> Tensor:
    encodings = raft.encode(networks["raft"], frames)
    after = tuple(each.flip(3).contiguous() for each in encodings)
    return raft.flows_between(networks["raft"], encodings, after)


def interpolated(networks: Networks, frames: Tensor) -> Tensor:
    return amt.interpolate(networks["amt"], frames, frames.flip(3))


@pytest.mark.parametrize(
    ("forward", "size"),
    [
        (embedded_by_dino, FRAMES),
        (embedded_by_clip, FRAMES),
        (rated, FRAMES),
        (scored, FRAMES),
        (flows, PAIRS),
        (interpolated, PAIRS),
    ],
)
def test_a_row_does_not_see_the_others(
    networks: Networks, forward: Callable[[Networks, Tensor], Tensor], size: int
) -> None:
    frames, others = pictures(size, seed=0), pictures(size, seed=1)
    together = forward(networks, frames)
    for place in (0, 1, size - 1):
        mixed = others.clone()
        mixed[place] = frames[3]
        assert torch.equal(forward(networks, mixed)[place], together[3])
    assert not torch.equal(together[3], together[2])


def test_a_clip_does_not_see_the_others(networks: Networks) -> None:
    def forward(frames: Tensor) -> Tensor:
        pixels = preprocess.rounded(frames, networks.card("viclip").preprocessing)
        return viclip.video_features(networks["viclip"], pixels.unflatten(0, (CLIPS, 8)))

    frames, others = pictures(8 * CLIPS, seed=0), pictures(8 * CLIPS, seed=1)
    together = forward(frames)
    for place in range(CLIPS):
        mixed = others.clone()
        mixed[8 * place : 8 * place + 8] = frames[8:16]
        assert torch.equal(forward(mixed)[place], together[1])
    assert not torch.equal(together[0], together[1])
