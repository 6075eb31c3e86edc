"""Pipelines of diffusers that take a first and a last frame, behind the connection agent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from mora.agents.connection import (
    Connect,
    PipelineConnectionSettings,
    between,
    pairs_of_a_size,
)
from mora.agents.pipelines import Pipeline
from mora.agents.text_to_image import Picture
from mora.errors import SettingError
from mora.media import Clip
from mora.records import content_hash

Ends = Callable[[Image.Image, Image.Image, int], Mapping[str, object]]
"""Gives a pipeline the first and the last frame of a clip of so many frames, by argument."""


def _last_image(first: Image.Image, last: Image.Image, frames: int) -> Mapping[str, object]:  # noqa: ARG001
    return {"image": first, "last_image": last}


def _ltx(first: Image.Image, last: Image.Image, frames: int) -> Mapping[str, object]:
    return {"image": [first, last], "frame_index": [0, frames - 1]}


def _ltx2(first: Image.Image, last: Image.Image, frames: int) -> Mapping[str, object]:
    from diffusers.pipelines.ltx2 import LTX2VideoCondition

    conditions = [LTX2VideoCondition(frames=first), LTX2VideoCondition(last, index=frames - 1)]
    return {"conditions": conditions}


ENDS: Final[Mapping[str, tuple[tuple[str, ...], Ends]]] = {
    "WanImageToVideoPipeline": (("image", "last_image"), _last_image),
    "SkyReelsV2ImageToVideoPipeline": (("image", "last_image"), _last_image),
    "HunyuanVideoFramepackPipeline": (("image", "last_image"), _last_image),
    "LTXConditionPipeline": (("image", "frame_index"), _ltx),
    "LTX2ConditionPipeline": (("conditions",), _ltx2),
}
"""Pipelines that take both frames, and in which arguments.

Those of video editing (Wan's VACE, EasyAnimate's inpainting) would take them as a masked video.
"""


@dataclass(frozen=True)
class PipelineConnection:
    """A first-and-last-frame pipeline of diffusers, such as Wan 2.1's.

    Pairs go through it one by one: these pipelines take no lists of pictures.
    """

    settings: PipelineConnectionSettings

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.settings.name

    @property
    def batch_size(self) -> int:
        """Pairs of pictures to give at once."""
        return self.settings.batch_size

    @property
    def reads_text(self) -> bool:
        """Whether the request's text matters; not where the settings say the same to all."""
        return self.settings.text is None

    def recipe(self) -> str:
        """Hash of settings and weights. Raises `CheckpointError` if local weights are missing."""
        return content_hash([self._pipeline().recipe(), self.settings.fps, self.settings.text])

    @contextmanager
    def open(self, device: str) -> Iterator[Connect]:
        """Loads the pipeline.

        Raises:
            SettingError: It takes no last frame, or is told no `num_frames`, as well as what
                `Pipeline.open` raises.
            CheckpointError: As `Pipeline.open`.
        """
        described = self._pipeline()
        _, ends = self._ends()
        frames = self._frames()
        with described.open(device) as loaded:

            def connect(
                before: Sequence[Picture],
                after: Sequence[Picture],
                texts: Sequence[str],
                seeds: Sequence[int],
            ) -> Iterator[Clip]:
                for part in pairs_of_a_size(before, after, at_once=1):
                    (first,), (last,), (text,), (seed,) = (
                        before[part],
                        after[part],
                        texts[part],
                        seeds[part],
                    )
                    given = ends(Image.fromarray(first), Image.fromarray(last), frames)
                    said = text if self.settings.text is None else self.settings.text
                    made = loaded.run_one({**given, "prompt": said}, seed)
                    yield Clip(between(first, made, last), self.settings.fps)

            yield connect

    def _pipeline(self) -> Pipeline:
        arguments, _ = self._ends()
        return Pipeline(self.settings, {name: name for name in (*arguments, "prompt")})

    def _ends(self) -> tuple[tuple[str, ...], Ends]:
        found = ENDS.get(self.settings.pipeline)
        if found is None:
            raise SettingError(
                f"{self.name}: pipeline={self.settings.pipeline} cannot connect: it is not known "
                f"to take a first and a last frame. These do: SEINE, {', '.join(ENDS)}."
            )
        return found

    def _frames(self) -> int:
        found: Any = self.settings.call.get("num_frames")
        if not isinstance(found, int):
            raise SettingError(
                f"{self.name}: call.num_frames={found}: expected the frames of a clip, both given "
                "ones included."
            )
        return found
