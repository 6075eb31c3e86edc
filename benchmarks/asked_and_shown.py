"""Does VideoTI tell what was asked for from the rest? `python -m benchmarks.asked_and_shown`.

Clips of the miniature world with one object that travels, their first frame as the input picture,
and a caption as the instruction. Each clip is scored as it is, and where something of what was
asked for is wrong: the shape, the colour, the motion, or all of it. Miniature networks, and the
world's own reader as the captioner. `docs/metrics/videoti.md` has the table.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from eval.validate.statistics import auc, beats
from lab.exam.held_out import FPS, Attribute, films, with_other
from lab.world.caption import caption
from lab.world.reader import WorldReader
from lab.world.scene import HEADINGS, Scene, sample_scenes
from metrics.captioners.captioner import Captions, NoStore
from metrics.features import Decoded, Facts
from metrics.networks import Networks
from metrics.protocol import load_protocol
from metrics.video_ti import VideoTi
from mora.checkpoints import mini_weights
from mora.records import Role

SEED: Final = 20_280_000
"""Of the scenes; trainings draw theirs from small seeds."""

WRONG: Final[Mapping[str, tuple[Attribute, ...]]] = {
    "as asked": (),
    "another motion": ("motion",),
    "another colour": ("colour",),
    "another shape": ("shape",),
    "all another": ("motion", "colour", "shape"),
}


def scores(scenes: Sequence[Scene], wrong: Sequence[Attribute]) -> list[float]:
    """VideoTI of each scene's clip, where what was asked for differs in some attributes."""
    rng = np.random.default_rng(len(wrong))
    metric = VideoTi(load_protocol("sound"))
    networks = Networks(
        "mini", mini_weights(), torch.device("cpu"), Captions(WorldReader(), NoStore())
    )
    found = []
    for scene in scenes:
        asked = scene
        for attribute in wrong:
            asked = with_other(asked, attribute, rng)
        # What moves otherwise begins alike, so another motion is in the words alone.
        picture = films([scene if wrong == ("motion",) else asked], torch.device("cpu"), 1)[0]
        instruction = caption(asked, np.random.default_rng(0))
        clip = films([scene], torch.device("cpu"))[0]
        video = decoded(clip, instruction, {Role.INPUT_IMAGE: decoded(picture)})
        features = {each: each.compute(video, networks) for each in metric.features}
        found.append(metric.measure(features).value)
    return found


def decoded(
    frames: Tensor, prompt: str | None = None, made_from: Mapping[Role, Decoded] | None = None
) -> Decoded:
    """Frames uint8 (T, 3, H, W) as a video."""
    count, _, height, width = frames.shape
    known = made_from or {}
    facts = Facts(count, height, width, FPS, prompt, companions=frozenset(known))
    return Decoded(frames, facts, known)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100)
    chosen = parser.parse_args()
    scenes = sample_scenes(chosen.clips, SEED, motion=HEADINGS, objects=1)
    right = scores(scenes, ())
    print("| what was asked for | mean | lower than as asked | AUC |\n|---|---|---|---|")
    for name, wrong in WRONG.items():
        values = scores(scenes, wrong) if wrong else right
        lower = np.mean([b < a for a, b in zip(right, values, strict=True)])
        apart = auc(beats(right, values))
        print(f"| {name} | {np.mean(values):.3f} | {lower:.0%} | {apart:.2f} |")


if __name__ == "__main__":
    main()
