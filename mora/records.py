"""What is stored in a run and passed between its rooms.

Every record is immutable and closed: a field that is not named here is an error, so a file or a
ledger written by another version is noticed where it is read.
"""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def content_hash(value: Any) -> str:
    """Returns the sha256 of `value` as canonical JSON (keys sorted, no spaces), in hex.

    Args:
        value: Anything that JSON can say; pydantic models are dumped first.

    Raises:
        TypeError: `value` holds something that JSON cannot say.
        ValueError: `value` holds a NaN or an infinity.
    """
    text = json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
        default=_dump,
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _dump(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")


class Record(BaseModel):
    """Base of all records: frozen, and closed against unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskName(StrEnum):
    """The six tasks of the paper (section 3.3)."""

    TEXT_TO_VIDEO = "text_to_video"
    IMAGE_TO_VIDEO = "image_to_video"
    EXTEND_VIDEO = "extend_video"
    EDIT_VIDEO = "edit_video"
    CONNECT_VIDEOS = "connect_videos"
    SIMULATE_DIGITAL_WORLD = "simulate_digital_world"


class Role(StrEnum):
    """What an input is to the video that was made from it."""

    INPUT_IMAGE = "input_image"
    """The picture that was set in motion."""
    INPUT_VIDEO = "input_video"
    """The video that was extended or edited."""
    VIDEO_BEFORE = "video_before"
    """The video that the connection starts from."""
    VIDEO_AFTER = "video_after"
    """The video that the connection leads to."""


INPUT_ROLES: Mapping[TaskName, tuple[Role, ...]] = {
    TaskName.IMAGE_TO_VIDEO: (Role.INPUT_IMAGE,),
    TaskName.EXTEND_VIDEO: (Role.INPUT_VIDEO,),
    TaskName.EDIT_VIDEO: (Role.INPUT_VIDEO,),
    TaskName.CONNECT_VIDEOS: (Role.VIDEO_BEFORE, Role.VIDEO_AFTER),
}
"""What the inputs of a task's requests are, in their order. The other tasks take none."""


class FailureKind(StrEnum):
    """Why something has no result. A failure is counted in every table, never dropped.

    `not_applicable` alone is no failure: a metric was asked about a video that it has nothing to
    say of, such as one that was made from text alone about its likeness to an input.

    What is the machine's fault (memory, a full disk, a GPU that fails) is none of these: it is not
    recorded, and the next session tries again.
    """

    NOT_FOUND = "not_found"
    """There is no such file, or it may not be read."""
    NOT_A_VIDEO = "not_a_video"
    """The file is something else."""
    TRUNCATED = "truncated"
    """The file ends before what it promises."""
    CORRUPT = "corrupt"
    """The file has its length, but not all of its frames decode, or they differ in size."""
    NO_FRAMES = "no_frames"
    """The file, or the folder of pictures, is empty."""
    TOO_FEW_FRAMES = "too_few_frames"
    """The metric needs more frames."""
    TOO_SMALL = "too_small"
    """The metric needs larger frames."""
    NO_PROMPT = "no_prompt"
    """The metric compares with a text that is not known."""
    NOT_STATED = "not_stated"
    """The metric needs a fact about the video that nobody stated."""
    NOT_APPLICABLE = "not_applicable"
    """The metric has nothing to say of such a video."""
    REFUSED = "refused"
    """The model would not make it."""
    NOT_FINITE = "not_finite"
    """The number came out as a NaN or an infinity."""
    UPSTREAM = "upstream"
    """What it would have been made from failed."""
    ERROR = "error"
    """What nobody foresaw; the message says what it was."""


class Failure(Record):
    """A result that could not be had, and why."""

    kind: FailureKind
    message: str
    """What was found, what was expected and what to do, in one sentence or two."""

    @classmethod
    def unforeseen(cls, error: Exception) -> Self:
        """An error that nobody foresaw, in one line with the exception's name."""
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return cls(kind=FailureKind.ERROR, message=message)

    @property
    def counts(self) -> bool:
        """Whether it is a failure: something that was to be had is missing."""
        return self.kind != FailureKind.NOT_APPLICABLE


class MediaRef(Record):
    """A picture or a video in a run's store, named by its content."""

    sha256: str
    path: str
    """Relative to the run's folder (or absolute, for media that were only imported)."""
    kind: Literal["image", "video"]
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    frames: int = Field(gt=0)
    fps: float | None = None
    """Frames a second; `None` for a picture."""

    @property
    def seconds(self) -> float | None:
        """Length of the video in seconds (frames/fps), `None` for a picture."""
        return self.frames / self.fps if self.fps else None


class Given(Record):
    """Which frames of a video were not made but taken over from its inputs."""

    start: int = Field(default=0, ge=0)
    """Frames at its start that are those of an input."""
    end: int = Field(default=0, ge=0)
    """Frames at its end that are those of an input."""


class PromptSource(Record):
    """Where a prompt came from."""

    model: str | None = None
    """Model that wrote it, `None` if a person did."""
    date: str | None = None
    mode: Literal["few_shot", "zero_shot", "written", "grammar", "imported"] = "written"
    examples: tuple[str, ...] = ()
    """Ids of the examples that were shown to the model."""


class Origin(Record):
    """What an existing video is said to have been made from."""

    prompt: str = Field(min_length=1)
    inputs: Mapping[Role, str] = Field(default_factory=dict)
    """Paths of pictures and videos."""
    given: Given | None = None
    """Frames of it that were taken over from there; `None` where nobody said."""


class Prompt(Record):
    """One line of a prompt set."""

    id: str = Field(min_length=1)
    task: TaskName = TaskName.TEXT_TO_VIDEO
    text: str = Field(min_length=1)
    tags: Mapping[str, str | int | list[str]] = Field(default_factory=dict)
    """Subjects, style, motion, number of moving objects (the paper's Type I, II, III), ..."""
    inputs: tuple[str, ...] = ()
    """Input pictures or videos, by path relative to the set, or `run:ID`."""
    language: str = "en"
    source: PromptSource = PromptSource()
    licence: str = "Apache-2.0"


class Request(Record):
    """One video that is asked for. Its `id` is the hash of all that decides the result."""

    model: str
    """Name of the generator, as it appears in tables."""
    recipe: str
    """Hash of the generator's settings and weights, so that another setting is another request."""
    prompt: Prompt
    inputs: tuple[MediaRef, ...] = ()
    seed: int = Field(ge=0, lt=2**63)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def id(self) -> str:
        """First 20 hex digits of the hash of (model, recipe, task, prompt, inputs, seed)."""
        return content_hash(
            [
                self.model,
                self.recipe,
                self.prompt.task,
                self.prompt.id,
                self.prompt.text,
                [media.sha256 for media in self.inputs],
                self.seed,
            ]
        )[:20]

    @model_validator(mode="before")
    @classmethod
    def _drop_stored_id(cls, data: Any) -> Any:
        """A stored request carries its id; it is computed again, never trusted."""
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if key != "id"}
        return data


