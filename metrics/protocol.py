"""The protocol: the named set of choices that a metric's number depends on.

Programs that report the same eight names differ in these, and the numbers with them. The choices
are data, in `mora/conf/protocol/*.yaml`; what each does is said here, once.
"""

from importlib import resources
from typing import Literal

import yaml
from pydantic import Field, field_validator

from mora.records import Record

Weighting = Literal["videos", "frames"]


class Protocol(Record):
    """One set of choices."""

    name: str = Field(min_length=1)
    about: str
    """What it is for, in one sentence."""
    imaging_resize: Literal["longer", "none"]
    """Imaging quality: `longer` scales frames whose longer side exceeds 512 pixels so that it is
    512, `none` takes them as they are. VBench's default changed to `longer` on 2024-04-21; the
    paper's column is from before."""
    appearance_text: Literal["style", "prompt"]
    """Appearance style: frames are compared with the prompt's tag `style` (VBench) or with the
    whole prompt (Mora)."""
    dynamic_least_pairs: int = Field(ge=0)
    """Dynamic degree: fewest moving pairs that make a video dynamic. VBench rounds a sixteenth of
    four times the frames, which is 0 for two frames: any two frames are then dynamic (0). With 1
    something has to move."""
    flow_rate: float = Field(gt=0)
    """Dynamic degree: frames a second that flow is measured between, about."""
    clip_precision: Literal["float32"]
    """Precision of CLIP. VBench's CLIP runs in float16 on a GPU, which moves the consistency of
    the background and the aesthetic quality by up to 1.1e-4 and the appearance by 1.6e-4."""
    tcon_output: Literal["whole", "new_part"]
    """TCON and Tmean: the output video as it is, or only its frames that were not given, as the
    video's record states. Frames that were given repeat the input, so that `whole` is the easier.
    The paper does not say which."""
    picture_question: str
    """VideoTI: what the captioner is asked about the input picture."""
    video_question: str
    """VideoTI: what it is asked about the output video."""
    caption_frames: int = Field(ge=1)
    """VideoTI: frames of the video that it is shown, the middle ones of as many intervals."""
    bert_pooling: Literal["mean", "first"]
    """VideoTI: how BERT's vectors of a text's tokens become one, `mean` of all or the `first`. With
    the miniature weights there is no BERT: the text tower of the miniature CLIP stands for it and
    reads its own vector at the end of the text, whatever is said here."""
    weighted_by_frames: tuple[str, ...]
    """Metrics whose mean over a set weighs each frame (or pair of frames) alike, so that long
    videos count more. The others are plain means over videos."""

    @field_validator("imaging_resize", mode="before")
    @classmethod
    def _none_is_a_word(cls, value: object) -> object:
        """Hydra and YAML both may read the word `none` as nothing."""
        return "none" if value is None else value

    def weighting(self, metric: str) -> Weighting:
        """What weighs alike in the mean over a set of videos."""
        return "frames" if metric in self.weighted_by_frames else "videos"


def protocol_names() -> list[str]:
    """Names of the protocols that come with the project, sorted."""
    return sorted(
        path.name.removesuffix(".yaml")
        for path in _folder().iterdir()
        if path.name.endswith(".yaml")
    )


def load_protocol(name: str) -> Protocol:
    """Reads a protocol that comes with the project.

    Raises:
        ValueError: There is none of this name, or its file does not say all that it has to.
    """
    if name not in protocol_names():
        raise ValueError(f"protocol={name} is not known; there are: {', '.join(protocol_names())}.")
    return Protocol.model_validate(yaml.safe_load((_folder() / f"{name}.yaml").read_text()))


def _folder() -> resources.abc.Traversable:
    return resources.files("mora") / "conf" / "protocol"
