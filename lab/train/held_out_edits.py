"""What a trained image-to-image pipeline makes of edits that its training never drew.

All is read from pixels. Colour, shape and size of an object are `lab.world.measure`'s reading; the
style is the one in which the wanted scene, drawn by the world, is nearest to the picture. Of a new
ground only the colour is read, in the same way, since nobody can know where its stripes should lie.
The reading is not sure of the digital world, whose small blocks the autoencoder all but loses;
pictures of the world that went through the autoencoder show how sure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lab.exam.pixels import psnr
from lab.train.autoencoders import SIDE
from lab.world.edit import EDIT_KINDS, Edit, instruction, sample_edit
from lab.world.measure import Reading, measure
from lab.world.parse import AskedBody
from lab.world.render import render
from lab.world.scene import (
    GROUND_COLOUR_NAMES,
    SIZE_NAMES,
    STYLE_NAMES,
    Body,
    Scene,
    SizeName,
    encode,
    sample_scenes,
)

Picture = NDArray[np.uint8]

Group = Literal["colour", "shape", "size", "style", "ground", "caption", "motion"]
"""What is asked for: one change by an instruction, a caption, or a text about motion alone."""

GROUPS: Final[tuple[Group, ...]] = (*EDIT_KINDS, "caption", "motion")

CALL: Final[dict[str, Any]] = {
    "num_inference_steps": 20,
    "guidance_scale": 2.0,
    "image_guidance_scale": 1.0,
}
"""Arguments of the call that suit the miniature."""

GROUND_LEVELS: Final = 9.0
"""Mean absolute error up to which a ground counts as kept. The autoencoder's own is about 3 levels;
another colour is far above, another texture of the same colour about 12."""

_SMALL, _LARGE = 0.23, 0.325  # between the radii of small, medium and large objects
_MARGIN: Final = 3  # pixels around objects that belong to no ground


def held_out_edits(group: Group, count: int, seed: int) -> list[Edit]:
    """Draws edits of one group from scenes of a seed.

    Grounds always change from one colour to another, since no more is read of them. A caption
    changes one thing or two, so that doing nothing is never right.
    """
    edits: list[Edit] = []
    index = 100_000 * GROUPS.index(group)  # no two groups have a scene in common
    while len(edits) < count:
        rng = np.random.default_rng([seed, index, *group.encode()])
        (scene,) = sample_scenes(1, seed, first=index)
        index += 1
        match group:
            case "caption" | "motion":
                edit = sample_edit(scene, rng, phrasing=group)
            case _:
                edit = sample_edit(scene, rng, phrasing="instruction", kinds=(group,))
        was, new = edit.before.ground, edit.after.ground
        recoloured = was.colour != new.colour and "gradient" not in (was.kind, new.kind)
        if ("ground" not in edit.kinds or recoloured) and (edit.kinds or group == "motion"):
            edits.append(edit)
    return edits


def wordings(edits: Sequence[Edit], seed: int) -> list[str]:
    """An instruction for each edit; its words depend on the place in the list."""
    return [
        instruction(edit, np.random.default_rng([seed, index, 3]))
        for index, edit in enumerate(edits)
    ]


def drawn(scenes: Sequence[Scene]) -> NDArray[np.uint8]:
    """The world's own pictures of scenes: uint8 (N, 128, 128, 3)."""
    pictures = render(encode(scenes), torch.zeros(len(scenes), 1), SIDE, SIDE)[:, 0]
    levels: NDArray[np.uint8] = (pictures * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return levels


def edited(
    pipeline: StableDiffusionInstructPix2PixPipeline,
    pictures: NDArray[np.uint8],
    texts: Sequence[str],
    *,
    seed: int,
    call: Mapping[str, Any] = CALL,
    at_once: int = 32,
) -> NDArray[np.uint8]:
    """Edits pictures by the unchanged pipeline.

    Args:
        pipeline: The pipeline, on any device.
        pictures: uint8 (N, 128, 128, 3).
        texts: An instruction for each.
        seed: Seed of the noise of the first edit; each further one adds one.
        call: Arguments of the pipeline's call.
        at_once: Pictures in a batch.

    Returns:
        uint8 (N, 128, 128, 3).
    """
    parts = []
    for first in range(0, len(texts), at_once):
        chosen = slice(first, first + at_once)
        generators = [
            torch.Generator().manual_seed(seed + first + i) for i in range(len(texts[chosen]))
        ]
        made = pipeline(
            list(texts[chosen]),
            image=[Image.fromarray(picture) for picture in pictures[chosen]],
            generator=generators,
            output_type="np",
            **call,
        ).images
        parts.append((made * 255).round().astype(np.uint8))
    return np.concatenate(parts)


@dataclass(frozen=True)
class Judgement:
    """What became of an edit.

    Attributes:
        right: Whether all that was to change is as asked, by name: `style`, `ground`, and for each
            object `colour 0`, `shape 0`, `size 0` and so on. Empty where nothing was to change.
        kept: Whether all else is as it was, by the same names.
    """

    right: Mapping[str, bool]
    kept: Mapping[str, bool]


def judge(picture: Picture, edit: Edit) -> Judgement:
    """Reads a picture (128, 128, 3) and says what of an edit is done and what is spoilt.

    A change of style changes how the ground looks; it is kept where it looks as the world draws it
    in the new style.
    """
    wanted, found = edit.after, _found(picture, edit)
    changed = _differences(edit.before, wanted)
    return Judgement(
        {name: is_so for name, is_so in found.items() if name in changed},
        {name: is_so for name, is_so in found.items() if name not in changed},
    )


def _differences(before: Scene, after: Scene) -> set[str]:
    names = {
        f"{kind} {index}"
        for index, (old, new) in enumerate(zip(before.bodies, after.bodies, strict=True))
        for kind in ("colour", "shape", "size")
        if getattr(old, kind) != getattr(new, kind)
    }
    names |= {"style"} if before.style != after.style else set()
    return names | ({"ground"} if before.ground != after.ground else set())


def _found(picture: Picture, edit: Edit) -> dict[str, bool]:
    wanted = edit.after
    found = {"style": _nearest_style(picture, [edit.before, wanted]) == wanted.style}
    ground = ~_covered([edit.before, wanted])
    if edit.before.ground == wanted.ground:
        difference = np.abs(picture.astype(float) - drawn([wanted])[0])[ground].mean()
        found["ground"] = bool(difference <= GROUND_LEVELS)
    else:
        found["ground"] = _nearest_ground(picture, wanted, ground) == wanted.ground.colour
    true = drawn([wanted])
    for index in range(len(wanted.bodies)):
        reading = _read(picture[None], wanted, index)
        body = wanted.bodies[index]
        found[f"colour {index}"] = reading.colour == body.colour
        found[f"shape {index}"] = reading.shape == body.shape
        scale = np.sqrt(reading.area / max(_read(true, wanted, index).area, 1e-9))
        found[f"size {index}"] = _size(body.radius * float(scale)) == body.size
    return found


def _read(frames: NDArray[np.uint8], scene: Scene, index: int) -> Reading:
    body = scene.bodies[index]
    return measure(
        frames,
        scene.style,
        objects=2 if len(scene.bodies) == 2 else 1,
        asked=AskedBody(shape=body.shape, colour=body.colour, size=body.size),
    )


def _size(radius: float) -> SizeName:
    return SIZE_NAMES[int(radius > _SMALL) + int(radius > _LARGE)]


def _nearest_style(picture: Picture, scenes: Sequence[Scene]) -> str:
    """The style in which objects and the ground's mean colour are nearest, in any of the scenes.

    The ground's single pixels would mislead: shades of blocks and stars lie anywhere.
    """
    distances = []
    for scene in scenes:
        styled = [replace(scene, style=style) for style in STYLE_NAMES]
        objects = _covered(styled)
        error = drawn(styled).astype(float) - picture
        distance = np.square(error[:, objects]).mean((1, 2))
        distances.append(distance + np.square(error[:, ~objects].mean(1)).mean(1))
    return STYLE_NAMES[int(np.min(distances, 0).argmin())]


def _nearest_ground(picture: Picture, scene: Scene, where: NDArray[np.bool_]) -> str:
    """Colour of the ground, of the same kind, whose mean is nearest to the picture's."""
    grounds = []
    for colour in GROUND_COLOUR_NAMES:
        (donor,) = sample_scenes(1, 0, ground=scene.ground.kind, ground_colour=colour)
        grounds.append(scene.ground if colour == scene.ground.colour else donor.ground)
    candidates = drawn([replace(scene, ground=ground) for ground in grounds])
    means = candidates[:, where].astype(float).mean(1)
    return GROUND_COLOUR_NAMES[int(np.linalg.norm(means - picture[where].mean(0), axis=1).argmin())]


def _covered(scenes: Sequence[Scene]) -> NDArray[np.bool_]:
    """Pixels (H, W) on which an object of any of the scenes lies, or nearly."""
    bare = [replace(scene, bodies=(_far_away(scene.bodies[0]),)) for scene in scenes]
    apart = np.abs(drawn(scenes).astype(int) - drawn(bare)).max((0, 3)) > 2
    reach = 2 * _MARGIN + 1
    grown = torch.nn.functional.max_pool2d(
        torch.from_numpy(apart).float()[None], reach, stride=1, padding=_MARGIN
    )
    covered: NDArray[np.bool_] = (grown[0] > 0).numpy()
    return covered


def _far_away(body: Body) -> Body:
    return replace(body, place=(50.0, 50.0))


def held_out_figures(
    pipeline: StableDiffusionInstructPix2PixPipeline,
    each: int,
    seed: int,
    scales: Sequence[tuple[float, float]],
) -> tuple[dict[str, Any], list[Tensor], list[str]]:
    """Edits held-out pictures at several scales of guidance and reads what came out.

    Args:
        pipeline: The pipeline.
        each: Edits of each group.
        seed: Seed of the scenes; none that training draws from.
        scales: Guidance by text and by picture.

    Returns:
        Figures by scale and group: share of edits `asked` for that came out, share in which all
        else was `kept`, and `psnr` against the given picture where it was to stay; the rows of a
        sheet at the best scale, given pictures above edits; the instructions in its order.
    """
    edits = {group: held_out_edits(group, each, seed) for group in GROUPS}
    texts = {group: wordings(edits[group], seed) for group in GROUPS}
    given = {group: drawn([edit.before for edit in edits[group]]) for group in GROUPS}
    by_scale: dict[str, dict[str, dict[str, float]]] = {}
    made: dict[str, dict[Group, NDArray[np.uint8]]] = {}
    for text, picture in scales:
        scale = f"{text:g} {picture:g}"
        call = CALL | {"guidance_scale": text, "image_guidance_scale": picture}
        made[scale] = {
            group: edited(pipeline, given[group], texts[group], seed=seed, call=call)
            for group in GROUPS
        }
        by_scale[scale] = {
            group: summary(made[scale][group], edits[group], given[group]) for group in GROUPS
        }
    best = max(by_scale, key=lambda scale: _success(by_scale[scale]))
    rows = [
        torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
        for group in GROUPS
        for pictures in (given[group], made[best][group])
    ]
    figures = {"edits": each, "best": best, "by_guidance": by_scale}
    return figures, rows, [text for group in GROUPS for text in texts[group]]


def summary(
    pictures: NDArray[np.uint8], edits: Sequence[Edit], given: NDArray[np.uint8]
) -> dict[str, float]:
    """Figures of one group, as `held_out_figures` names them."""
    judged = [judge(picture, edit) for picture, edit in zip(pictures, edits, strict=True)]
    kept = float(np.mean([all(one.kept.values()) for one in judged]))
    if not edits[0].kinds:
        ratios = [psnr(made, was) for made, was in zip(pictures, given, strict=True)]
        return {"kept": kept, "psnr": float(np.mean(ratios))}
    return {"asked": float(np.mean([all(one.right.values()) for one in judged])), "kept": kept}


def _success(figures: Mapping[str, Mapping[str, float]]) -> float:
    return sum(group.get("asked", 1.0) + group["kept"] for group in figures.values())
