"""Does the whole path from a caption to a clip keep what the caption asks for?

The pictures of the part `text_to_image` are set in motion with the project's own settings, and
`lab.world.measure` reads the clips. Image-to-video takes no text here, so the direction can only
be right by chance: one in four of the directions of travel, less for every clip whose object
does something else. The figure is given for what it is.

Two more look at image-to-video alone, on first frames that the world draws: whether frame 0 is the
given picture, and whether a larger motion bucket gives more motion.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from lab.exam.exam import Exam
from lab.exam.figures import Figure
from lab.exam.generators import generators
from lab.exam.held_out import FPS, captions_of, films, travelling_scenes
from lab.exam.pixels import psnr
from lab.exam.text_to_image import as_asked, colours, draw, read, shapes, share
from lab.world.measure import Reading
from lab.world.scene import COLOUR_NAMES, HEADINGS, SHAPE_NAMES, Scene, sample_scenes
from mora.media import write_video

BUCKETS = (0, 64, 127, 191, 255)
"""Motion buckets whose clips are compared."""


def examine(exam: Exam) -> list[Figure]:
    """Shares of clips as asked, then fidelity and control of image-to-video alone."""
    scenes = travelling_scenes(exam, exam.count)
    clips = animate(exam, draw(exam, scenes), captions_of(exam, scenes))
    _keep(exam, clips)
    return [
        *_as_asked(exam, clips, scenes),
        *_alone(exam, sample_scenes(max(2, exam.count // 5), exam.seed + 1, objects=1)),
    ]


def animate(
    exam: Exam,
    pictures: NDArray[np.uint8],
    texts: Sequence[str],
    motion_bucket: int | None = None,
) -> NDArray[np.uint8]:
    """Sets pictures (N, H, W, 3) in motion: clips uint8 (N, T, H, W, 3).

    Args:
        exam: Where the weights are.
        pictures: First frames.
        texts: A text for each, which a model that takes none leaves unread.
        motion_bucket: In place of the project's setting, if given.
    """
    model = generators(exam.weights)[1]
    if motion_bucket is not None:
        call = {**model.settings.call, "motion_bucket_id": motion_bucket}
        model = replace(model, settings=model.settings.model_copy(update={"call": call}))
    seeds = [exam.seed + index for index in range(len(pictures))]
    with model.open(exam.device.type) as set_in_motion:
        return np.stack([clip.frames for clip in set_in_motion(list(pictures), texts, seeds)])


def _as_asked(exam: Exam, clips: NDArray[np.uint8], scenes: Sequence[Scene]) -> list[Figure]:
    made = read(clips, scenes)
    true = read(films(scenes, exam.device).permute(0, 1, 3, 4, 2).cpu().numpy(), scenes)
    on = "held-out captions, the clip"
    straight = share([reading.direction in HEADINGS for reading in made])
    return [
        as_asked("colour", on, colours, scenes, made, true, 1 / len(COLOUR_NAMES), 0.95),
        as_asked("shape", on, shapes, scenes, made, true, 1 / len(SHAPE_NAMES), 0.85),
        as_asked("direction", on, directions, scenes, made, true, 1 / len(HEADINGS)),
        Figure("object moves straight, anywhere", on, straight, "share", len(scenes)),
    ]


def directions(readings: Sequence[Reading], scenes: Sequence[Scene]) -> list[bool]:
    """Which readings have the asked direction of travel."""
    return [
        reading.direction == scene.bodies[0].heading
        for reading, scene in zip(readings, scenes, strict=True)
    ]


def _alone(exam: Exam, scenes: Sequence[Scene]) -> list[Figure]:
    pictures = films(scenes, exam.device, frames=1)[:, 0].permute(0, 2, 3, 1).cpu().numpy()
    texts = [""] * len(scenes)
    by_bucket = [animate(exam, pictures, texts, bucket) for bucket in BUCKETS]
    middle = by_bucket[BUCKETS.index(127)]
    motion = np.array([[_motion(clip) for clip in clips] for clips in by_bucket])
    ranks = [float(spearmanr(BUCKETS, column).statistic) for column in motion.T]
    fidelity = [psnr(clip[0], picture) for clip, picture in zip(middle, pictures, strict=True)]
    on = "first frames that the world draws"
    count = len(scenes)
    return [
        Figure(
            "colour and shape kept from frame 0 to 13",
            on,
            share(kept(middle, scenes)),
            "share",
            count,
        ),
        Figure("frame 0 against the given picture", on, float(np.mean(fidelity)), "dB", count),
        Figure("motion rises with the bucket", on, float(np.mean(ranks)), "correlation", count),
    ]


def kept(clips: NDArray[np.uint8], scenes: Sequence[Scene]) -> list[bool]:
    """Whose main object has the same colour and shape in the first frame and in the last."""
    first, last = read(clips[:, :1], scenes), read(clips[:, -1:], scenes)
    return [
        (before.colour, before.shape) == (after.colour, after.shape)
        for before, after in zip(first, last, strict=True)
    ]


def _motion(clip: NDArray[np.uint8]) -> float:
    """Mean absolute change from frame to frame, in levels."""
    return float(np.abs(np.diff(clip.astype(np.float32), axis=0)).mean())


def _keep(exam: Exam, clips: NDArray[np.uint8]) -> None:
    """Keeps the clips, so that they can be looked at."""
    for index, clip in enumerate(clips):
        write_video(exam.out / "clips" / f"{index:04}.mp4", clip, FPS)
