"""Any pipeline of diffusers as the model behind an agent, by a few lines of settings.

A pipeline is loaded from a local folder, or from the hub at a pinned revision; always from
safetensors, never with code from the repository of the weights.
"""

import gc
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from mora.checkpoints import CheckpointError, folder_sha256, mini_weights
from mora.errors import SettingError
from mora.records import Record, content_hash

if TYPE_CHECKING:
    import torch

RESERVED = frozenset({"generator", "output_type", "return_dict"})
"""Arguments of a pipeline's call that are given here, so no setting may name them."""


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
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Precision of the weights and of the arithmetic."""
    load: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Further arguments of the pipeline's constructor."""
    call: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the pipeline's call, the same for every item."""
    batch_size: int = Field(default=1, ge=1)
    """Items that a GPU takes at once. On a CPU they go one by one, see `Pipeline`."""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that is not loaded yet.

    Each item draws its noise from its own generator, which lives on the CPU, so that noise does
    not depend on the device or on the item's neighbours. Kernels may still round differently for
    another batch shape. On a CPU each item therefore goes through the pipeline alone, and a batch
    size changes no bit. On a GPU a batch is computed at once, and the last bits may depend on its
    size.

    Attributes:
        settings: Which pipeline, with which weights, called how.
        inputs: Argument of the pipeline's call for each input, for example
            `{"text": "prompt", "image": "image"}`.
    """

    settings: PipelineSettings
    inputs: Mapping[str, str]

    def recipe(self) -> str:
        """Hash of all that decides the result: settings and weights, not the batch size.

        Raises:
            CheckpointError: Local weights are missing.
        """
        left_out = {"batch_size", "weights", "licence"}
        settings = self.settings.model_dump(mode="json", exclude=left_out)
        return content_hash([settings, dict(self.inputs), self._weights_id()])

    @contextmanager
    def open(self, device: str) -> Iterator["LoadedPipeline"]:
        """Loads the pipeline onto a device and frees its memory at the end.

        Args:
            device: A torch device, such as `cpu` or `cuda`.

        Raises:
            CheckpointError: The weights are missing, cannot be fetched or cannot be read.
            SettingError: There is no such pipeline, or its call has no such argument.
        """
        import diffusers
        import torch
        import transformers

        # Whoever runs the agents says how far they are; bars of the libraries would come between.
        diffusers.utils.logging.disable_progress_bar()
        transformers.utils.logging.disable_progress_bar()
        cls = self._pipeline_class()
        self._check_call(cls)
        self._check_load(cls)
        source = self._source()
        try:
            pipeline = cls.from_pretrained(
                source,
                revision=self.settings.revision,
                variant=self.settings.variant,
                dtype=getattr(torch, self.settings.dtype),
                local_files_only=not self._is_hub(),
                use_safetensors=True,
                **self.settings.load,
            )
        except OSError as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(
                f"{self.settings.name}: {source} could not be loaded: {reason}"
            ) from error
        pipeline = pipeline.to(device)
        pipeline.set_progress_bar_config(disable=True)
        try:
            yield LoadedPipeline(pipeline, self, device)
        finally:
            del pipeline
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _is_hub(self) -> bool:
        return self.settings.weights.startswith("hub:")

    def _source(self) -> str:
        """What diffusers loads from: the hub's name of the weights, or a local folder."""
        weights = self.settings.weights
        if self._is_hub():
            if self.settings.revision is None:
                raise SettingError(
                    f"{self.settings.name}: weights={weights} needs revision=, the 40 digits of a "
                    "commit on the hub."
                )
            return weights.removeprefix("hub:")
        folder = (
            mini_weights() / weights.removeprefix("mini:")
            if weights.startswith("mini:")
            else Path(weights).expanduser()
        )
        if not (folder / "model_index.json").is_file():
            raise CheckpointError(
                f"{folder}: expected the folder of a diffusers pipeline with a model_index.json. "
                f"It is where the setting weights={weights} of {self.settings.name} points."
            )
        return str(folder)

    def _weights_id(self) -> str:
        source = self._source()
        return (
            f"{source}@{self.settings.revision}" if self._is_hub() else folder_sha256(Path(source))
        )

    def _pipeline_class(self) -> Any:
        import diffusers

        cls = getattr(diffusers, self.settings.pipeline, None)
        if not (inspect.isclass(cls) and issubclass(cls, diffusers.DiffusionPipeline)):
            raise SettingError(
                f"{self.settings.name}: pipeline={self.settings.pipeline} is not a pipeline of "
                f"diffusers {diffusers.__version__}."
            )
        return cls

    def _check_call(self, cls: Any) -> None:
        known = set(inspect.signature(cls.__call__).parameters) - {"self"}
        for argument in (*self.inputs.values(), "generator", "output_type"):
            if argument not in known:
                raise SettingError(
                    f"{self.settings.name}: {cls.__name__} takes no {argument}, "
                    "so it cannot play this part."
                )
        for argument in self.settings.call:
            if argument not in known or argument in RESERVED or argument in self.inputs.values():
                free = sorted(known - RESERVED - set(self.inputs.values()))
                raise SettingError(
                    f"{self.settings.name}: call.{argument} is no setting of {cls.__name__}. "
                    f"The settings are: {', '.join(free)}."
                )

    def _check_load(self, cls: Any) -> None:
        """Only what the class itself takes: nothing that would fetch or run other code."""
        known = set(inspect.signature(cls.__init__).parameters) - {"self"}
        for argument in self.settings.load:
            if argument not in known:
                raise SettingError(
                    f"{self.settings.name}: load.{argument} is no part of {cls.__name__}. "
                    f"The parts are: {', '.join(sorted(known))}."
                )


