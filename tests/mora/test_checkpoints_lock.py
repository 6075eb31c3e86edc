"""The lock file: the first digest is believed, later ones are compared."""

import json
import threading
from pathlib import Path

import pytest

from mora.checkpoints import CheckpointError
from mora.checkpoints.lock import NAME, Lock

ONE, TWO = "1" * 64, "2" * 64


def record(lock: Lock, name: str = "net", size: int = 3, sha256: str = ONE) -> None:
    lock.record(name, origin="https://example.org/net.pth", size=size, sha256=sha256)


def test_the_first_is_recorded_and_the_same_accepted(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "weights")
    assert lock.read() == {}
    assert not lock.compare("net", size=3, sha256=ONE)
    record(lock)
    record(lock)
    assert lock.compare("net", size=3, sha256=ONE)
    entry = json.loads((tmp_path / "weights" / NAME).read_text())["files"]["net"]
    assert (entry["size"], entry["sha256"]) == (3, ONE)
    assert entry["origin"] == "https://example.org/net.pth"


@pytest.mark.parametrize(("size", "sha256"), [(3, TWO), (4, ONE)])
def test_another_one_is_refused_and_not_recorded(size: int, sha256: str, tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    record(lock)
    with pytest.raises(CheckpointError, match=f"found {size} bytes .* remove net from") as raised:
        record(lock, size=size, sha256=sha256)
    assert str(tmp_path / NAME) in str(raised.value)
    assert lock.read()["net"].sha256 == ONE


def test_many_at_once_are_all_recorded(tmp_path: Path) -> None:
    names = [f"net{number}" for number in range(12)]
    threads = [threading.Thread(target=record, args=(Lock(tmp_path), name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Lock(tmp_path).read()) == sorted(names)


@pytest.mark.parametrize("content", ["{", '{"files": {"net": {"size": 1}}}', '{"other": 1}'])
def test_a_file_that_is_no_lock_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(content)
    with pytest.raises(CheckpointError, match=f"{NAME}: expected a lock file"):
        Lock(tmp_path).read()
