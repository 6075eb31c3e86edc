"""Files of the Hugging Face hub: which there are at a commit, and what the hub says of them.

The library of the hub knows its addresses, tokens and cache. Bytes come through `download`, since
the library begins a file anew if its process was killed. `HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME` and
`HF_HUB_OFFLINE` mean what they mean to the library.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import httpx2
from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    get_token,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name

from mora.checkpoints import CheckpointError
from mora.checkpoints.checkpoint import HubFile, HubRepository
from mora.checkpoints.download import DownloadError, Expected

INDEX: Final = "model_index.json"
"""The file of a pipeline that names its parts."""
CONFIG: Final = "config.json"
"""The file of a model that says what it is built from."""

_WEIGHTS: Final = re.compile(
    r"[^.]+(\.(?P<variant>[^.]+?))?(-\d{5}-of-\d{5})?\.safetensors"
    r"|[^.]+\.safetensors\.index(\.(?P<index_variant>[^.]+))?\.json"
)
_OTHER_WEIGHTS: Final = (
    *(".bin", ".ckpt", ".pt", ".pth", ".pkl", ".h5", ".msgpack", ".onnx", ".onnx_data"),
    *(".pb", ".xml", ".safetensors", ".py"),
)
"""Endings of weights in other formats, and of code, which nothing here loads."""
_SETTINGS: Final = (".json", ".txt", ".model", ".jinja", ".tiktoken")
"""Endings of a model's settings, tokenizer and templates."""


class Located(NamedTuple):
    """Where a file can be fetched, and what the hub says of it.

    Attributes:
        url: Its address.
        headers: What the hub wants to be sent, such as the token.
        etag: The hub's name of the content: its sha256, or of small files git's sha1.
        expected: Size and digest as the hub states them.
    """

    url: str
    headers: Mapping[str, str]
    etag: str
    expected: Expected


def locate(origin: HubFile) -> Located:
    """Asks the hub for a file.

    Raises:
        DownloadError: The hub cannot be reached, or has no such file.
    """
    url = hf_hub_url(origin.repository, origin.file, revision=origin.revision)
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with _told(f"{origin.repository} at {origin.revision[:12]}, {origin.file}"):
        found = get_hf_file_metadata(url, token=token)
    if found.etag is None:
        raise DownloadError(
            f"{url}: found no ETag, expected the hub's name of the content; HF_ENDPOINT names "
            "something that is no hub."
        )
    return Located(url, headers, found.etag, _expected(found.etag, found.size))


def listing(origin: HubRepository) -> dict[str, int]:
    """Lists all files of a repository at its commit, with their bytes.

    Raises:
        DownloadError: The hub cannot be reached, or there is no such repository or commit.
    """
    with _told(f"{origin.repository} at {origin.revision[:12]}"):
        info = HfApi().model_info(origin.repository, revision=origin.revision, files_metadata=True)
    return {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}


def main_file(names: Iterable[str]) -> str | None:
    """Which file says what a repository holds: a pipeline's index or a model's configuration."""
    held = set(names)
    return next((name for name in (INDEX, CONFIG) if name in held), None)


def parts(index: Path) -> dict[str, tuple[str, str]]:
    """Reads which parts a pipeline has: for each its library and its class.

    Raises:
        CheckpointError: The file is no index of a pipeline.
    """
    try:
        entries: dict[str, Any] = dict(json.loads(index.read_bytes()))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{index}: expected the index of a pipeline: {error}") from error
    return {
        name: (str(entry[0]), str(entry[1]))
        for name, entry in entries.items()
        if isinstance(entry, list) and len(entry) == 2 and None not in entry
    }


def wanted(origin: HubRepository, main: Path, names: Iterable[str]) -> list[str]:
    """Chooses the files that are loaded of a repository.

    Args:
        origin: The repository.
        main: Its main file, here.
        names: All its files.

    Raises:
        CheckpointError: The main file cannot be read.
    """
    if main.name == INDEX:
        return needed(names, parts(main), origin.variant, origin.without)
    return needed_of_model(names, origin.variant)


def needed(
    names: Iterable[str],
    folders: Iterable[str],
    variant: str | None = None,
    without: Iterable[str] = (),
) -> list[str]:
    """Chooses the files that diffusers takes: safetensors of one variant, and what is no weights.

    It takes the weights in folders that are no part of the pipeline, too, and would fetch them
    later if they were not here.

    Args:
        names: All files of the repository.
        folders: The pipeline's parts, which are its folders.
        variant: Variant of the weights; a part that has none is taken as it is.
        without: Parts that are not loaded.
    """
    parts, left_out = set(folders), set(without)
    inside: dict[str, list[str]] = {}
    for name in names:
        folder, _, file = name.partition("/")
        if file and "/" not in file and folder not in left_out:
            inside.setdefault(folder, []).append(file)
    chosen = [INDEX]
    for folder, held in inside.items():
        weights = _one_variant(held, variant)
        others = [file for file in held if _is_plain(file)] if folder in parts else []
        if any(map(_WEIGHTS.fullmatch, held)):
            others = [file for file in others if file == CONFIG]
        chosen += [f"{folder}/{file}" for file in [*others, *weights]]
    return sorted(chosen)