class LoadedPipeline:
    """A pipeline in memory. `Pipeline.open` makes it."""

    def __init__(self, pipeline: Any, described: Pipeline, device: str) -> None:
        self._pipeline = pipeline
        self._described = described
        self._at_once = 1 if device.startswith("cpu") else described.settings.batch_size

    def run(
        self, items: Sequence[Mapping[str, object]], seeds: Sequence[int]
    ) -> Iterator[NDArray[np.uint8]]:
        """Computes items in their order and yields each as soon as it is done.

        Args:
            items: Inputs of each item, by the names of `Pipeline.inputs`.
            seeds: Seed of each item's noise.

        Yields:
            uint8 (H, W, 3) from a pipeline of pictures, (T, H, W, 3) from one of videos, RGB.

        Raises:
            ValueError: The pipeline gave values that are not finite.
        """
        for start in range(0, len(items), self._at_once):
            part = slice(start, start + self._at_once)
            yield from self._batch(items[part], seeds[part])

    def run_one(self, item: Mapping[str, object], seed: int) -> NDArray[np.uint8]:
        """Computes one item whose inputs go in as they are; `run` puts them into lists.

        For pipelines that take no lists of pictures, or a list for a single item.

        Args:
            item: Its inputs, by the names of `Pipeline.inputs`.
            seed: Seed of its noise.

        Returns:
            What `run` yields.

        Raises:
            ValueError: The pipeline gave values that are not finite.
        """
        named = {argument: item[name] for name, argument in self._described.inputs.items()}
        (made,) = self._call(named, _generator(seed))
        return made

    def _batch(
        self, items: Sequence[Mapping[str, object]], seeds: Sequence[int]
    ) -> list[NDArray[np.uint8]]:
        columns = {
            argument: [item[name] for item in items]
            for name, argument in self._described.inputs.items()
        }
        return self._call(columns, [_generator(seed) for seed in seeds])

    def _call(
        self, inputs: Mapping[str, object], generator: "torch.Generator | list[torch.Generator]"
    ) -> list[NDArray[np.uint8]]:
        result = self._pipeline(
            **inputs,
            **self._described.settings.call,
            generator=generator,
            output_type="np",
        )
        return [_to_uint8(values) for values in result[0]]


def _generator(seed: int) -> "torch.Generator":
    import torch

    return torch.Generator("cpu").manual_seed(seed)


def _to_uint8(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    if not np.isfinite(values).all():
        raise ValueError("the pipeline gave values that are not finite")
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)
