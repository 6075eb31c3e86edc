"""Any pipeline of diffusers as the model behind an agent, by a few lines of settings.

A pipeline is loaded from a local folder, or from the hub at a pinned revision; always from
safetensors, never with code from the repository of the weights.
"""

import gc
import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mora.agents.pipeline_settings import PipelineSettings
from mora.agents.placement import check_device, place, quantisation
from mora.checkpoints import CheckpointError, folder_sha256, mini_weights
from mora.errors import RefusedError, SettingError
from mora.records import content_hash

if TYPE_CHECKING:
    import torch

__all__ = ["LoadedPipeline", "Pipeline", "PipelineSettings"]

RESERVED: Final = frozenset({"generator", "output_type", "return_dict"})
"""Arguments of a pipeline's call that are given here, so no setting may name them."""

NOT_IN_RECIPE: Final = (
    *("weights", "licence", "batch_size", "memory", "quantisation", "vae", "device", "compile"),
)
"""Settings that change no result, or that the recipe says more exactly: the weights' content, how
they are quantised if they are, and whether frames are coded in tiles."""

NONE: Final[Mapping[str, Any]] = MappingProxyType({})


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
        usual_inputs: Argument of the pipeline's call for each input that the role gives it, for
            example `{"text": "prompt", "image": "image"}`. The settings may say otherwise.
        offered: Further inputs that the role has, and that settings may ask for.
    """

    settings: PipelineSettings
    usual_inputs: Mapping[str, str]
    offered: frozenset[str] = frozenset()

    @property
    def inputs(self) -> dict[str, str]:
        """Argument of the pipeline's call for each input."""
        chosen: dict[str, str | None] = {
            **self.usual_inputs,
            **{str(name): argument for name, argument in self.settings.inputs.items()},
        }
        return {name: argument for name, argument in chosen.items() if argument is not None}

    def recipe(self) -> str:
        """Hash of all that decides the result: settings and weights, not where it is computed.

        Raises:
            SettingError: Weights of the hub have no revision.
            CheckpointError: Local weights are missing.
        """
        settings = self.settings.model_dump(mode="json", exclude=set(NOT_IN_RECIPE))
        settings["tiling"] = self.settings.vae.tiling
        if self.settings.memory == "quantised":
            held = self.settings.quantisation.model_dump(mode="json", exclude={"offload"})
            settings["quantisation"] = held
        return content_hash([settings, self.inputs, self._weights_id()])

    @contextmanager
    def open(self, device: str, parts: Mapping[str, Any] = NONE) -> Iterator["LoadedPipeline"]:
        """Loads the pipeline onto a device and frees its memory at the end.

        Args:
            device: A torch device, such as `cpu` or `cuda`; the settings may name another.
            parts: Parts of the pipeline that are in memory already, by name.

        Raises:
            CheckpointError: The weights are missing, cannot be fetched or cannot be read.
            SettingError: There is no such pipeline or device, or its call has no such argument.
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
        device = self.settings.device or device
        check_device(self.settings.name, device)
        if not self.settings.safety_checker:
            _tell_that_nothing_is_checked(self.settings.name)
        arguments = {**self._load_arguments(cls, device), **parts}
        try:
            pipeline = cls.from_pretrained(
                source,
                revision=self.settings.revision,
                variant=self.settings.variant,
                dtype=self._dtypes(),
                local_files_only=not self._is_hub(),
                use_safetensors=True,
                **arguments,
            )
        except OSError as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(
                f"{self.settings.name}: {source} could not be loaded: {reason}"
            ) from error
        place(pipeline, self.settings, device)
        pipeline.set_progress_bar_config(disable=True)
        try:
            yield LoadedPipeline(pipeline, self, device)
        finally:
            del pipeline
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _dtypes(self) -> dict[str, "torch.dtype"]:
        """The precision of each part, with `default` for those that are not named."""
        import torch

        chosen = {"default": self.settings.dtype, **self.settings.dtype_of}
        return {part: getattr(torch, name) for part, name in chosen.items()}

    def _load_arguments(self, cls: Any, device: str) -> dict[str, Any]:
        arguments: dict[str, Any] = dict(self.settings.load)
        if not self.settings.safety_checker:
            known = inspect.signature(cls.__init__).parameters
            off = {"safety_checker": None, "requires_safety_checker": False}
            if "safety_checker" not in known:
                raise SettingError(
                    f"{self.settings.name}: safety_checker=false: {cls.__name__} has none; "
                    "leave the setting out."
                )
            arguments |= {name: value for name, value in off.items() if name in known}
        if self.settings.memory == "quantised":
            arguments["quantization_config"] = quantisation(
                self.settings.name,
                self.settings.quantisation,
                cls,
                compute=self._dtypes()["default"],
                device=device,
            )
        return arguments

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
        given = self.usual_inputs.keys() | self.offered
        for name in self.settings.inputs:
            if name not in given:
                raise SettingError(
                    f"{self.settings.name}: inputs.{name}: there is no such thing in this role; "
                    f"there are: {', '.join(sorted(given))}."
                )
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

    def part(self, name: str) -> Any:
        """Returns a part of the pipeline, such as its `vae`.

        Raises:
            SettingError: It has no such part.
        """
        parts = self._pipeline.components
        if name not in parts:
            raise SettingError(
                f"{self._described.settings.name}: it has no part {name}. "
                f"Its parts are: {', '.join(sorted(parts))}."
            )
        return parts[name]

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
            RefusedError: The model's safety checker refuses what was made.
            ValueError: The pipeline gave values that are not finite.
        """
        return map(_to_uint8, self._compute(items, seeds, "np"))

    def latents(
        self, items: Sequence[Mapping[str, object]], seeds: Sequence[int]
    ) -> Iterator["torch.Tensor"]:
        """Computes items up to their latents, for a pipeline that goes on from them.

        Args:
            items: As in `run`.
            seeds: As in `run`.

        Yields:
            Float (C, h, w), on the device.
        """
        return self._compute(items, seeds, "latent")

    def run_one(self, item: Mapping[str, object], seed: int) -> NDArray[np.uint8]:
        """Computes one item whose inputs go in as they are; `run` may put them into lists.

        For pipelines that take no lists of pictures, or a list for a single item.

        Args:
            item: Its inputs, by the names of `Pipeline.inputs`.
            seed: Seed of its noise.

        Returns:
            What `run` yields.

        Raises:
            RefusedError: As `run`.
            ValueError: As `run`.
        """
        (made,) = self._alone(item, seed, "np")
        return _to_uint8(made)

    def _compute(
        self, items: Sequence[Mapping[str, object]], seeds: Sequence[int], output: str
    ) -> Iterator[Any]:
        if self._described.settings.one_at_a_time:
            for item, seed in zip(items, seeds, strict=True):
                yield from self._alone(item, seed, output)
            return
        for start in range(0, len(items), self._at_once):
            part = slice(start, start + self._at_once)
            columns = {
                argument: [item[name] for item in items[part]]
                for name, argument in self._described.inputs.items()
            }
            yield from self._call(columns, [_generator(seed) for seed in seeds[part]], output)

    def _alone(self, item: Mapping[str, object], seed: int, output: str) -> Iterator[Any]:
        """Computes one item, of which settings may want the picture's size, too."""
        named = {
            argument: self._side(item, name) if name in ("height", "width") else item[name]
            for name, argument in self._described.inputs.items()
        }
        return self._call(named, _generator(seed), output)

    def _call(
        self,
        inputs: Mapping[str, object],
        generator: "torch.Generator | list[torch.Generator]",
        output: str,
    ) -> Iterator[Any]:
        result = self._pipeline(
            **inputs, **self._described.settings.call, generator=generator, output_type=output
        )
        # Pipelines with a safety checker say which pictures they have blanked.
        refused = getattr(result, "nsfw_content_detected", None) or [False] * len(result[0])
        for values, is_refused in zip(result[0], refused, strict=True):
            if is_refused:
                raise RefusedError(
                    f"{self._described.settings.name}: the model's safety checker refused what "
                    "was made. Ask for something else; safety_checker=false in the model's "
                    "settings turns it off."
                )
            yield values

    def _side(self, item: Mapping[str, object], name: str) -> int:
        """Height or width of the item's picture, in whole steps."""
        step = self._described.settings.size_step
        return max(step, int(getattr(item["image"], name)) // step * step)


def _generator(seed: int) -> "torch.Generator":
    import torch

    return torch.Generator("cpu").manual_seed(seed)


def _to_uint8(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    if not np.isfinite(values).all():
        raise ValueError("the pipeline gave values that are not finite")
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


@cache
def _tell_that_nothing_is_checked(name: str) -> None:
    """Tells so on standard error, once for each model."""
    logging.getLogger("mora").warning(
        "%s: its safety checker is turned off by safety_checker=false.", name
    )