class Artifact(Record):
    """What one stage made for one request: a text, a picture or a video, or why there is none."""

    key: str
    """Content hash of the stage's model, its settings, its inputs and the seed. Requests whose
    keys agree share the artifact, so that a picture that two models start from is drawn once."""
    stage: str
    """The stage's name within its task, for example `text_to_image`."""
    model: str
    """What made it, for example `sdxl_mini`."""
    text: str | None = None
    media: MediaRef | None = None
    seed: int | None = None
    seconds: float = 0.0
    """Wall-clock time spent on it, its share of the batch."""
    failure: Failure | None = None

    @model_validator(mode="after")
    def _one_outcome(self) -> "Artifact":
        outcomes = [value for value in (self.text, self.media, self.failure) if value is not None]
        if len(outcomes) != 1:
            raise ValueError("an artifact is exactly one of: text, media, failure")
        return self


class Video(Record):
    """A video to be scored, or the failure to make or to read one."""

    id: str
    """The request's id, or for an imported video the hash of its source, prompt and place."""
    model: str
    task: TaskName = TaskName.TEXT_TO_VIDEO
    prompt_id: str | None = None
    text: str | None = None
    """The prompt that metrics compare the video with; `None` where none is known."""
    seed: int | None = None
    source: str | None = None
    """Path that an imported video was read from."""
    media: MediaRef | None = None
    failure: Failure | None = None
    companions: Mapping[Role, MediaRef | Failure] = Field(default_factory=dict)
    """What it was made from, or why that cannot be read."""
    given: Given | None = None
    """Its frames that were taken over from its inputs; `None` where nobody said."""

    @model_validator(mode="after")
    def _one_outcome(self) -> "Video":
        if (self.media is None) == (self.failure is None):
            raise ValueError("a video has either media or a failure")
        return self


class Fingerprint(Record):
    """All the choices that a number depends on. Numbers compare only where these agree."""

    metric: str
    protocol: str
    decoder: str
    precision: str
    choices: Mapping[str, str | int | float | bool | None] = Field(default_factory=dict)
    """The protocol's named choices that this metric depends on (resize, mode, text, ...)."""
    checkpoints: Mapping[str, str] = Field(default_factory=dict)
    """Backbone's name to the sha256 of its weights."""
    weights: Literal["official", "mini", "none"] = "none"
    code: str = ""
    """Version of this project that computed the number."""

    @property
    def id(self) -> str:
        """First 16 hex digits of the content hash."""
        return content_hash(self)[:16]


class Score(Record):
    """One metric's value for one video, with the values that it was averaged from."""

    video_id: str
    metric: str
    fingerprint: str
    """Id of the fingerprint."""
    value: float | None = None
    per_frame: tuple[float, ...] = ()
    """Value of each frame or pair of frames, in the order of time; empty where there is none."""
    seconds: float = 0.0
    failure: Failure | None = None

    @property
    def failed(self) -> bool:
        """Whether it was to be had and is missing; not where the metric does not apply."""
        return self.failure is not None and self.failure.counts

    @model_validator(mode="after")
    def _one_outcome(self) -> "Score":
        if (self.value is None) == (self.failure is None):
            raise ValueError("a score has either a value or a failure")
        return self
