"""One file from one address: resumed where it was cut off, verified, whole or not there.

What has come is kept beside the file as `NAME.part`, with `NAME.part.json` saying of which address
and which version (its ETag) it is. So a download that was cut off, or whose process was killed,
goes on where it was, and never splices two versions: the rest is asked for with `If-Range`, and a
server whose file has changed sends it whole (RFC 9110, sections 13.1.5 and 14).
"""

import errno
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import httpx2
from filelock import FileLock, Timeout

from mora import __version__
from mora.checkpoints import CHUNK, CheckpointError
from mora.media.atomic import publish

PAUSES: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each further attempt, as long as no byte comes."""
TIMEOUT: Final = httpx2.Timeout(30, connect=15)
"""Seconds without an answer or a byte until an attempt is given up."""
TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""States of a server that pass."""
REPORT_BYTES: Final = 1 << 22
"""Bytes between two reports."""
RESTARTS: Final = 3
"""Times that a file may turn out to be another version than its beginning."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Report = Callable[[int, int], None]
"""Is told the bytes that are there, and those of the whole file."""


class DownloadError(CheckpointError):
    """A file could not be fetched; the message says what was found and what to do."""


class Fetched(NamedTuple):
    """A file that is here and whole.

    Attributes:
        size: Its bytes.
        sha256: Its digest in hex.
        git_sha1: The name that git gives its content, in hex.
    """

    size: int
    sha256: str
    git_sha1: str


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand.

    Attributes:
        size: Its bytes.
        sha256: Its digest in hex, or the first digits.
        git_sha1: The name that git gives its content, in hex.
        remedy: What to do where a whole file is another one.
    """

    size: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    remedy: str = (
        "A proxy or mirror may have changed it: pull again another way, or compare with what the "
        "publisher says."
    )

    def fault(self, found: "Fetched") -> str | None:
        """Says in what a file differs from what was expected; `None` if in nothing."""
        if self.size is not None and found.size != self.size:
            return f"found {found.size:,} bytes, expected {self.size:,}"
        if self.sha256 is not None and not found.sha256.startswith(self.sha256):
            return f"found sha256 {found.sha256}, expected {self.sha256}"
        if self.git_sha1 is not None and found.git_sha1 != self.git_sha1:
            return f"found git's sha1 {found.git_sha1}, expected {self.git_sha1}"
        return None


def measure(path: Path) -> Fetched:
    """Reads a file for its size and digests."""
    size = path.stat().st_size
    sha256 = hashlib.sha256()
    # git's name of a content is no protection, but it is all that the hub states of small files.
    git_sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
            git_sha1.update(chunk)
    return Fetched(size, sha256.hexdigest(), git_sha1.hexdigest())


def check_room(folder: Path, lacking: int, what: str) -> None:
    """Refuses to begin what cannot fit onto the disk.

    Args:
        folder: Where it is to go; it need not be there yet.
        lacking: Bytes that are still to come.
        what: What they are, for the error.

    Raises:
        DownloadError: The disk has less room.
    """
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(place).free
    if free < lacking:
        raise DownloadError(
            f"{folder}: found {free:,} bytes free, expected {lacking:,} for {what}; free some, or "
            "name another folder."
        )


def download(
    url: str,
    path: Path,
    expected: Expected,
    *,
    headers: Mapping[str, str] | None = None,
    report: Report = lambda _done, _total: None,
    waiting: Callable[[], None] = lambda: None,
    pauses: Sequence[float] = PAUSES,
) -> Fetched:
    """Fetches a file, unless it is there and as expected already.

    Proxies are those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`). Of two
    processes that fetch the same file one waits for the other.

    Args:
        url: Its address.
        path: Where it goes. It appears there only when it is whole, verified and on the disk.
        expected: What is known of it.
        headers: Further headers, such as an authorisation; they do not follow to other hosts.
        report: Is told how far it is.
        waiting: Is called if another process fetches this file now.
        pauses: Seconds before each further attempt, as long as no byte comes.

    Returns:
        Size and digest.

    Raises:
        DownloadError: It cannot be had, is another file, or does not fit onto the disk.
    """
    with only_one(path, waiting):
        found = already(path, expected)
        if found is not None:
            return found
        return _Download(url, path, expected, dict(headers or {}), report, pauses).run()


