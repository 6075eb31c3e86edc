"""Are pictures what their captions ask for? Colour and shape of the main object, from the pixels.

Captions of held-out scenes, as many of each style, go through text-to-image as they are, without
the prompt agent. `lab.world.measure` reads the pictures; it knows how the world is drawn, and uses
no network. Beside each share stands what it reads in pictures that the world itself draws of the
same scenes, which is the most that could be had, and what guessing would give.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.exam.exam import Exam
from lab.exam.figures import Figure
from lab.exam.generators import generators
from lab.exam.held_out import captions_of, films, travelling_scenes
from lab.world.measure import Reading, measure
from lab.world.parse import AskedBody
from lab.world.scene import COLOUR_NAMES, SHAPE_NAMES, STYLE_NAMES, Scene
from mora.media import read_image, write_image
from mora.records import content_hash


def examine(exam: Exam) -> list[Figure]:
    """Shares of pictures with the asked colour and shape."""
    scenes = travelling_scenes(exam, exam.count)
    drawn = read(draw(exam, scenes)[:, None], scenes)
    true = read(films(scenes, exam.device, frames=1).permute(0, 1, 3, 4, 2).cpu().numpy(), scenes)
    on = "held-out captions, the picture"
    return [
        as_asked("colour", on, colours, scenes, drawn, true, 1 / len(COLOUR_NAMES), 0.95),
        as_asked("shape", on, shapes, scenes, drawn, true, 1 / len(SHAPE_NAMES), 0.85),
    ]


def as_asked(
    what: str,
    on: str,
    judge: Callable[[Sequence[Reading], Sequence[Scene]], list[bool]],
    scenes: Sequence[Scene],
    made: Sequence[Reading],
    true: Sequence[Reading],
    chance: float,
    aim: float | None = None,
) -> Figure:
    """The share of readings that are as their scenes ask, over all and in each style.

    Args:
        what: Which attribute, in words.
        on: On what, in words.
        judge: Says which readings are right.
        scenes: What was asked for.
        made: Readings of what a model made of it.
        true: Readings of what the world itself makes of it.
        chance: Share that guessing gets.
        aim: Share that should be reached.
    """
    right = judge(made, scenes)
    styles = {
        style: [one for one, scene in zip(right, scenes, strict=True) if scene.style == style]
        for style in STYLE_NAMES
    }
    return Figure(
        f"{what} as asked",
        on,
        share(right),
        "share",
        len(scenes),
        {style: share(part) for style, part in styles.items() if part},
        {"the world's own": share(judge(true, scenes)), "chance": chance},
        aim,
    )


def draw(exam: Exam, scenes: Sequence[Scene]) -> NDArray[np.uint8]:
    """Draws the scenes' captions by text-to-image: uint8 (N, H, W, 3).

    The pictures are kept below the exam's folder, so that another part need not draw them again.
    """
    folder = _folder(exam, len(scenes))
    paths = [folder / f"{index:04}.png" for index in range(len(scenes))]
    if not all(path.exists() for path in paths):
        texts = captions_of(exam, scenes)
        seeds = [exam.seed + index for index in range(len(scenes))]
        with generators(exam.weights)[0].open(exam.device.type) as text_to_image:
            for path, picture in zip(paths, text_to_image(texts, seeds), strict=True):
                write_image(path, picture)
        lines = [f"{path.name}\t{text}" for path, text in zip(paths, texts, strict=True)]
        (folder / "captions.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    return np.stack([read_image(path) for path in paths])


def read(clips: Iterable[NDArray[np.uint8]], scenes: Sequence[Scene]) -> list[Reading]:
    """Reads the main object of each clip, uint8 (T, H, W, 3)."""
    return [
        measure(
            clip,
            scene.style,
            objects=2 if len(scene.bodies) == 2 else 1,
            asked=asked_of(scene),
        )
        for clip, scene in zip(clips, scenes, strict=True)
    ]


def asked_of(scene: Scene) -> AskedBody:
    """What a scene asks of its main object."""
    main = scene.bodies[0]
    return AskedBody(main.shape, main.colour, main.size, main.motion, main.heading, main.speed)


def colours(readings: Sequence[Reading], scenes: Sequence[Scene]) -> list[bool]:
    """Which readings have the asked colour."""
    return [
        reading.colour == scene.bodies[0].colour
        for reading, scene in zip(readings, scenes, strict=True)
    ]


def shapes(readings: Sequence[Reading], scenes: Sequence[Scene]) -> list[bool]:
    """Which readings have the asked shape."""
    return [
        reading.shape == scene.bodies[0].shape
        for reading, scene in zip(readings, scenes, strict=True)
    ]


def share(right: Sequence[bool]) -> float:
    """Share of what is right."""
    return sum(right) / len(right)


def _folder(exam: Exam, count: int) -> Path:
    """A folder for the pictures of these weights, settings and captions."""
    recipe = generators(exam.weights)[0].recipe()
    return exam.out / "pictures" / content_hash([recipe, exam.seed, count])[:16]
