"""A refiner: a second pipeline that takes over a picture before its noise is gone (SDXL).

The base model stops at a share of the steps and hands its latents over; the refiner, which knows
the last part of the steps best, goes on from there (arXiv 2307.01952, section 2.5).
"""

from collections.abc import Mapping
from typing import Self

from pydantic import Field, JsonValue, model_validator

from mora.agents.pipeline_settings import PipelineSettings
from mora.agents.pipelines import Pipeline
from mora.records import Record, content_hash


class RefinerSettings(Record):
    """Which pipeline takes over, and when. All else is as the base's settings have it."""

    name: str
    """What it is called in the list of checkpoints."""
    pipeline: str
    """Class in `diffusers`, for example `StableDiffusionXLImg2ImgPipeline`."""
    weights: str
    """As `PipelineSettings.weights`."""
    revision: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")
    """Commit on the hub; needed there."""
    variant: str | None = None
    """Variant of the weight files, such as `fp16`."""
    licence: str | None = None
    """Licence of weights on the hub, for the list of checkpoints."""
    takes_over_at: float = Field(gt=0, lt=1)
    """Share of the steps after which it takes over."""
    shares: tuple[str, ...] = ()
    """Parts that it has in common with the base, such as `vae`: neither fetched nor held twice."""
    load: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Further arguments of the pipeline's constructor."""
    call: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the pipeline's call."""


class RefinedPipelineSettings(PipelineSettings):
    """A text-to-image pipeline, with a refiner or without."""

    refiner: RefinerSettings | None = None

    @model_validator(mode="after")
    def _handed_over_once(self) -> Self:
        if self.refiner is not None and "denoising_end" in self.call:
            raise ValueError("call.denoising_end: it is what refiner.takes_over_at says")
        return self

    def base(self) -> PipelineSettings:
        """The base's settings, which stops where the refiner takes over."""
        if self.refiner is None:
            return self
        end = {"denoising_end": self.refiner.takes_over_at}
        return self.model_copy(update={"refiner": None, "call": {**self.call, **end}})


def refiner_of(settings: RefinedPipelineSettings) -> Pipeline | None:
    """The refiner as a pipeline of its own, computed and placed as the base is.

    Returns:
        A pipeline that takes `text` and `latents`, or `None` where there is no refiner.
    """
    refiner = settings.refiner
    if refiner is None:
        return None
    own = PipelineSettings.model_validate(
        {
            **settings.model_dump(exclude={"refiner", "inputs", "size_step"}),
            **refiner.model_dump(exclude={"takes_over_at", "shares"}),
            "call": {**refiner.call, "denoising_start": refiner.takes_over_at},
        }
    )
    return Pipeline(own, {"text": "prompt", "latents": "image"})


def refiner_seed(seed: int) -> int:
    """The refiner's own seed, for samplers that draw noise: not the noise that the base drew."""
    return int(content_hash([seed, "refiner"])[:15], 16)
