"""Reads a folder of parity cases: deterministic weights, inputs and the reference's outputs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from goldens import golden
from torch import Tensor


@dataclass(frozen=True)
class Parity:
    """One folder beside this file.

    Attributes:
        manifest: Names, shapes and dtypes of the published checkpoint's tensors.
        cases: What each case fed to the reference, by the case's id.
        arrays: What the reference gave, by `case id/output`.
    """

    manifest: dict[str, Any]
    cases: dict[str, dict[str, Any]]
    arrays: dict[str, np.ndarray]

    def weights(self, seed: int) -> dict[str, Tensor]:
        """A checkpoint under the published names, decided by names, shapes and `seed`."""
        scale = self.manifest.get("weight_scale", {})
        return {
            name: torch.from_numpy(values) * scale[name]
            if name in scale
            else torch.from_numpy(values)
            for name, values in golden.weights(self.manifest, seed).items()
        }

    def frames(self, case: str) -> Tensor:
        """The frames of `case`, uint8 (T, 3, H, W)."""
        arguments = self.cases[case]["inputs"]["frames"]["args"]
        return torch.from_numpy(golden.clip(**arguments)).permute(0, 3, 1, 2)

    def expected(self, case: str, output: str) -> Tensor:
        """What the reference gave for `output` of `case`."""
        return torch.from_numpy(self.arrays[f"{case}/{output}"])


def read(name: str) -> Parity:
    """Reads the folder `name` beside this file."""
    folder = Path(__file__).parent / name
    cases = json.loads((folder / "cases.json").read_text())["cases"]
    with np.load(folder / "cases.npz") as arrays:
        return Parity(
            manifest=json.loads((folder / "manifest.json").read_text()),
            cases={case["id"]: case for case in cases},
            arrays=dict(arrays),
        )
