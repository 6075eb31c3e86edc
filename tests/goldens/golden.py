"""Deterministic weights and inputs for parity cases, from names and shapes alone.

A published checkpoint is described by its *manifest*: the name, shape and dtype
of every tensor in it. `weights(manifest)` fills such a manifest with numbers that
depend only on each tensor's name, so any implementation that loads the published
checkpoint's names can be filled with the very same numbers and compared, without
the checkpoint. Only numpy is used, and its PCG64 stream is stable across versions.
"""

from __future__ import annotations

import hashlib

import numpy as np


def _generator(name: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))


def tensor(name: str, shape: tuple[int, ...], dtype: str = "float32", seed: int = 0) -> np.ndarray:
    """One checkpoint tensor, decided by its name, shape and seed.

    Integer tensors are zeros (counters) or, where the name ends in
    ``position_ids``, 0..n-1. Running variances are in [0.5, 1.5]. One-dimensional
    ``weight``/``gamma`` tensors (norm scales) are near 1, other one-dimensional
    tensors and scalars near 0, and matrices and kernels are normal with
    standard deviation 1/sqrt(fan_in).
    """
    if not dtype.startswith(("float", "bfloat", "half")):
        if name.endswith("position_ids"):
            return np.broadcast_to(np.arange(shape[-1]), shape).astype("int64").copy()
        return np.zeros(shape, dtype)
    rng = _generator(name, seed)
    last = name.rsplit(".", 1)[-1]
    if last == "running_var":
        values = 0.5 + rng.random(shape)
    elif len(shape) <= 1:
        values = 0.05 * rng.standard_normal(shape)
        if last in ("weight", "gamma"):
            values = values + 1.0
    else:
        fan_in = int(np.prod(shape[1:]))
        values = rng.standard_normal(shape) / np.sqrt(fan_in)
    return np.asarray(values, dtype="float32")


def weights(manifest: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Every tensor of a manifest ``{"tensors": {name: [shape, dtype]}}``."""
    return {
        name: tensor(name, tuple(shape), dtype, seed)
        for name, (shape, dtype) in manifest["tensors"].items()
    }


def image(name: str, height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth, textured RGB picture, uint8 of shape (height, width, 3)."""
    rng = _generator(name, seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    picture = np.zeros((height, width, 3))
    for _ in range(12):
        fy, fx = rng.uniform(-14, 14, 2)
        phase = rng.uniform(0, 2 * np.pi)
        picture += np.sin(2 * np.pi * (fy * y + fx * x) + phase)[..., None] * rng.uniform(-1, 1, 3)
    picture = (picture - picture.min()) / (np.ptp(picture) + 1e-9)
    return np.round(255 * picture).astype("uint8")


def clip(
    name: str, frames: int, height: int, width: int, speed: float = 3.0, seed: int = 0
) -> np.ndarray:
    """A textured scene that pans and zooms, uint8 of shape (frames, height, width, 3)."""
    margin = int(abs(speed) * frames) + 8
    scene = image(name, height + 2 * margin, width + 2 * margin, seed)
    out = []
    for t in range(frames):
        dy, dx = round(0.5 * speed * t), round(speed * t)
        out.append(scene[margin + dy : margin + dy + height, margin + dx : margin + dx + width])
    return np.stack(out)


def noise(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Standard normal float32 noise."""
    return _generator(name, seed).standard_normal(shape).astype("float32")
