"""Where a pipeline's parts are while it works, and in how many bits: memory against speed."""

from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from mora.agents.pipeline_settings import PipelineSettings, Quantisation
from mora.errors import SettingError

DENOISERS: Final = ("unet", "transformer", "transformer_2")
"""Names that diffusers gives to the network which computes most."""


def check_device(name: str, device: str) -> None:
    """Raises `SettingError` if there is no such torch device, and names the model."""
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SettingError(f"{name}: device={device}: {reason}") from None


def place(pipeline: Any, settings: PipelineSettings, device: str) -> None:
    """Brings a pipeline of diffusers to a device, as its settings say.

    Args:
        pipeline: It was loaded, and is on no device but the CPU.
        settings: Of the pipeline.
        device: A torch device.

    Raises:
        SettingError: The autoencoder or the device cannot do what the settings say.
    """
    for chosen, name in ((settings.vae.slicing, "slicing"), (settings.vae.tiling, "tiling")):
        if chosen:
            _enable(pipeline, settings.name, name)
    memory = settings.memory
    if memory == "quantised" and settings.quantisation.offload:
        memory = "offload"
    if memory == "offload":
        pipeline.enable_model_cpu_offload(device=device)
    elif memory == "sequential":
        if device.startswith("cpu"):
            raise SettingError(
                f"{settings.name}: memory=sequential brings layers to a GPU one by one, found "
                f"device={device}: set memory=resident."
            )
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)
    if settings.compile:
        for denoiser in denoisers(pipeline):
            getattr(pipeline, denoiser).compile()


def denoisers(pipeline: Any) -> list[str]:
    """The pipeline's networks that compute most, by name."""
    return [name for name in DENOISERS if getattr(pipeline, name, None) is not None]


def _enable(pipeline: Any, name: str, what: str) -> None:
    vae = getattr(pipeline, "vae", None)
    try:
        getattr(vae, f"enable_{what}")()
    except (AttributeError, NotImplementedError):
        found = "none" if vae is None else type(vae).__name__
        raise SettingError(
            f"{name}: vae.{what}=true needs an autoencoder that can do it, found {found}: "
            f"set vae.{what}=false."
        ) from None


class _Method(NamedTuple):
    """A way to hold weights in fewer bits.

    Attributes:
        module: What it is imported as.
        package: What it is installed as.
        config: Class of its configuration, in diffusers and in transformers.
        diffusers: Its arguments there.
        transformers: Its arguments there.
    """

    module: str
    package: str
    config: str
    diffusers: dict[str, object]
    transformers: dict[str, object]


_4BIT: Final[dict[str, object]] = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
_8BIT: Final[dict[str, object]] = {"load_in_8bit": True}
_METHODS: Final = {
    "bitsandbytes_4bit": _Method(
        "bitsandbytes", "bitsandbytes", "BitsAndBytesConfig", _4BIT, _4BIT
    ),
    "bitsandbytes_8bit": _Method(
        "bitsandbytes", "bitsandbytes", "BitsAndBytesConfig", _8BIT, _8BIT
    ),
    "quanto_int8": _Method(
        "optimum.quanto",
        "optimum-quanto",
        "QuantoConfig",
        {"weights_dtype": "int8"},
        {"weights": "int8"},
    ),
}


def quantisation(name: str, settings: Quantisation, cls: Any, *, compute: Any, device: str) -> Any:
    """Returns what diffusers wants to be told, to hold weights in fewer bits.

    Args:
        name: The model's, for errors.
        settings: How.
        cls: Class of the pipeline.
        compute: Torch dtype of the arithmetic.
        device: Torch device.

    Returns:
        A `diffusers.PipelineQuantizationConfig`.

    Raises:
        SettingError: The method's package is not installed, it cannot work on the device, or the
            pipeline has no such part.
    """
    import inspect

    import diffusers
    import transformers

    method = _METHODS[settings.method]
    if not _is_installed(method.module):
        raise SettingError(
            f"{name}: memory=quantised with quantisation.method={settings.method} needs the "
            f"package {method.package}: pip install {method.package}."
        )
    if method.package == "bitsandbytes" and device.startswith("cpu"):
        raise SettingError(
            f"{name}: quantisation.method={settings.method} needs a GPU, found device={device}: "
            "set memory=resident."
        )
    known = set(inspect.signature(cls.__init__).parameters) - {"self"}
    parts = settings.parts or tuple(part for part in DENOISERS if part in known)
    extra = {"bnb_4bit_compute_dtype": compute} if "4bit" in settings.method else {}
    mapping = {}
    for part in parts:
        if part not in known:
            raise SettingError(
                f"{name}: quantisation.parts: {cls.__name__} has no part {part}. "
                f"Its parts are: {', '.join(sorted(known))}."
            )
        # Encoders come from transformers, all else from diffusers; each has its own class.
        if "encoder" in part:
            mapping[part] = getattr(transformers, method.config)(**method.transformers, **extra)
        else:
            mapping[part] = getattr(diffusers, method.config)(**method.diffusers, **extra)
    return diffusers.PipelineQuantizationConfig(quant_mapping=mapping)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a module within a package that is not there
        return False
