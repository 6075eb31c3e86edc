"""Where the miniature weights are, and a folder of weights as a hash."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mora.checkpoints import CheckpointError, file_sha256, folder_sha256, mini_weights

ROOT = Path(__file__).parents[2]


def test_the_miniature_weights_are_beside_the_package():
    assert mini_weights() == ROOT / "lab" / "weights"


def test_without_them_the_error_names_the_place_and_the_remedy(tmp_path):
    shutil.copytree(ROOT / "mora", tmp_path / "mora", ignore=shutil.ignore_patterns("conf"))
    done = subprocess.run(
        [sys.executable, "-c", "from mora.checkpoints import mini_weights; mini_weights()"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert str(tmp_path / "lab" / "weights") in last
    assert "install mora-bench again" in last


def test_a_hash_follows_names_and_bytes_but_not_hidden_files(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "unet").mkdir(parents=True)
        (tmp_path / name / "unet" / "a.bin").write_bytes(b"weights")
    (tmp_path / "two" / ".cache").mkdir()
    (tmp_path / "two" / ".cache" / "x").write_bytes(b"x")
    one = folder_sha256(tmp_path / "one")
    assert folder_sha256(tmp_path / "two") == one
    (tmp_path / "two" / "unet" / "a.bin").write_bytes(b"others")
    assert folder_sha256(tmp_path / "two") != one
    (tmp_path / "one" / "unet" / "a.bin").rename(tmp_path / "one" / "unet" / "b.bin")
    assert folder_sha256(tmp_path / "one") != one


def test_a_file_has_its_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "abc") == expected


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_an_empty_folder_is_an_error(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=name):
        folder_sha256(tmp_path / name)
