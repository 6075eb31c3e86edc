"""Brings published weights here."""

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from mora.checkpoints import CHUNK
from mora.checkpoints.checkpoint import Checkpoint, HubFile, HubRepository, WebFile
from mora.checkpoints.download import (
    DownloadError,
    Expected,
    Fetched,
    already,
    check_room,
    download,
    measure,
    only_one,
)
from mora.checkpoints.lock import Lock
from mora.media.atomic import writing

Report = Callable[[str, int, int], None]
"""Is told a file's name, the bytes of it that are here, and all of them."""
Say = Callable[[str], None]
"""Is told in words what else there is to know."""


@dataclass(frozen=True)
class Pulled:
    """What a pull did.

    Attributes:
        place: File or folder of the weights.
        fetched: Bytes that came; 0 where all was here.
    """

    place: Path
    fetched: int


def pull(checkpoint: Checkpoint, lock: Lock, report: Report, say: Say) -> Pulled:
    """Brings a checkpoint here, verified, unless it is here already.

    Args:
        checkpoint: What to bring.
        lock: Digests of files whose publishers state none.
        report: Is told how far it is.
        say: Is told what else there is to know.

    Raises:
        CheckpointError: It cannot be had, or is another one than expected.
    """
    if isinstance(checkpoint.origin, HubRepository):
        return _pull_repository(checkpoint.origin, lock, report, say)
    path = checkpoint.path
    if path is None:
        raise ValueError(f"{checkpoint.name}: a single file needs a path")
    if checkpoint.shipped:
        if not path.is_file():
            raise DownloadError(f"{path}: it comes with the project; install mora-bench again.")
        return Pulled(path, 0)
    expected = expectation(checkpoint, lock)
    if path.is_file():
        found = measure(path)
        fault = expected.fault(found)
        if fault is None:
            _remember(checkpoint, lock, found)
            return Pulled(path, 0)
        say(f"{path}: {fault}; it is fetched again")
    if isinstance(checkpoint.origin, HubFile):
        found = _pull_hub_file(checkpoint.origin, path, expected, report, say)
    elif checkpoint.origin.member is None:
        found = _download(checkpoint.origin.url, path, expected, report, say)
    else:
        found = _pull_member(checkpoint.origin, path, expected, report, say)
    _remember(checkpoint, lock, found)
    return Pulled(path, found.size)


def expectation(checkpoint: Checkpoint, lock: Lock) -> Expected:
    """What is known of a single file: from its card, else from the lock file.

    Raises:
        CheckpointError: The lock file cannot be read, or contradicts the card.
    """
    known = Expected(size=checkpoint.size, sha256=checkpoint.sha256)
    entry = None if checkpoint.fully_known else lock.read().get(checkpoint.name)
    if entry is None:
        return known
    fault = known.fault(Fetched(entry.size, entry.sha256, ""))
    if fault is not None:
        raise DownloadError(
            f"{lock.path}: {checkpoint.name}: {fault}; remove the entry and pull again."
        )
    return Expected(
        size=entry.size,
        sha256=entry.sha256,
        remedy=f"The other was recorded on {entry.recorded}. If you trust what is published now, "
        f"remove {checkpoint.name} from {lock.path} and pull again.",
    )


def _remember(checkpoint: Checkpoint, lock: Lock, found: Fetched) -> None:
    if not checkpoint.fully_known:
        lock.record(
            checkpoint.name,
            origin=address(checkpoint),
            size=found.size,
            sha256=found.sha256,
        )


def address(checkpoint: Checkpoint) -> str:
    """Where a checkpoint is published, in one word."""
    match checkpoint.origin:
        case WebFile(url=url, member=member):
            return f"{url}#{member}" if member else url
        case HubFile(repository=repository, revision=revision, file=file):
            return f"hub:{repository}@{revision}/{file}"
        case HubRepository(repository=repository, revision=revision):
            return f"hub:{repository}@{revision}"


def _download(url: str, path: Path, expected: Expected, report: Report, say: Say) -> Fetched:
    return download(
        url,
        path,
        expected,
        report=lambda done, total: report(path.name, done, total),
        waiting=lambda: say(f"{path.name}: another process fetches it; waiting"),
    )


