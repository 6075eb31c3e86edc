"""The connection agent: makes the clip between two pictures, and so joins two videos."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Discriminator, Field, Tag, model_validator

from mora.agents.pipelines import PipelineSettings
from mora.agents.text_to_image import Picture
from mora.media import Clip
from mora.records import Record


class Connect(Protocol):
    """A connection model in memory."""

    def __call__(
        self,
        before: Sequence[Picture],
        after: Sequence[Picture],
        texts: Sequence[str],
        seeds: Sequence[int],
    ) -> Iterator[Clip]:
        """Yields the clip between each two pictures, in order, as soon as it is done.

        Args:
            before: What each clip begins with, uint8 (H, W, 3).
            after: What it ends with, of the same size as its `before`.
            texts: What should happen; a model that takes no text leaves them unread.
            seeds: Seed of each clip.

        Yields:
            A clip of the pictures' size. Its first frame is `before` and its last is `after`, bit
            for bit, so that whoever joins two videos with it drops one of each boundary's frames.

        Raises:
            InputError: Two pictures differ in size, or have one that the model cannot work at.
        """
        ...


class InputError(ValueError):
    """Pictures that a connection model cannot join; the message says why and what to do."""


class Connection(Protocol):
    """What can play the connection agent."""

    @property
    def name(self) -> str:
        """Name in artifacts and reports."""
        ...

    @property
    def batch_size(self) -> int:
        """Pairs of pictures to give at once."""
        ...

    @property
    def reads_text(self) -> bool:
        """Whether the text matters to the clip; if not, clips are shared across texts."""
        ...

    def recipe(self) -> str:
        """Hash of all settings and weights."""
        ...

    def open(self, device: str) -> AbstractContextManager[Connect]:
        """Loads the model onto a torch device, and releases it at the end."""
        ...


class NetworkSource(Record):
    """Where SEINE's UNet lies."""

    weights: str
    """`mini:FOLDER` in the miniature weights, `hub:OWNER/NAME` on the Hugging Face hub, or a local
    path: the published file, or a folder with `config.json` and `model.safetensors`."""
    file: str | None = None
    """The file in a repository of the hub, such as `seine.pt`."""
    revision: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")
    """Commit on the hub; needed there, since a branch's content changes under its name."""
    licence: str | None = None
    """Licence of weights on the hub, for the list of checkpoints."""

    @model_validator(mode="after")
    def _hub_is_pinned(self) -> Self:
        if self.weights.startswith("hub:") and None in (self.file, self.revision):
            raise ValueError(
                f"weights={self.weights} needs file= and revision=, the 40 digits of a commit"
            )
        return self


class StableDiffusionSource(Record):
    """Where the parts lie that SEINE takes over from Stable Diffusion 1.4.

    They are the folders `text_encoder`, `tokenizer` and `vae` of a pipeline of diffusers.
    """

    weights: str
    """`mini:FOLDER`, `hub:OWNER/NAME`, or the path of a local folder."""
    revision: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")
    """Commit on the hub; needed there."""
    variant: str | None = None
    """Variant of the weight files, such as `fp16`."""
    licence: str | None = None
    """Licence of weights on the hub, for the list of checkpoints."""
    without: tuple[str, ...] = ()
    """Other parts of the repository, which `mora models pull` leaves where they are."""

    @model_validator(mode="after")
    def _hub_is_pinned(self) -> Self:
        if self.weights.startswith("hub:") and self.revision is None:
            raise ValueError(
                f"weights={self.weights} needs revision=, the 40 digits of a commit on the hub"
            )
        return self


