import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from goldens import parity
from safetensors.torch import save_file
from torchvision.models.optical_flow import raft_large

from metrics.backbones import raft
from metrics.backbones.padding import FrameTooSmallError

CPU = torch.device("cpu")
GOLDEN = parity.read("raft_things")


def load_golden(case: str, folder: Path) -> raft.Raft:
    path = folder / "raft-things.pth"
    torch.save(GOLDEN.weights(GOLDEN.cases[case]["weights_seed"]), path)
    updates = GOLDEN.cases[case]["params"]["iters"]
    settings = replace(raft.OFFICIAL.settings, updates=updates)
    card = replace(raft.OFFICIAL, settings=settings, sha256=None)
    return raft.load(card, path, CPU)


@pytest.mark.parametrize("case", ["128x192_it20_w0", "136x160_it2_w1"])
def test_flow_equals_the_reference(case: str, tmp_path: Path) -> None:
    frames = GOLDEN.frames(case)
    flow = raft.flows(load_golden(case, tmp_path), frames[:1], frames[1:])
    difference = (flow - GOLDEN.expected(case, "flow_up")).abs()
    assert difference.mean() < 1e-4  # pixels, of flows of up to 100
    assert difference.max() < 5e-3


def test_odd_sides_are_padded_as_in_the_reference(tmp_path: Path) -> None:
    case = "150x203_it20_w1"
    model = load_golden(case, tmp_path)
    model.settings = replace(model.settings, updates=1)  # the size is decided before the updates
    frames = GOLDEN.frames(case)
    padded = raft.flows(model, frames[:1], frames[1:])
    cropped = raft.flows(model, frames[:1], frames[1:], crop=True)
    assert padded.shape == GOLDEN.expected(case, "flow_up").shape == (1, 2, 152, 208)
    assert torch.equal(cropped, padded[..., 1:151, 2:205])


def test_names_are_those_of_the_published_checkpoint() -> None:
    ours = raft.Raft(raft.RaftSettings()).state_dict()
    published, aliases = GOLDEN.manifest["tensors"], GOLDEN.manifest["aliases"]
    assert set(ours) == set(published) - set(aliases)
    assert all(list(ours[name].shape) == published[name][0] for name in ours)


def test_equals_torchvisions_own_network() -> None:
    torch.manual_seed(0)
    model = raft.Raft(replace(raft.OFFICIAL.settings, updates=3)).eval()
    rename = json.loads((Path(parity.__file__).parent / "raft_things/rename.json").read_text())
    theirs = raft_large(weights=None).eval()
    theirs.load_state_dict({rename["rename"][k]: v for k, v in model.state_dict().items()})
    frames = 255 * torch.rand(2, 3, 128, 128)
    with torch.inference_mode():
        ours = torch.stack(model.all_flows(frames[:1], frames[1:]))
        expected = theirs(frames[:1] / 127.5 - 1, frames[1:] / 127.5 - 1, num_flow_updates=3)
    torch.testing.assert_close(ours, torch.stack(expected), atol=1e-4, rtol=1e-4)


def test_weights_survive_being_written_and_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = raft.Raft(raft.MINI.settings)
    model.context_encoder.layer2[0].downsample[1].running_mean.normal_()
    save_file(model.state_dict(), tmp_path / "raft.safetensors")
    again = raft.load(raft.MINI, tmp_path / "raft.safetensors", CPU)
    for (name, tensor), (_, other) in zip(
        model.named_buffers(), again.named_buffers(), strict=True
    ):
        assert torch.equal(tensor, other), name
    for (name, tensor), (_, other) in zip(
        model.named_parameters(), again.named_parameters(), strict=True
    ):
        assert torch.equal(tensor, other), name


def test_mini_is_the_same_class_and_independent_of_the_batch() -> None:
    torch.manual_seed(0)
    model = raft.Raft(raft.MINI.settings).eval()
    frames = torch.randint(0, 256, (4, 3, 130, 128), dtype=torch.uint8)
    together = raft.flows(model, frames[:-1], frames[1:])
    alone = torch.cat([raft.flows(model, frames[i : i + 1], frames[i + 1 :][:1]) for i in range(3)])
    assert together.shape == (3, 2, 136, 128)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_frames_encoded_once_give_the_flows_of_pairs() -> None:
    torch.manual_seed(0)
    model = raft.Raft(raft.MINI.settings).eval()
    frames = torch.randint(0, 256, (4, 3, 130, 128), dtype=torch.uint8)
    encodings = raft.encode(model, frames)
    assert {len(each) for each in encodings} == {4}
    shared = raft.flows_between(
        model, tuple(each[:-1] for each in encodings), tuple(each[1:] for each in encodings)
    )
    pairs = raft.flows(model, frames[:-1], frames[1:])
    torch.testing.assert_close(shared, pairs, atol=1e-4, rtol=1e-4)
    assert pairs.abs().max() > 0.5


def test_mini_keeps_its_budget_on_disk() -> None:
    tensors = raft.Raft(raft.MINI.settings).state_dict().values()
    assert 2 * sum(tensor.numel() for tensor in tensors) < 1.4e6


@pytest.mark.parametrize(("height", "width"), [(112, 176), (200, 120)])
def test_small_frames_are_refused_with_their_size(height: int, width: int) -> None:
    model = raft.Raft(raft.MINI.settings).eval()
    frames = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    with pytest.raises(FrameTooSmallError, match=f"{width}x{height}") as raised:
        raft.flows(model, frames, frames)
    assert (raised.value.width, raised.value.height) == (width, height)