def needed_of_model(names: Iterable[str], variant: str | None = None) -> list[str]:
    """Chooses the files that transformers loads: what lies at the top of the repository.

    Args:
        names: All files of the repository.
        variant: Variant of the weights, if there is one.
    """
    top = [name for name in names if "/" not in name]
    others = [name for name in top if PurePosixPath(name).suffix in _SETTINGS and _is_plain(name)]
    return sorted({*others, *_one_variant(top, variant)})


def _one_variant(files: Iterable[str], variant: str | None) -> list[str]:
    """The safetensors of one variant; of none, where there is no such variant."""
    kinds = {file: _variant(file) for file in files if _WEIGHTS.fullmatch(file)}
    one = variant if variant in kinds.values() else None
    return [file for file, kind in kinds.items() if kind == one]


def _is_plain(file: str) -> bool:
    """Whether a file is neither weights nor code."""
    return PurePosixPath(file).suffix not in _OTHER_WEIGHTS and ".index." not in file


def _variant(file: str) -> str | None:
    match = _WEIGHTS.fullmatch(file)
    return match and (match["variant"] or match["index_variant"])


def cached(origin: HubFile) -> Path | None:
    """Returns where a file lies in the hub's cache, if it does."""
    found = try_to_load_from_cache(origin.repository, origin.file, revision=origin.revision)
    return Path(found) if isinstance(found, str) else None


def cache() -> Path:
    """The folder of the hub's cache."""
    return Path(constants.HF_HUB_CACHE)


def cached_folder(origin: HubRepository) -> Path | None:
    """Returns the folder of a repository in the hub's cache, if its main file is there."""
    for name in (INDEX, CONFIG):
        found = cached(HubFile(origin.repository, name, origin.revision))
        if found is not None:
            return found.parent
    return None


def content_path(origin: HubFile, etag: str) -> Path:
    """Where the hub's cache keeps the content of a file, under the hub's name of it."""
    folder = repo_folder_name(repo_id=origin.repository, repo_type="model")
    return cache() / folder / "blobs" / etag


def enter(origin: HubFile) -> Path:
    """Gives a content that is in the hub's cache its name there.

    Raises:
        DownloadError: The hub cannot be reached.
    """
    with _told(f"{origin.repository} at {origin.revision[:12]}, {origin.file}"):
        return Path(hf_hub_download(origin.repository, origin.file, revision=origin.revision))


def stated(path: Path) -> Expected:
    """What the hub said of a file in its cache, which keeps contents under the hub's names."""
    return _expected(path.resolve().name, None)


def _expected(etag: str, size: int | None) -> Expected:
    if re.fullmatch("[0-9a-f]{64}", etag):
        return Expected(size=size, sha256=etag)
    if re.fullmatch("[0-9a-f]{40}", etag):
        return Expected(size=size, git_sha1=etag)
    return Expected(size=size)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Tells of the library's errors in one line."""
    page = f"https://huggingface.co/{what.partition(' at ')[0]}"
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise DownloadError(
            f"{what}: HF_HUB_OFFLINE is set; unset it, or carry the files over by hand as in "
            "docs/models.md."
        ) from error
    except GatedRepoError as error:
        raise DownloadError(
            f"{what}: the publisher asks for consent; accept the licence at {page}, then set "
            "HF_TOKEN or log in with `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise DownloadError(
            f"{what}: found no such repository, or none that may be seen without a token; look at "
            f"{page}, and set HF_TOKEN if it is there."
        ) from error
    except RevisionNotFoundError as error:
        raise DownloadError(f"{what}: found no such commit; look at {page}/commits.") from error
    except LocalEntryNotFoundError as error:
        raise DownloadError(f"{what}: {_unreachable(error)}") from error
    except EntryNotFoundError as error:
        raise DownloadError(f"{what}: found no such file; look at {page}/tree.") from error
    except (HfHubHTTPError, httpx2.HTTPError) as error:
        raise DownloadError(f"{what}: {_unreachable(error)}") from error


def _unreachable(error: Exception) -> str:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return (
        f"{constants.ENDPOINT} did not answer as a hub: {reason[0]} Look at the network, at "
        "HF_ENDPOINT and HTTP(S)_PROXY, and pull again."
    )
