"""Downloads from a real server on this machine that cuts, changes and refuses."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from weights_server import Cut, Served, Server, serving

from mora.checkpoints import download as module
from mora.checkpoints.download import DownloadError, Expected, download

CONTENT = random.Random(0).randbytes(3_000_000)
OTHER = random.Random(1).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
KNOWN = Expected(size=len(CONTENT), sha256=SHA256)
UNKNOWN = Expected()
AGAIN = (0.0, 0.0)

FETCH = """
import sys
from pathlib import Path
from mora.checkpoints.download import DownloadError, Expected, download
url, path, sha256, limit = sys.argv[1:]
if int(limit):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    download(url, Path(path), Expected(sha256=sha256), waiting=lambda: print("waiting", flush=True))
except DownloadError as error:
    sys.exit(str(error))
"""
"""Fetches in a process of its own, with a limit to the size of files."""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as started:
        started.files["/a.bin"] = Served(CONTENT)
        yield started


def get(
    server: Server,
    path: Path,
    expected: Expected = KNOWN,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> str:
    return download(server.url("/a.bin"), path, expected, report=report, pauses=AGAIN).sha256


def elsewhere(server: Server, path: Path, limit: int = 0) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, server.url("/a.bin"), str(path), SHA256, str(limit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left(folder: Path) -> set[str]:
    """What a download leaves, but for its lock."""
    return {each.name for each in folder.iterdir() if not each.name.endswith(".lock")}


def ranges(server: Server) -> list[str | None]:
    return [asked.headers.get("Range") for asked in server.asked]


def test_a_file_comes_whole_and_alone(server: Server, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    path = tmp_path / "folder" / "a.bin"
    found = get(server, path, report=lambda done, total: reports.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert found == SHA256
    assert left(path.parent) == {"a.bin"}
    assert reports == sorted(reports)
    assert reports[0] == (0, len(CONTENT))
    assert reports[-1] == (len(CONTENT), len(CONTENT))


def test_a_file_that_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    assert get(server, tmp_path / "a.bin") == SHA256
    assert server.asked == []


def test_a_cut_connection_goes_on_at_the_right_byte(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"].answers = [Cut(1_000_000), Cut(500_000)]
    get(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000000-", "bytes=1500000-"]
    assert server.asked[1].headers["If-Range"] == '"v1"'
    assert sum(asked.sent for asked in server.asked) == len(CONTENT)


@pytest.mark.parametrize("expected", [KNOWN, UNKNOWN])
def test_a_later_session_goes_on_where_one_gave_up(
    expected: Expected, server: Server, tmp_path: Path
) -> None:
    served = server.files["/a.bin"]
    served.answers, served.then = [Cut(1_000_000)], 503
    with pytest.raises(DownloadError, match=r"status 503 .*1,000,000 bytes are kept"):
        get(server, tmp_path / "a.bin", expected)
    assert left(tmp_path) == {"a.bin.part", "a.bin.part.json"}
    served.then = None
    get(server, tmp_path / "a.bin", expected)
    assert ranges(server)[-1] == "bytes=1000000-"
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_killed_process_leaves_what_the_next_one_continues(
    server: Server, tmp_path: Path
) -> None:
    served, path = server.files["/a.bin"], tmp_path / "a.bin"
    served.stall = threading.Event()
    process = elsewhere(server, path)
    part = tmp_path / "a.bin.part"
    while not part.is_file() or part.stat().st_size < len(CONTENT) // 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    served.stall.set()
    assert not path.exists()
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert ranges(server)[-1] == f"bytes={len(CONTENT) // 2}-"
    assert left(tmp_path) == {"a.bin"}


def test_two_processes_fetch_a_file_once(server: Server, tmp_path: Path) -> None:
    served, path = server.files["/a.bin"], tmp_path / "a.bin"
    served.stall = threading.Event()
    first = elsewhere(server, path)
    while not server.asked:
        assert first.poll() is None
        time.sleep(0.02)
    second = elsewhere(server, path)
    assert second.stdout is not None
    assert second.stdout.readline() == "waiting\n"
    served.stall.set()
    both = [first, second]
    told = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert path.read_bytes() == CONTENT
    assert len(server.asked) == 1
    assert left(tmp_path) == {"a.bin"}


def test_a_server_without_ranges_sends_the_file_anew(server: Server, tmp_path: Path) -> None:
    served = server.files["/a.bin"]
    served.ranges, served.answers = False, [Cut(1_000_000)]
    get(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000000-"]


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_a_changed_file_is_never_spliced(
    heeds_if_range: bool, known: bool, server: Server, tmp_path: Path
) -> None:
    served, path = server.files["/a.bin"], tmp_path / "a.bin"
    served.heeds_if_range = heeds_if_range
    served.answers, served.then = [Cut(1_000_000)], 503
    with pytest.raises(DownloadError):
        get(server, path, UNKNOWN)
    served.content, served.etag, served.then = OTHER, '"v2"', None
    get(server, path, Expected(sha256=hashlib.sha256(OTHER).hexdigest()) if known else UNKNOWN)
    assert path.read_bytes() == OTHER


def test_a_change_that_the_server_hides_shows_in_the_digest(server: Server, tmp_path: Path) -> None:
    served, path = server.files["/a.bin"], tmp_path / "a.bin"
    served.answers, served.then, served.heeds_if_range = [Cut(1_000_000)], 503, False
    with pytest.raises(DownloadError):
        get(server, path, UNKNOWN)
    served.content, served.then = OTHER, None
    get(server, path, Expected(sha256=hashlib.sha256(OTHER).hexdigest()))
    assert path.read_bytes() == OTHER


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_version_or_a_digest_nothing_is_continued(
    etag: str | None, server: Server, tmp_path: Path
) -> None:
    served = server.files["/a.bin"]
    served.etag, served.answers = etag, [Cut(1_000_000)]
    get(server, tmp_path / "a.bin", UNKNOWN)
    assert ranges(server) == [None, None]
    served.answers = [Cut(1_000_000)]
    get(server, tmp_path / "b.bin", KNOWN)
    assert ranges(server)[2:] == [None, "bytes=1000000-"]
    assert "If-Range" not in server.asked[-1].headers


def keep_part(server: Server, folder: Path, content: bytes) -> Path:
    """Leaves a part as an earlier session would have."""
    path = folder / "a.bin"
    path.with_name("a.bin.part").write_bytes(content)
    notes = {"url": server.url("/a.bin"), "validator": '"v1"'}
    path.with_name("a.bin.part.json").write_text(json.dumps(notes))
    return path


def test_a_part_that_is_whole_needs_no_byte(server: Server, tmp_path: Path) -> None:
    path = keep_part(server, tmp_path, CONTENT)
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert ranges(server) == [f"bytes={len(CONTENT)}-"]  # answered by 416 with the whole size
    assert server.asked[0].sent == 0


@pytest.mark.parametrize("content", [CONTENT + b"more", OTHER, OTHER[:1000]])
def test_a_part_that_does_not_belong_is_thrown_away(
    content: bytes, server: Server, tmp_path: Path
) -> None:
    path = keep_part(server, tmp_path, content)
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert ranges(server) == [f"bytes={len(content)}-", None]


def test_a_part_of_another_address_is_not_continued(server: Server, tmp_path: Path) -> None:
    server.files["/b.bin"] = Served(OTHER)
    keep_part(server, tmp_path, CONTENT[:1000])
    download(server.url("/b.bin"), tmp_path / "a.bin", UNKNOWN)
    assert (tmp_path / "a.bin").read_bytes() == OTHER
    assert ranges(server) == [None]


def test_another_file_is_refused_and_the_old_one_stays(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    server.files["/a.bin"].content = OTHER
    found = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(DownloadError, match=f"found sha256 {found}, expected {SHA256}") as raised:
        get(server, path)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == b"old"
    assert left(tmp_path) == {"a.bin"}


def test_a_file_of_another_size_is_refused_before_it_comes(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"3,000,000 bytes, expected 5;"):
        get(server, tmp_path / "a.bin", Expected(size=5))
    assert left(tmp_path) == set()


def test_the_hubs_digest_of_small_files_is_gits(server: Server, tmp_path: Path) -> None:
    blob = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT, usedforsecurity=False).hexdigest()
    get(server, tmp_path / "a.bin", Expected(git_sha1=blob))
    with pytest.raises(DownloadError, match=r"found git's sha1"):
        get(server, tmp_path / "b.bin", Expected(git_sha1="0" * 40))


@pytest.mark.parametrize(
    ("status", "todo"),
    [(404, "moved or removed"), (403, "accept the licence"), (401, "HF_TOKEN"), (418, "browser")],
)
def test_a_refusal_is_told_at_once_with_what_to_do(
    status: int, todo: str, server: Server, tmp_path: Path
) -> None:
    server.files["/a.bin"].then = status
    with pytest.raises(DownloadError, match=f"found status {status} .*{todo}"):
        get(server, tmp_path / "a.bin")
    assert len(server.asked) == 1
    assert left(tmp_path) == set()


def test_troubles_that_pass_are_waited_for(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"].answers = [503, 429]
    get(server, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    server.files["/a.bin"].then = 500
    with pytest.raises(DownloadError, match="found status 500"):
        get(server, tmp_path / "b.bin")
    assert len(server.asked) == 3 + 1 + len(AGAIN)


def test_nobody_there_is_told(tmp_path: Path) -> None:
    with serving() as gone:
        pass
    with pytest.raises(DownloadError, match=r"could not be fetched: .*HTTP\(S\)_PROXY"):
        get(gone, tmp_path / "a.bin")


def test_a_web_page_is_no_file(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"].headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(DownloadError, match="found a web page"):
        get(server, tmp_path / "a.bin", UNKNOWN)


def test_a_disk_that_is_too_small_is_told_before_a_byte_is_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SimpleNamespace(free=1_000_000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: small)
    with pytest.raises(DownloadError, match="found 1,000,000 bytes free, expected 3,000,000"):
        get(server, tmp_path / "a.bin")
    assert left(tmp_path) == set()


def test_a_disk_that_fills_costs_nothing_that_came(server: Server, tmp_path: Path) -> None:
    """The system refuses to write further: here at a limit of the process, as at a disk's end."""
    path = tmp_path / "a.bin"
    process = elsewhere(server, path, limit=1_500_000)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert told.strip().startswith(f"{tmp_path}: the disk is full")
    assert told.strip().count("\n") == 0
    kept = (tmp_path / "a.bin.part").stat().st_size
    assert 0 < kept <= 1_500_000
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert ranges(server)[-1] == f"bytes={kept}-"


def test_a_folder_that_cannot_be_written_is_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bin.part").mkdir()
    with pytest.raises(DownloadError, match=r"a\.bin could not be written: .*name another folder"):
        get(server, tmp_path / "a.bin")


def test_the_environments_proxy_is_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.address)
    download("http://weights.example/a.bin", tmp_path / "a.bin", KNOWN)
    assert server.asked[0].target == "http://weights.example/a.bin"
    monkeypatch.setenv("HTTP_PROXY", "nonsense://")
    with pytest.raises(DownloadError, match=r"HTTP\(S\)_PROXY"):
        download("http://weights.example/a.bin", tmp_path / "b.bin", KNOWN)


def test_an_authorisation_does_not_follow_to_another_host(server: Server, tmp_path: Path) -> None:
    with serving() as hub:
        hub.files["/a.bin"] = Served(
            b"", headers={"Location": server.url("/a.bin")}, redirects=True
        )
        url = hub.url("/a.bin")
        download(url, tmp_path / "a.bin", KNOWN, headers={"Authorization": "Bearer secret"})
        assert hub.asked[0].headers["Authorization"] == "Bearer secret"
    assert "Authorization" not in server.asked[0].headers
