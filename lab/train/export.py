"""What a training leaves behind: weights in half precision, figures and pictures to look at.

Everything is written under a temporary name and then renamed, so that a training that is killed
here, or one that reads what another wrote, never meets half a file.
"""

import copy
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn


class Pretrained(Protocol):
    """A diffusers or transformers model: it knows how to write its configuration and tensors."""

    def save_pretrained(self, save_directory: str, *, safe_serialization: bool) -> object:
        """Writes `config.json` and safetensors into a folder."""


class Pipeline(Protocol):
    """A diffusers pipeline: it knows how to write all its parts."""

    def save_pretrained(self, save_directory: str, *, safe_serialization: bool) -> object:
        """Writes `model_index.json` and a folder for each part."""


def save_module_fp16(module: nn.Module, folder: Path, name: str = "model.safetensors") -> int:
    """Writes the tensors of a module in half precision under their own names.

    Args:
        module: Any module; it is left as it was.
        folder: Folder to write to, made where it is missing. Other files in it stay.
        name: File name.

    Returns:
        Size of the file in bytes.

    Raises:
        ValueError: A tensor holds what half precision cannot.
    """
    tensors = {key: value.contiguous() for key, value in _half(module).state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{name}.tmp"
    save_file(tensors, str(temporary), metadata={"format": "pt"})
    _open_to_all(temporary)
    temporary.replace(folder / name)
    return (folder / name).stat().st_size


def save_pretrained_fp16(model: nn.Module, folder: Path) -> int:
    """Writes a diffusers or transformers model in half precision, as its library reads it.

    The tensors are stored in half precision to be small; a plain `from_pretrained` computes with
    them in single precision, which CPUs need.

    Args:
        model: A model with `save_pretrained`; it is left as it was.
        folder: Folder of this model alone; what it held before is replaced.

    Returns:
        Size of the weights in bytes.

    Raises:
        ValueError: A tensor holds what half precision cannot.
    """
    half: Pretrained = _half(model)  # type: ignore[assignment]  # nn.Module does not show it
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    half.save_pretrained(str(temporary), safe_serialization=True)
    for path in temporary.glob("*.safetensors"):
        _open_to_all(path)
    _load_in_float32(temporary / "config.json")
    if folder.exists():
        shutil.rmtree(folder)
    temporary.replace(folder)
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def save_pipeline_fp16(
    pipeline: Pipeline,
    folder: Path,
    trained: Mapping[str, nn.Module],
    copied: Mapping[str, Path],
) -> dict[str, int]:
    """Writes a pipeline of diffusers in half precision, in the library's layout.

    Args:
        pipeline: The pipeline, whose schedulers, tokenizers and processors are written as they are.
        folder: Where to; what it held is replaced.
        trained: Networks by their names in the pipeline.
        copied: Folders of parts whose files are taken as they are, by their names. They may lie in
            the folder that is written.

    Returns:
        Sizes of the trained networks' weights in bytes, by name.

    Raises:
        ValueError: A tensor holds what half precision cannot.
    """
    staged = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(staged, ignore_errors=True)
    pipeline.save_pretrained(str(staged), safe_serialization=True)
    for name, source in copied.items():
        shutil.rmtree(staged / name)
        shutil.copytree(source, staged / name)
    sizes = {name: save_pretrained_fp16(each, staged / name) for name, each in trained.items()}
    shutil.rmtree(folder, ignore_errors=True)
    staged.rename(folder)
    return sizes


def save_json(path: Path, values: Mapping[str, object]) -> None:
    """Writes figures as JSON, keys in the order given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(json.dumps(values, indent=2) + "\n")
    temporary.replace(path)


def save_sheet(path: Path, rows: Sequence[Tensor], gap: int = 2) -> None:
    """Writes pictures as one PNG.

    Args:
        path: File to write.
        rows: One tensor (N, 3, H, W) a row, values in [0, 1] (clipped), all of one height and
            width.
        gap: White pixels between the pictures.
    """
    height, width = rows[0].shape[-2:]
    columns = max(len(row) for row in rows)
    sheet = torch.ones(3, len(rows) * (height + gap) - gap, columns * (width + gap) - gap)
    for index, row in enumerate(rows):
        top = index * (height + gap)
        for column, picture in enumerate(row.detach().float().cpu().clamp(0, 1)):
            left = column * (width + gap)
            sheet[:, top : top + height, left : left + width] = picture
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (sheet.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    Image.fromarray(pixels).save(path)


def _load_in_float32(path: Path) -> None:
    """Corrects a model's configuration.

    transformers loads in the type that it names, diffusers always in single precision. A pipeline
    of both would not run.
    """
    config = json.loads(path.read_text())
    if "dtype" in config:
        save_json(path, config | {"dtype": "float32"})


def _open_to_all(path: Path) -> None:
    """Lets everyone read a file; safetensors lets only its owner."""
    path.chmod(0o644)


def _half(module: nn.Module) -> nn.Module:
    half = copy.deepcopy(module).cpu().half()
    for name, tensor in half.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(
                f"{type(module).__name__}: tensor {name} is not finite in half precision; "
                "the training has diverged or the tensor is too large: lower the learning rate"
            )
    return half