class SeineSettings(Record):
    """SEINE (arXiv 2310.20700), whose network is this project's own: `mora/models/lavie`."""

    name: str
    """What the model is called in artifacts and reports."""
    pipeline: Literal["SEINE"]
    """Tells these settings from those of a pipeline of diffusers."""
    unet: NetworkSource
    """The UNet, which is SEINE's own."""
    stable_diffusion: StableDiffusionSource
    """Text encoder and autoencoder."""
    frames: int = Field(default=16, ge=3)
    """Frames of a clip, with the two that are given."""
    fps: float = Field(default=8, gt=0)
    """Rate at which the clip plays, in frames a second."""
    sampler: Literal["ddpm", "ddim"] = "ddpm"
    """`ddpm` draws noise at each step; `ddim` draws none but the first."""
    steps: int = Field(default=250, ge=2, le=1000)
    """Steps of sampling."""
    guidance: float = Field(default=8.0, ge=1)
    """How far the text is followed; at 1 the negative text is not asked."""
    text: str | None = None
    """Said to the model in place of the request's own text; `None` says that one."""
    negative_text: str = ""
    """What guidance leads away from."""
    height: int | None = Field(default=None, gt=0, multiple_of=8)
    """Pixels down that the model works at; `None` takes the pictures' own."""
    width: int | None = Field(default=None, gt=0, multiple_of=8)
    """Pixels across that the model works at. The clip comes back at the pictures' size."""
    dtype: Literal["float32", "float16"] = "float32"
    """Precision of the weights and of the arithmetic."""
    decode_chunk: int = Field(default=4, ge=1)
    """Frames that are decoded, or encoded, at once. More are faster and take more memory."""
    batch_size: int = Field(default=1, ge=1)
    """Clips that a GPU makes at once. On a CPU they are made one by one."""

    @model_validator(mode="after")
    def _height_with_width(self) -> Self:
        if (self.height is None) != (self.width is None):
            raise ValueError(
                f"height={self.height} and width={self.width}: expected both or neither"
            )
        return self


class PipelineConnectionSettings(PipelineSettings):
    """A pipeline of diffusers that takes a first and a last frame, such as Wan's."""

    fps: float = Field(gt=0)
    """Rate at which the clip plays, in frames a second."""
    text: str | None = None
    """Said to the model in place of the request's own text; `None` says that one."""


def _kind(settings: Any) -> str:
    found = (
        settings.get("pipeline")
        if isinstance(settings, dict)
        else getattr(settings, "pipeline", None)
    )
    return "SEINE" if found == "SEINE" else "diffusers"


ConnectionSettings = Annotated[
    Annotated[SeineSettings, Tag("SEINE")]
    | Annotated[PipelineConnectionSettings, Tag("diffusers")],
    Discriminator(_kind),
]
"""Settings of the connection agent: SEINE where `pipeline` says so, else a pipeline of diffusers.
"""


def bind_connection(settings: ConnectionSettings) -> Connection:
    """Returns the model that the settings describe; nothing is loaded."""
    from mora.agents.first_last import PipelineConnection
    from mora.agents.seine import SeineConnection

    if isinstance(settings, SeineSettings):
        return SeineConnection(settings)
    return PipelineConnection(settings)


def pairs_of_a_size(
    before: Sequence[Picture], after: Sequence[Picture], at_once: int
) -> Iterator[slice]:
    """Cuts pairs of pictures into neighbours of one size.

    Args:
        before: What clips begin with.
        after: What they end with.
        at_once: Most pairs of a part.

    Yields:
        Each part's place, in order.

    Raises:
        InputError: The two of a pair differ in size; what came before has been yielded.
    """
    start = 0
    for index, (first, last) in enumerate(zip(before, after, strict=True)):
        if index > start and (index - start == at_once or first.shape != before[start].shape):
            yield slice(start, index)
            start = index
        if first.shape != last.shape:
            if index > start:
                yield slice(start, index)
            raise InputError(
                f"found pictures of {_size(first)} and {_size(last)}, expected two of one size; "
                "resize one of the videos before they are connected."
            )
    if start < len(before):
        yield slice(start, len(before))


def resized(picture: Picture, height: int, width: int) -> Picture:
    """A picture (H, W, 3) at another size, by Lanczos' filter; itself at its own."""
    if picture.shape[:2] == (height, width):
        return picture
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)


def between(first: Picture, frames: NDArray[np.uint8], last: Picture) -> NDArray[np.uint8]:
    """Puts the given pictures at the ends of a clip, at their own size.

    Args:
        first: What the clip begins with, uint8 (H, W, 3).
        frames: What a model made, uint8 (T, h, w, 3), its versions of both ends included.
        last: What it ends with, uint8 (H, W, 3).

    Returns:
        uint8 (T, H, W, 3).
    """
    height, width = first.shape[:2]
    made = [resized(frame, height, width) for frame in frames[1:-1]]
    return np.stack([first, *made, last])


def _size(picture: Picture) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
