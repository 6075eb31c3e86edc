"""Checks weights that are here: complete, the right ones, and fitting the network they are for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mora.checkpoints import CheckpointError
from mora.checkpoints.checkpoint import Checkpoint, HubFile, HubRepository
from mora.checkpoints.download import Expected, Fetched, measure
from mora.checkpoints.lock import Entry, Lock
from mora.checkpoints.pull import entry_name, expectation

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


def check_repository(name: str, origin: HubRepository, lock: Lock) -> Iterator[str]:
    """Checks all files of a repository in the hub's cache, and that each network loads strictly.

    No code of the repository runs: networks are built by their libraries, from safetensors.

    Args:
        name: What `mora models` calls it.
        origin: The repository.
        lock: Digests from when it was pulled.

    Yields:
        Faults, a line each.
    """
    from mora.checkpoints import hub

    folder, missing = local_folder(origin, lock)
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
    if not (folder / hub.INDEX).is_file():
        yield from part_faults(folder, "", "transformers", _architecture(folder), origin.variant)
        return
    for part, (library, kind) in hub.parts(folder / hub.INDEX).items():
        if part not in origin.without:
            yield from part_faults(folder, part, library, kind, origin.variant)


def local_folder(origin: HubRepository, lock: Lock) -> tuple[Path | None, list[str]]:
    """Finds a repository in the hub's cache, by its files' names alone.

    Args:
        origin: The repository.
        lock: Names of the files that were pulled.

    Returns:
        Its folder, `None` if nothing of it is here, and names in it that are missing.
    """
    from mora.checkpoints import hub

    folder = hub.cached_folder(origin)
    if folder is None:
        return None, []
    here = _names(folder)
    missing = set(_wanted(origin, folder, lock)) - here
    if hub.INDEX in here:
        filled = {name.partition("/")[0] for name in here}
        parts = set(hub.parts(folder / hub.INDEX)) - set(origin.without)
        missing |= {f"{part}/" for part in parts - filled}
    return folder, sorted(missing)


def _names(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def _wanted(origin: HubRepository, folder: Path, lock: Lock) -> dict[str, Entry | None]:
    """The files that are loaded, as far as they are known here, with their entries."""
    from mora.checkpoints import hub

    prefix = entry_name(HubFile(origin.repository, "", origin.revision))
    entries = {
        name.removeprefix(prefix): entry
        for name, entry in lock.read().items()
        if name.startswith(prefix)
    }
    known = _names(folder) | entries.keys()
    main = folder / (hub.main_file(known) or hub.CONFIG)
    return {name: entries.get(name) for name in hub.wanted(origin, main, known)}


def _architecture(folder: Path) -> str:
    """The class that a model of transformers says it is.

    Raises:
        CheckpointError: It says none.
    """
    try:
        return str(json.loads((folder / "config.json").read_bytes())["architectures"][0])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise CheckpointError(
            f"{folder / 'config.json'}: expected the class of the model in `architectures`, found "
            f"none: {error}"
        ) from error


def part_faults(
    folder: Path, part: str, library: str, kind: str, variant: str | None
) -> Iterator[str]:
    """Loads one part of a pipeline, or a model, and names what does not fit.

    Args:
        folder: The repository's folder.
        part: Name of the part, which is its folder; of a model "".
        library: Library of its class.
        kind: Its class.
        variant: Variant of the weights, where the part has one.

    Yields:
        Faults, a line each.
    """
    import diffusers
    import transformers

    place = folder / part
    # Old pipelines name a module of diffusers' own, such as `stable_diffusion`.
    modules = {"diffusers": diffusers, "transformers": transformers}
    module = modules.get(library) or getattr(diffusers.pipelines, library, None)
    if module is None:
        yield (
            f"{place}: found a part of {library}, expected one of diffusers or transformers; it is "
            "not loaded, for it would run other code."
        )
        return
    cls = getattr(module, kind, None)
    if cls is None:
        yield f"{place}: found the class {kind}, which this version of {library} does not have."
        return
    for logging in (diffusers.utils.logging, transformers.utils.logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    try:
        if not issubclass(cls, diffusers.ModelMixin | transformers.PreTrainedModel):
            cls.from_pretrained(place, local_files_only=True)
            return
        has_variant = any(place.glob(f"*.{variant}*.safetensors"))
        # On the meta device names and shapes are compared, and no memory is needed; that the
        # numbers are right is known from the digests.
        _, told = cls.from_pretrained(
            place,
            variant=variant if has_variant else None,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            device_map="meta",
        )
    except Exception as error:  # the libraries raise many kinds
        reason = " ".join(str(error).split())[:500]
        yield f"{place}: could not be loaded as {kind}: {reason}"
        return
    misfits = [
        f"{name} {tuple(found)}, expected {tuple(wanted)}"
        for name, found, wanted in told["mismatched_keys"]
    ]
    faults = {
        "missing": told["missing_keys"],
        "extra": told["unexpected_keys"],
        "of another shape": misfits,
    }
    said = [f"{what}: {_listed(sorted(names))}" for what, names in faults.items() if names]
    if said:
        yield f"{place}: these are not the weights of a {kind}: {'; '.join(said)}"


def _listed(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
