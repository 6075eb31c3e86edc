"""Settings of a pipeline of diffusers: which it is, how it is called, where it computes."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from mora.records import Record

Dtype = Literal["float32", "float16", "bfloat16"]

InputName = Literal["text", "image", "before", "after", "height", "width"]
"""What a role hands to a pipeline: a text, a picture, the pictures around a connection, and the
given picture's own height and width in pixels."""


class VaeSettings(Record):
    """How the autoencoder is sparing with memory."""

    slicing: bool = False
    """Whether a batch is coded one item after another. The result is the same up to rounding."""
    tiling: bool = False
    """Whether frames are coded tile by tile. Tiles are blended, so the result is a slightly other
    one, and it belongs to the recipe."""


class Quantisation(Record):
    """How weights are held in fewer bits, where `memory` is `quantised`."""

    method: Literal["bitsandbytes_4bit", "bitsandbytes_8bit", "quanto_int8"] = "bitsandbytes_4bit"
    """`bitsandbytes_4bit` holds NF4 (arXiv 2305.14314), `bitsandbytes_8bit` LLM.int8()
    (arXiv 2208.07339), `quanto_int8` whole numbers of 8 bits. Each needs its package."""
    parts: tuple[str, ...] = ()
    """Parts of the pipeline, such as `transformer` and `text_encoder`; none means the denoiser."""
    offload: bool = False
    """Whether parts wait in the machine's memory, too, as with `memory` = `offload`."""


class PipelineSettings(Record):
    """Which pipeline, with which weights, called how."""

    name: str
    """What the model is called in artifacts and reports."""
    pipeline: str
    """Class in `diffusers`, for example `StableDiffusionXLPipeline`."""
    weights: str
    """`mini:FOLDER` in the miniature weights, `hub:OWNER/NAME` on the Hugging Face hub, or the
    path of a local folder."""
    revision: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")
    """Commit on the hub; needed there, since a branch's content changes under its name."""
    variant: str | None = None
    """Variant of the weight files, such as `fp16`."""
    licence: str | None = None
    """Licence of weights on the hub, for the list of checkpoints."""
    dtype: Dtype = "float32"
    """Precision of the weights and of the arithmetic."""
    dtype_of: Mapping[str, Dtype] = Field(default_factory=dict)
    """Precision of parts that have another one, such as `vae`."""
    inputs: Mapping[InputName, str | None] = Field(default_factory=dict)
    """Argument of the call that takes an input, where it is not the role's usual one; null leaves
    the input out."""
    one_at_a_time: bool = False
    """Whether the call takes one item as it is, where others take lists."""
    size_step: int = Field(default=1, ge=1)
    """Height and width are multiples of it."""
    load: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Further arguments of the pipeline's constructor."""
    call: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the pipeline's call, the same for every item."""
    safety_checker: bool = True
    """Whether the safety checker that comes with the model, if one does, looks at what was made.
    What it refuses is a failure."""
    batch_size: int = Field(default=1, ge=1)
    """Items that a GPU takes at once. On a CPU they go one by one, see `Pipeline`."""
    memory: Literal["resident", "offload", "sequential", "quantised"] = "resident"
    """`resident` holds all parts on the device; `offload` brings each part there when it computes,
    `sequential` each layer; `quantised` holds all there in fewer bits."""
    quantisation: Quantisation = Quantisation()
    vae: VaeSettings = VaeSettings()
    device: str | None = None
    """Torch device of this role alone, such as `cuda:1`; null takes the executor's."""
    compile: bool = False
    """Whether torch compiles the denoiser: slower to begin, then faster."""

    @model_validator(mode="after")
    def _one_item_has_no_batch(self) -> Self:
        if self.one_at_a_time and self.batch_size > 1:
            raise ValueError(
                f"batch_size={self.batch_size}, but the pipeline takes one_at_a_time: "
                "set batch_size to 1"
            )
        if not self.one_at_a_time and {"height", "width"} & self.inputs.keys():
            raise ValueError("inputs of height or width need one_at_a_time: true")
        return self

    @model_validator(mode="after")
    def _size_fits(self) -> Self:
        for side in ("height", "width"):
            value = self.call.get(side)
            if isinstance(value, int) and value % self.size_step:
                below = value // self.size_step * self.size_step
                raise ValueError(
                    f"call.{side}={value}: expected a multiple of {self.size_step}, such as "
                    f"{below or self.size_step} or {below + self.size_step}"
                )
        return self

    @model_validator(mode="after")
    def _checker_is_turned_off_in_the_open(self) -> Self:
        if self.load.get("safety_checker", "") is None:
            raise ValueError("load.safety_checker: to turn it off, set safety_checker to false")
        return self