def _pull_member(
    origin: WebFile, path: Path, expected: Expected, report: Report, say: Say
) -> Fetched:
    """Fetches an archive, takes one file out of it, and removes the archive."""
    archive = path.with_name(PurePosixPath(urlsplit(origin.url).path).name)
    with only_one(path, lambda: say(f"{path.name}: another process fetches it; waiting")):
        found = already(path, expected)
        if found is not None:
            return found
        _download(origin.url, archive, Expected(), report, say)
        try:
            return _extract(archive, origin, path, expected)
        except (zipfile.BadZipFile, KeyError, EOFError) as error:
            raise DownloadError(
                f"{origin.url}: expected a zip archive with {origin.member} in it, found none: "
                f"{error}; see what the address shows in a browser."
            ) from error
        finally:
            archive.unlink(missing_ok=True)


def _extract(archive: Path, origin: WebFile, path: Path, expected: Expected) -> Fetched:
    """Takes a file out of an archive, and verifies it before it gets its name."""
    with (
        zipfile.ZipFile(archive) as opened,
        opened.open(str(origin.member)) as member,
        writing(path) as temporary,
    ):
        check_room(path.parent, opened.getinfo(str(origin.member)).file_size, path.name)
        with temporary.open("wb") as file:
            shutil.copyfileobj(member, file, CHUNK)
        found = measure(temporary)
        fault = expected.fault(found)
        if fault is not None:
            raise DownloadError(
                f"{origin.url}: {origin.member} in it: {fault}; nothing was kept. {expected.remedy}"
            )
    return found


def _pull_hub_file(
    origin: HubFile, path: Path, expected: Expected, report: Report, say: Say
) -> Fetched:
    """Fetches a file of the hub to a place of its own."""
    from mora.checkpoints import hub

    located = hub.locate(origin)
    offered = located.expected
    if expected.sha256 is None:
        expected = replace(offered, size=expected.size or offered.size)
    elif offered.sha256 is not None and not offered.sha256.startswith(expected.sha256):
        raise DownloadError(
            f"{located.url}: the hub states sha256 {offered.sha256}, expected {expected.sha256}; "
            f"nothing was fetched. {expected.remedy}"
        )
    return download(
        located.url,
        path,
        expected,
        headers=located.headers,
        report=lambda done, total: report(path.name, done, total),
        waiting=lambda: say(f"{path.name}: another process fetches it; waiting"),
    )


def _pull_repository(origin: HubRepository, lock: Lock, report: Report, say: Say) -> Pulled:
    """Fetches what is loaded of a repository into the hub's cache, where the libraries look."""
    from mora.checkpoints import hub

    fetched = 0

    def fetch(file: HubFile) -> Path:
        nonlocal fetched
        name = entry_name(file)
        entry = lock.read().get(name)
        here = hub.cached(file)
        if here is not None:
            found = measure(here)
            if hub.stated(here).fault(found) is None:
                lock.record(name, origin=f"hub:{name}", size=found.size, sha256=found.sha256)
                return here
            say(f"{here}: it is damaged, and fetched again")
            here.resolve().unlink()
        located = hub.locate(file)
        expected = located.expected
        if entry is not None:
            expected = Expected(
                size=entry.size,
                sha256=entry.sha256,
                remedy=f"The other was recorded on {entry.recorded}, and a commit does not change: "
                f"suspect the mirror. To trust it, remove {name} from {lock.path}.",
            )
        found = download(
            located.url,
            hub.content_path(file, located.etag),
            expected,
            headers=located.headers,
            report=lambda done, total: report(file.file, done, total),
            waiting=lambda: say(f"{file.file}: another process fetches it; waiting"),
        )
        lock.record(name, origin=f"hub:{name}", size=found.size, sha256=found.sha256)
        fetched += found.size
        return hub.enter(file)

    sizes = hub.listing(origin)
    main = hub.main_file(sizes)
    if main is None:
        raise DownloadError(
            f"{origin.repository} at {origin.revision[:12]}: found neither {hub.INDEX} nor "
            f"{hub.CONFIG}, expected a pipeline of diffusers or a model of transformers; correct "
            "weights= in the settings."
        )
    first = fetch(HubFile(origin.repository, main, origin.revision))
    files = [
        HubFile(origin.repository, name, origin.revision)
        for name in hub.wanted(origin, first, sizes)
        if name != main
    ]
    lacking = sum(sizes[file.file] for file in files if hub.cached(file) is None)
    check_room(hub.cache(), lacking, f"{origin.repository}; HF_HOME names another folder")
    for file in files:
        fetch(file)
    return Pulled(first.parent, fetched)


def entry_name(file: HubFile) -> str:
    """Name of a repository's file in the lock file."""
    return f"{file.repository}@{file.revision}/{file.file}"