@contextmanager
def only_one(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Lets one process at a time make a file; the others wait.

    Args:
        path: The file. Its folder is made.
        waiting: Is called if another process makes it now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def already(path: Path, expected: Expected) -> Fetched | None:
    """Measures a file if it is there and as expected."""
    if not path.is_file() or expected.size not in (None, path.stat().st_size):
        return None
    found = measure(path)
    return found if expected.fault(found) is None else None


class _ChangedError(Exception):
    """What is there cannot be continued; the file has to come from its beginning."""


class _Download:
    """A download that goes on, over as many attempts as bring bytes."""

    def __init__(
        self,
        url: str,
        path: Path,
        expected: Expected,
        headers: dict[str, str],
        report: Report,
        pauses: Sequence[float],
    ) -> None:
        self.url, self.path, self.expected = url, path, expected
        self.headers = {
            **headers,
            "Accept-Encoding": "identity",
            "User-Agent": f"mora-bench/{__version__}",
        }
        self.report, self.pauses = report, pauses
        self.part = path.with_name(f"{path.name}.part")
        self.notes = path.with_name(f"{path.name}.part.json")
        self.continued = False
        """Whether bytes of an earlier attempt are in the part."""

    def run(self) -> Fetched:
        """Attempts until the file is whole."""
        idle = restarts = 0
        with _client() as client:
            while True:
                before = self._size()
                try:
                    self._attempt(client)
                    return self._finish()
                except _ChangedError:
                    self._discard()
                    restarts += 1
                    if restarts > RESTARTS:
                        raise DownloadError(
                            f"{self.url}: found another version at each attempt, expected one "
                            "that stays; pull again later."
                        ) from None
                except (httpx2.TransportError, httpx2.HTTPStatusError) as error:
                    idle = 0 if self._size() > before else idle + 1
                    if idle > len(self.pauses):
                        raise self._unreachable(error) from error
                    time.sleep(self.pauses[max(idle - 1, 0)] if self.pauses else 0)
                except httpx2.HTTPError as error:
                    raise self._unreachable(error) from error
                except CheckpointError:  # an OSError, too
                    raise
                except OSError as error:
                    raise self._unwritable(error) from error

    def _attempt(self, client: httpx2.Client) -> None:
        """Asks for what is missing and writes it behind what is there."""
        have, validator = self._kept()
        headers = dict(self.headers)
        if have:
            headers["Range"] = f"bytes={have}-"
            if validator:
                headers["If-Range"] = validator
        with client.stream("GET", self.url, headers=headers) as response:
            status = response.status_code
            if status == 416 and have:
                if _total(response) == have:
                    self.continued = True
                    return
                raise _ChangedError
            if not (status == 200 or (have and status == 206)):
                self._refused(response)
            if status == 206:
                version = _validator(response)
                if _start(response) != have or (validator and version not in ("", validator)):
                    raise _ChangedError
                total = _total(response)
            else:
                have, total = 0, _length(response)
            self._check_offer(response, total)
            check_room(self.path.parent, (total or 0) - have, self.path.name)
            if not have:
                self._note(response)
            self.continued = self.continued or have > 0
            self._write(response, have, total)

    def _write(self, response: httpx2.Response, have: int, total: int | None) -> None:
        # At a place of its own, not at the file's end: should two processes ever write, where
        # the file system keeps no locks, they write the same bytes to the same places.
        with self.part.open("r+b" if have else "wb") as file:
            file.seek(have)
            file.truncate()
            reported = have
            self.report(have, total or have)
            for chunk in response.iter_raw():
                file.write(chunk)
                have += len(chunk)
                if have - reported >= REPORT_BYTES:
                    reported = have
                    self.report(have, total or have)
        if total is not None and have != total:
            raise httpx2.RemoteProtocolError(f"the connection ended after {have} of {total} bytes")
        self.report(have, total or have)

    def _finish(self) -> Fetched:
        """Verifies the whole file and gives it its name."""
        found = measure(self.part)
        fault = self.expected.fault(found)
        if fault is not None:
            continued, self.continued = self.continued, False
            if continued:  # the beginning may have been of another version
                raise _ChangedError
            self._discard()
            raise DownloadError(f"{self.url}: {fault}; nothing was kept. {self.expected.remedy}")
        publish(self.part, self.path)
        self.notes.unlink(missing_ok=True)
        return found

    def _kept(self) -> tuple[int, str]:
        """Bytes that can be continued, and the validator of the version that they are of."""
        size = self._size()
        if not size:
            return 0, ""
        try:
            notes = json.loads(self.notes.read_bytes())
            url, validator = str(notes["url"]), str(notes["validator"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, ""
        # Without a validator only the digest tells whether a rest fits to its beginning.
        known = bool(self.expected.sha256 or self.expected.git_sha1)
        return (size, validator) if url == self.url and (validator or known) else (0, "")

    def _note(self, response: httpx2.Response) -> None:
        """Says of which version the part is. It is written before the part's first byte."""
        self.part.unlink(missing_ok=True)
        notes = {"url": self.url, "validator": _validator(response)}
        self.notes.write_text(json.dumps(notes))

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
        self.continued = False

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _check_offer(self, response: httpx2.Response, total: int | None) -> None:
        """Refuses what cannot be the file before its bytes come."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadError(
                f"{self.url}: found the file encoded as {response.headers['Content-Encoding']}, "
                "expected it as it is; a proxy in between changes what it passes on."
            )
        size = self.expected.size
        if size is not None and total is not None and total != size:
            self._discard()
            raise DownloadError(
                f"{self.url}: found a file of {total:,} bytes, expected {size:,}; it is another "
                "one, or a page of a proxy. See what the address shows in a browser."
            )
        kind = response.headers.get("Content-Type", "")
        if size is None and kind.startswith("text/html"):
            raise DownloadError(
                f"{self.url}: found a web page, expected the file; the publisher has moved it, or "
                "asks for something first. See what the address shows in a browser."
            )

    def _unwritable(self, error: OSError) -> DownloadError:
        if error.errno in FULL:
            return DownloadError(
                f"{self.path.parent}: the disk is full, or a limit reached, after {self._size():,} "
                f"bytes of {self.path.name}; they are kept. Free some and pull again."
            )
        return DownloadError(
            f"{self.path.parent}: {self.path.name} could not be written: {error.strerror}; name "
            "another folder, or change the rights of this one."
        )

    def _refused(self, response: httpx2.Response) -> None:
        """Tells of a status that is no file. One that passes is raised for another attempt."""
        status = response.status_code
        if status in TRANSIENT:
            response.raise_for_status()
        todo = {
            401: "it needs a token: set HF_TOKEN, or log in with `hf auth login`",
            403: "it needs permission: accept the licence on its page, and set HF_TOKEN",
            404: "the publisher has moved or removed it; fetch it by hand and put it at "
            f"{self.path}",
            407: "the proxy of HTTP(S)_PROXY wants a name and a password",
        }.get(status, "see what the address shows in a browser")
        raise DownloadError(
            f"{self.url}: found status {status} {response.reason_phrase}, expected 200; {todo}."
        )

    def _unreachable(self, error: httpx2.HTTPError) -> DownloadError:
        if isinstance(error, httpx2.HTTPStatusError):
            reason = f"found status {error.response.status_code} {error.response.reason_phrase}"
        else:
            reason = " ".join(str(error).split()) or type(error).__name__
        kept = f" {self._size():,} bytes are kept." if self._size() else ""
        return DownloadError(
            f"{self.url}: could not be fetched: {reason}.{kept} Look at the network and at "
            "HTTP(S)_PROXY, and pull again."
        )


def _client() -> httpx2.Client:
    try:
        return httpx2.Client(follow_redirects=True, timeout=TIMEOUT)
    except ValueError as error:  # a proxy of the environment that is no address
        raise DownloadError(
            f"HTTP(S)_PROXY: {error}; expected an address such as http://proxy:8080."
        ) from error


def _length(response: httpx2.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _range(response: httpx2.Response) -> tuple[int | None, int | None]:
    """Start and total of `Content-Range: bytes START-END/TOTAL`, as far as they are told."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    where, _, total = rest.partition("/")
    start = where.partition("-")[0]
    return (
        int(start) if unit == "bytes" and start.isdecimal() else None,
        int(total) if unit == "bytes" and total.isdecimal() else None,
    )


def _start(response: httpx2.Response) -> int | None:
    return _range(response)[0]


def _total(response: httpx2.Response) -> int | None:
    return _range(response)[1]


def _validator(response: httpx2.Response) -> str:
    """A strong ETag, else the date of the last change; only these may be used with `If-Range`."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified", "")
