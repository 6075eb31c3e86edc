"""What a trained image-to-video pipeline makes of scenes that its training never drew."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import StableVideoDiffusionPipeline
from numpy.typing import NDArray
from PIL import Image

from lab.exam.pixels import psnr
from lab.train.autoencoders import SIDE
from lab.train.export import save_sheet
from lab.train.motion_bucket import bucket_speed
from lab.world.measure import Reading, measure
from lab.world.render import render
from lab.world.scene import HEADINGS, Scene, encode, sample_scenes
from mora.media import write_video

BUCKETS: Final = (0, 48, 96, 127, 158, 200)
"""Motion buckets that held-out figures are taken at."""


CALL: Final[dict[str, Any]] = {
    "height": SIDE,
    "width": SIDE,
    "num_frames": 14,
    "num_inference_steps": 10,
    "min_guidance_scale": 1.0,
    "max_guidance_scale": 2.0,
    "noise_aug_strength": 0.02,
}
"""Arguments of the call that suit the miniature, as in `agents.image_to_video=svd_mini`."""


def animate(
    pipeline: StableVideoDiffusionPipeline,
    pictures: NDArray[np.uint8],
    bucket: int,
    *,
    fps: int = 7,
    seed: int = 0,
    guidance: float = 1.0,
    at_once: int = 16,
) -> NDArray[np.uint8]:
    """Sets pictures in motion by the unchanged pipeline.

    Args:
        pipeline: The pipeline, on any device.
        pictures: First frames uint8 (N, 128, 128, 3).
        bucket: Motion bucket, 0 to 255.
        fps: Frames a second.
        seed: Seed of the noise of the first clip; each further clip adds one.
        guidance: Guidance of the last frame; it rises from 1 at the first.
        at_once: Clips in a batch.

    Returns:
        Clips uint8 (N, 14, 128, 128, 3).
    """
    clips = []
    for start in range(0, len(pictures), at_once):
        part = pictures[start : start + at_once]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        frames = pipeline(
            [Image.fromarray(picture) for picture in part],
            motion_bucket_id=bucket,
            fps=fps,
            generator=generators,
            output_type="np",
            **(CALL | {"max_guidance_scale": guidance}),
        ).frames
        clips.append((frames * 255).round().astype(np.uint8))
    return np.concatenate(clips)


def held_out_figures(
    pipeline: StableVideoDiffusionPipeline,
    count: int,
    seed: int,
    guidance: float = 1.0,
    fps: int = 7,
) -> dict[str, Any]:
    """Animates first frames of held-out scenes with one object and reads the clips' pixels.

    Args:
        pipeline: The pipeline.
        count: First frames for each motion bucket.
        seed: Seed of the scenes; none that training draws from.
        guidance: As in `animate`.
        fps: Frames a second.

    Returns:
        `clips` and, of these, those whose object is read as moving `straight`; of the straight
        ones the shares `colour_kept` and `shape_kept` that have one colour or shape in frames 0
        and 13; `first_frame_psnr` in dB against the given picture; `last_frame_sharpness`, the
        mean gradient of frame 13 relative to the given picture's; and `motion_by_bucket`, the
        shares of directions and the mean net speed of the object's centre in widths a second.
        That speed cannot see spins and growth, which the asked speed counts.
    """
    scenes = sample_scenes(count, seed, objects=1)
    pictures = first_frames(scenes)
    by_bucket: dict[str, Any] = {}
    kept: list[tuple[bool, bool]] = []
    fidelity: list[float] = []
    sharpness: list[float] = []
    for bucket in BUCKETS:
        clips = animate(pipeline, pictures, bucket, fps=fps, seed=seed, guidance=guidance)
        readings = [
            measure(clip, scene.style, fps=fps) for clip, scene in zip(clips, scenes, strict=True)
        ]
        by_bucket[str(bucket)] = _motion(readings, bucket)
        for clip, scene, reading in zip(clips, scenes, readings, strict=True):
            if reading.direction in HEADINGS:
                ends = [measure(frame[None], scene.style) for frame in (clip[0], clip[-1])]
                kept.append((ends[0].colour == ends[1].colour, ends[0].shape == ends[1].shape))
        fidelity += [psnr(clip[0], picture) for clip, picture in zip(clips, pictures, strict=True)]
        sharpness += [
            gradient(clip[-1]) / gradient(picture)
            for clip, picture in zip(clips, pictures, strict=True)
        ]
    return {
        "clips": count * len(BUCKETS),
        "straight": len(kept),
        "colour_kept": _mean([colour for colour, _ in kept]),
        "shape_kept": _mean([shape for _, shape in kept]),
        "first_frame_psnr": _mean(fidelity),
        "last_frame_sharpness": _mean(sharpness),
        "motion_by_bucket": by_bucket,
    }


def first_frames(scenes: Sequence[Scene]) -> NDArray[np.uint8]:
    """Draws scenes at their start: uint8 (N, 128, 128, 3)."""
    pictures = render(encode(scenes), torch.zeros(len(scenes), 1), SIDE, SIDE)[:, 0]
    levels: NDArray[np.uint8] = (pictures * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return levels


def gradient(picture: NDArray[np.uint8]) -> float:
    """Mean absolute difference of neighbouring pixels (H, W, 3), in levels."""
    levels = picture.astype(np.float64)
    across, down = np.abs(np.diff(levels, axis=1)).mean(), np.abs(np.diff(levels, axis=0)).mean()
    return float(across + down) / 2


def _motion(readings: Sequence[Reading], bucket: int) -> dict[str, float | None]:
    """What the objects of clips did, as shares, with the asked and the measured speed."""
    found: list[str] = [reading.direction or "lost" for reading in readings]
    shares = {
        name: found.count(name) / len(found) for name in (*HEADINGS, "still", "other", "lost")
    }
    speed = _mean([reading.speed / 2 for reading in readings])
    return {"asked_speed": bucket_speed(bucket), "speed": speed, **shares}


def _mean(values: Sequence[float]) -> float | None:
    """The mean, `None` of nothing."""
    return float(np.mean(values)) if values else None


def write_sheet(clips: NDArray[np.uint8], folder: Path, fps: int = 7) -> None:
    """Writes clips (N, T, H, W, 3) as a picture, a row a clip, and as one video in a grid."""
    rows = torch.from_numpy(clips).permute(0, 1, 4, 2, 3) / 255
    save_sheet(folder / "image_to_video.png", list(rows))
    count, frames, height, width, _ = clips.shape
    across = math.isqrt(count)
    grid = clips[: across * across].reshape(across, across, frames, height, width, 3)
    grid = grid.transpose(2, 0, 3, 1, 4, 5).reshape(frames, across * height, across * width, 3)
    write_video(folder / "image_to_video.mp4", grid, fps)
