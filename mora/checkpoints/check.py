"""Checks weights that are here: complete, the right ones, and fitting the network they are for."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mora.checkpoints import CheckpointError
from mora.checkpoints.checkpoint import Checkpoint, HubFile, HubPipeline
from mora.checkpoints.download import Expected, Fetched, measure
from mora.checkpoints.lock import Entry, Lock
from mora.checkpoints.pull import entry_name, expectation

LIBRARIES: Final = ("diffusers", "transformers")
"""Libraries whose classes a pipeline may name as its parts."""
SHOWN: Final = 5
"""Tensors that a line names before it only counts the rest."""


def check_file(checkpoint: Checkpoint, lock: Lock) -> Fetched:
    """Checks a single file's presence, size and digest.

    Raises:
        CheckpointError: It is not there, or another one; the message says what to do.
    """
    path = checkpoint.path
    if path is None:
        raise ValueError(f"{checkpoint.name}: a single file needs a path")
    if not path.is_file():
        raise CheckpointError(
            f"{path}: found no file, expected {checkpoint.name}; "
            f"run `mora models pull {checkpoint.name}`."
        )
    expected = expectation(checkpoint, lock)
    found = measure(path)
    fault = expected.fault(found)
    if fault is not None:
        raise CheckpointError(
            f"{path}: {fault}; delete the file and run `mora models pull {checkpoint.name}`."
        )
    return found


def check_pipeline(name: str, origin: HubPipeline, lock: Lock) -> Iterator[str]:
    """Checks all files of a pipeline in the hub's cache, and that each part loads strictly.

    No code of the repository runs: parts are built by their libraries from safetensors.

    Args:
        name: What `mora models` calls it.
        origin: The pipeline.
        lock: Digests from when it was pulled.

    Yields:
        Faults, a line each.
    """
    from mora.checkpoints import hub

    folder, missing = pipeline_folder(origin, lock)
    if folder is None:
        yield (
            f"found nothing of {origin.repository} at {origin.revision[:12]} in the hub's cache; "
            f"run `mora models pull {name}`."
        )
        return
    faults = [f"{folder / each}: is missing" for each in missing]
    for file, entry in _wanted(origin, folder, lock).items():
        path = folder / file
        if file in missing:
            continue
        expected = (
            hub.stated(path) if entry is None else Expected(size=entry.size, sha256=entry.sha256)
        )
        fault = expected.fault(measure(path))
        faults += [f"{path}: {fault}"] if fault else []
    yield from (f"{fault}; run `mora models pull {name}`." for fault in faults)
    if faults:
        return
    for part, (library, kind) in hub.parts(folder / hub.INDEX).items():
        if part not in origin.without:
            yield from part_faults(folder, part, library, kind, origin.variant)


def pipeline_folder(origin: HubPipeline, lock: Lock) -> tuple[Path | None, list[str]]:
    """Finds a pipeline in the hub's cache, by its files' names alone.

    Args:
        origin: The pipeline.
        lock: Names of the files that were pulled.

    Returns:
        Its folder, `None` if nothing of it is here, and names in it that are missing.
    """
    from mora.checkpoints import hub

    index = hub.cached(HubFile(origin.repository, hub.INDEX, origin.revision))
    if index is None:
        return None, []
    wanted, here = _wanted(origin, index.parent, lock), _names(index.parent)
    parts = {part for part in hub.parts(index) if part not in origin.without}
    empty = parts - {name.partition("/")[0] for name in here}
    return index.parent, sorted({*(set(wanted) - here), *(f"{part}/" for part in empty)})


def _names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def _wanted(origin: HubPipeline, folder: Path, lock: Lock) -> dict[str, Entry | None]:
    """The files that the pipeline loads, as far as they are known here, with their entries."""
    from mora.checkpoints import hub

    prefix = entry_name(HubFile(origin.repository, "", origin.revision))
    entries = {
        name.removeprefix(prefix): entry
        for name, entry in lock.read().items()
        if name.startswith(prefix)
    }
    known = _names(folder) | entries.keys()
    names = hub.needed(known, hub.parts(folder / hub.INDEX), origin.variant, origin.without)
    return {name: entries.get(name) for name in names}


def part_faults(
    folder: Path, part: str, library: str, kind: str, variant: str | None
) -> Iterator[str]:
    """Loads one part of a pipeline and names what does not fit.

    Args:
        folder: The pipeline's folder.
        part: Name of the part, which is its folder.
        library: Library of its class.
        kind: Its class.
        variant: Variant of the weights, where the part has one.

    Yields:
        Faults, a line each.
    """
    from importlib import import_module

    place = folder / part
    if library not in LIBRARIES:
        yield (
            f"{place}: found a part of {library}, expected one of {' or '.join(LIBRARIES)}; it is "
            "not loaded, for it would run other code."
        )
        return
    cls = getattr(import_module(library), kind, None)
    if cls is None:
        yield f"{place}: found the class {kind}, which this version of {library} does not have."
        return
    try:
        if not _has_weights(cls):
            cls.from_pretrained(place, local_files_only=True)
            return
        has_variant = any(place.glob(f"*.{variant}*.safetensors"))
        loaded, told = cls.from_pretrained(
            place,
            variant=variant if has_variant else None,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            dtype="auto",
        )
    except Exception as error:  # the libraries raise many kinds
        reason = " ".join(str(error).split())[:500]
        yield f"{place}: could not be loaded as {kind}: {reason}"
        return
    del loaded
    gc.collect()
    faults = {
        "missing": told["missing_keys"],
        "extra": told["unexpected_keys"],
        "of another shape": [each[0] for each in told.get("mismatched_keys", [])],
    }
    said = [f"{what}: {_listed(sorted(names))}" for what, names in faults.items() if names]
    if said:
        yield f"{place}: these are not the weights of a {kind}: {'; '.join(said)}"


def _has_weights(cls: Any) -> bool:
    from diffusers import ModelMixin
    from transformers import PreTrainedModel

    return issubclass(cls, ModelMixin | PreTrainedModel)


def _listed(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
