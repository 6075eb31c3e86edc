"""The store keeps each medium once, whole, under the name of its content."""

import hashlib
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from media_files import encode, folder_of, moving_picture, scene
from PIL import Image

from mora.media import (
    MediaNotFoundError,
    MediaStore,
    NoFramesError,
    NotAPictureError,
    NotAVideoError,
    read_image,
    read_video,
    ref,
    sha256,
    write_image,
    write_video,
)
from mora.records import MediaRef


def _files(root: Path) -> list[str]:
    found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.endswith(".lock"))


def test_a_video_is_named_by_its_content(tmp_path: Path) -> None:
    store = MediaStore(tmp_path / "run")
    frames = scene(6)
    media = store.add_video(frames, 12.5)
    digest = hashlib.sha256((tmp_path / "run" / media.path).read_bytes()).hexdigest()
    assert media == MediaRef(
        sha256=digest,
        path=f"media/{digest[:2]}/{digest}.mp4",
        kind="video",
        width=64,
        height=48,
        frames=6,
        fps=12.5,
    )
    assert media.seconds == pytest.approx(0.48)
    write_video(tmp_path / "a.mp4", frames, 12.5)
    assert sha256(tmp_path / "a.mp4") == digest


def test_a_video_of_odd_size_is_described_as_stored(tmp_path: Path) -> None:
    media = MediaStore(tmp_path).add_video(scene(2, 33, 47), 8)
    assert read_video(tmp_path / media.path).frames.shape == (2, media.height, media.width, 3)
    assert (media.height, media.width) == (34, 48)


def test_a_picture_comes_back_exactly(tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    picture = scene(1)[0]
    media = store.add_image(picture)
    assert (media.kind, media.width, media.height, media.frames, media.fps) == (
        "image",
        64,
        48,
        1,
        None,
    )
    assert media.path == f"media/{media.sha256[:2]}/{media.sha256}.png"
    assert np.array_equal(read_image(tmp_path / media.path), picture)


def test_the_same_content_is_stored_once(tmp_path: Path) -> None:
    store = MediaStore(tmp_path / "run")
    first = store.add_video(scene(), 8)
    place = tmp_path / "run" / first.path
    written = place.stat().st_mtime_ns
    assert store.add_video(scene(), 8) == first
    assert MediaStore(tmp_path / "run").add_file(place) == first
    assert place.stat().st_mtime_ns == written
    assert _files(tmp_path / "run") == [first.path]
    assert store.add_video(scene(), 9) != first
    assert len(_files(tmp_path / "run")) == 2


def test_files_are_kept_byte_for_byte(tmp_path: Path) -> None:
    store = MediaStore(tmp_path / "run")
    gif = moving_picture(tmp_path / "A.GIF", scene(4), 100)
    media = store.add_file(gif)
    assert (tmp_path / "run" / media.path).read_bytes() == gif.read_bytes()
    assert media.path.endswith(".gif")
    assert (media.kind, media.frames, media.fps) == ("video", 4, 10)

    still, moving = tmp_path / "still.webp", tmp_path / "moving.webp"
    Image.fromarray(scene(1)[0]).save(still)
    moving_picture(moving, scene(4), 100)
    assert store.add_file(still).kind == "image"
    assert store.add_file(moving).kind == "video"


def test_what_cannot_be_read_is_not_stored(tmp_path: Path) -> None:
    store = MediaStore(tmp_path / "run")
    for name, error in [("a.mp4", NotAVideoError), ("a.png", NotAPictureError)]:
        (tmp_path / name).write_text("a text")
        with pytest.raises(error):
            store.add_file(tmp_path / name)
    with pytest.raises(MediaNotFoundError):
        store.add_file(tmp_path / "missing.mp4")
    with pytest.raises(IsADirectoryError, match="add_video"):
        store.add_file(folder_of(tmp_path / "folder", scene(2)))
    with pytest.raises(ValueError, match="no frames"):
        store.add_video([], 8)
    assert _files(tmp_path / "run") == []


def test_a_killed_writer_leaves_nothing_that_has_a_name(tmp_path: Path) -> None:
    code = """
        import itertools, sys
        import numpy as np
        from mora.media import MediaStore

        def frames():
            for index in itertools.count():
                if index == 200:  # well beyond what the encoder holds back
                    print("writing", flush=True)
                yield np.full((64, 64, 3), index % 256, np.uint8)

        MediaStore(sys.argv[1]).add_video(frames(), 8)
    """
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), tmp_path], stdout=subprocess.PIPE, text=True
    )
    with writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
            left = _files(tmp_path)
            MediaStore(tmp_path)  # while the writer lives, its temporary file is its own
            assert _files(tmp_path) == left
        finally:
            writer.send_signal(signal.SIGKILL)
    assert len(left) == 1
    assert left[0].startswith("media/.writing-")
    store = MediaStore(tmp_path)
    assert _files(tmp_path) == []
    store.add_video(scene(2), 8)
    assert len(_files(tmp_path)) == 1


def test_references_are_relative_within_the_run_only(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "inputs").mkdir(parents=True)
    inside = encode(run / "inputs" / "a.mkv", scene(), rate=10)
    outside = encode(tmp_path / "b.mkv", scene(5), rate=10)
    media = ref(inside, run)
    assert media == MediaRef(
        sha256=sha256(inside),
        path="inputs/a.mkv",
        kind="video",
        width=64,
        height=48,
        frames=12,
        fps=10,
    )
    assert ref(outside, run).path == str(outside.resolve())
    assert ref(outside, tmp_path / "run" / "..").path == "b.mkv"
    write_image(run / "c.png", scene(1)[0])
    assert ref(run / "c.png", run).kind == "image"


def test_a_folder_is_named_by_its_pictures_in_order(tmp_path: Path) -> None:
    frames = scene(11)
    one = folder_of(tmp_path / "one", frames, "{}.png")
    other = folder_of(tmp_path / "other", frames, "frame_{}.png")
    (other / "notes.txt").write_text("no part of it")
    reversed_ = folder_of(tmp_path / "reversed", frames[::-1])
    assert sha256(one) == sha256(other) != sha256(reversed_)
    media = ref(one, tmp_path, folder_fps=4)
    assert (media.path, media.frames, media.fps, media.sha256) == ("one", 11, 4, sha256(one))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoFramesError):
        sha256(tmp_path / "empty")
    with pytest.raises(MediaNotFoundError):
        sha256(tmp_path / "missing")
