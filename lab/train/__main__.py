"""`python -m lab.train NAME`: trains one miniature model."""

import argparse
import importlib
from pathlib import Path

import torch

from lab.train.loop import Settings, seed_everything

MODELS = (
    "image_autoencoder",
    "temporal_autoencoder",
    "text_to_image",
    "image_to_video",
    "clip",
    "viclip",
    "dino",
    "aesthetic",
    "raft",
    "amt",
    "musiq",
)
"""Each is a module of this package with a function `train(settings)`."""


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(prog="python -m lab.train", description=__doc__)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--out", type=Path, default=Path("outputs/lab"), help="folder to write to")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=None, help="default: the model's own")
    parser.add_argument("--seconds", type=float, default=600.0, help="wall-clock budget")
    parser.add_argument("--batch", type=int, default=None, help="default: the model's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eager", action="store_true", help="do not capture a CUDA graph")
    given = parser.parse_args()
    seed_everything(given.seed)
    settings = Settings(
        out=given.out,
        device=torch.device(given.device),
        steps=given.steps,
        seconds=given.seconds,
        seed=given.seed,
        batch=given.batch,
        capture=not given.eager,
    )
    importlib.import_module(f"lab.train.{given.model}").train(settings)


if __name__ == "__main__":
    main()
