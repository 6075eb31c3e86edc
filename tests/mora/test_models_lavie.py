import json
from pathlib import Path

import numpy as np
import pytest
import torch
from goldens import golden
from lavie_goldens import REDUCED, checkpoint, noise

from mora.checkpoints.tensors import WeightsError
from mora.models.lavie.blocks import UNetSettings
from mora.models.lavie.unet import UNet
from mora.models.lavie.weights import load

FOLDER = Path(golden.__file__).parent / "seine"
CASES = {case["name"]: case for case in json.loads((FOLDER / "cases.json").read_text())["cases"]}
CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["forward_16", "forward_odd", "forward_batch2"])
def test_noise_equals_the_reference(name: str, tmp_path: Path) -> None:
    torch.save({"ema": checkpoint("seine")}, tmp_path / "seine.pt")
    network = load(tmp_path / "seine.pt", REDUCED, CPU)
    sample = noise(CASES[name]["inputs"]["sample"])
    text = noise(CASES[name]["inputs"]["encoder_hidden_states"])
    timesteps = torch.full((len(sample),), CASES[name]["parameters"]["timestep"])
    with np.load(FOLDER / "cases.npz") as arrays:
        expected = torch.from_numpy(arrays[f"{name}/eps"])
    difference = (network(sample, timesteps, text) - expected).abs().max()
    assert difference < 1e-5 * expected.abs().max()


def test_names_and_shapes_are_those_of_the_published_checkpoint() -> None:
    published = json.loads((FOLDER / "manifest.json").read_text())["tensors"]
    with torch.device("meta"):
        ours = UNet(UNetSettings()).state_dict()
    assert {name: list(tensor.shape) for name, tensor in ours.items()} == {
        name: shape for name, (shape, _) in published.items()
    }


def test_missing_and_extra_tensors_are_named(tmp_path: Path) -> None:
    tensors = checkpoint("seine")
    del tensors["mid_block.resnets.0.conv1.bias"]
    tensors["stranger.weight"] = torch.zeros(1)
    torch.save({"ema": tensors}, tmp_path / "seine.pt")
    with pytest.raises(WeightsError, match=r"seine\.pt: these are not the weights") as raised:
        load(tmp_path / "seine.pt", REDUCED, CPU)
    assert "missing: mid_block.resnets.0.conv1.bias;" in str(raised.value)
    assert "extra: stranger.weight;" in str(raised.value)


def test_a_file_without_its_entry_is_refused(tmp_path: Path) -> None:
    torch.save(checkpoint("seine"), tmp_path / "seine.pt")
    with pytest.raises(WeightsError, match="expected an entry 'ema'"):
        load(tmp_path / "seine.pt", REDUCED, CPU)
