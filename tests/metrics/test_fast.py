"""Precision `fast`, here on a CPU in bfloat16, against `exact`."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from metrics import preprocess
from metrics.backbones import amt, clip, dino, fast, musiq, raft, viclip
from metrics.backbones.fast import Name, Way
from metrics.networks import Networks
from mora.checkpoints import mini_weights

CPU = torch.device("cpu")


def frames() -> Tensor:
    noise = torch.rand(4, 3, 128, 144, generator=torch.Generator().manual_seed(0))
    return (torch.nn.functional.avg_pool2d(noise, 5, 1, 2) * 255).byte()


def embedded(networks: Networks, name: Name, features: Callable[..., Tensor]) -> Tensor:
    pixels = preprocess.unrounded(frames(), networks.card(name).preprocessing)
    return features(networks[name], pixels)


def clip_of_eight(networks: Networks) -> Tensor:
    pixels = preprocess.rounded(frames().repeat(2, 1, 1, 1), networks.card("viclip").preprocessing)
    return viclip.video_features(networks["viclip"], pixels[None])


def flows(networks: Networks) -> Tensor:
    seen = raft.encode(networks["raft"], frames())
    before, after = tuple(each[:-1] for each in seen), tuple(each[1:] for each in seen)
    return raft.flows_between(networks["raft"], before, after)


FORWARDS: dict[Name, Callable[[Networks], Tensor]] = {
    "dino": lambda networks: embedded(networks, "dino", dino.features),
    "clip_b32": lambda networks: embedded(networks, "clip_b32", clip.image_features),
    "musiq": lambda networks: musiq.scores(networks["musiq"], frames()),
    "viclip": clip_of_eight,
    "raft": flows,
    "amt": lambda networks: amt.interpolate(networks["amt"], frames()[:-1], frames()[1:]),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_half_precision_is_close_and_float32_outside(name: Name) -> None:
    networks = Networks("mini", mini_weights(), CPU)
    exact = FORWARDS[name](networks)
    network: Any = fast.prepared(name, networks[name])
    assert torch.bfloat16 in {parameter.dtype for parameter in network.parameters()}
    with fast.computing(name, CPU):
        found = FORWARDS[name](networks)
    assert found.dtype == torch.float32
    drift = (found - exact).norm() / exact.norm()
    assert 1e-5 < drift < 0.03  # bfloat16 keeps eight binary digits


def test_all_networks_have_a_way() -> None:
    assert set(fast.WAYS) == set(get_args(Name))


def test_float32_stays_as_it_was() -> None:
    networks = Networks("mini", mini_weights(), CPU)
    exact = FORWARDS["dino"](networks)
    way = Way(half=None)
    fast.prepared("dino", networks["dino"], way)
    before = torch.get_float32_matmul_precision()
    with fast.computing("dino", CPU, way):
        found = FORWARDS["dino"](networks)
    assert torch.get_float32_matmul_precision() == before
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-6)
