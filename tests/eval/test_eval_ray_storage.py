"""Fetching a run's media for workers that do not see its folder."""

import errno
from pathlib import Path
from threading import Lock

import numpy as np
import pytest
from goldens.golden import clip as golden_clip

from eval.decode import decode
from eval.distributed.storage import Fetching, Storage
from mora.media import Clip, ref, write_image, write_video
from mora.records import Failure, FailureKind, Role, Video


@pytest.fixture
def video(tmp_path: Path) -> Video:
    """A folder of pictures that was made from a picture, in a run."""
    run = tmp_path / "run"
    frames = golden_clip("stored", 3, 64, 64, 2.0)
    for number, frame in enumerate(frames):
        write_image(run / "media" / "frames" / f"{number}.png", frame)
    write_image(run / "media" / "first.png", frames[0])
    return Video(
        id="v",
        model="mora",
        media=ref(run / "media" / "frames", run),
        companions={Role.INPUT_IMAGE: ref(run / "media" / "first.png", run)},
    )


def test_a_video_and_what_it_was_made_from_are_fetched(tmp_path: Path, video: Video) -> None:
    place, kept = tmp_path / "call", tmp_path / "kept"
    read = Fetching(Storage(f"file://{tmp_path / 'run'}"), kept, None, Lock())
    clip = read(video, place)
    here = decode(video, tmp_path / "run")
    assert isinstance(clip, Clip)
    assert isinstance(here, Clip)
    assert np.array_equal(clip.frames, here.frames)
    assert [path.name for path in sorted((kept / "media").iterdir())] == ["first.png"]
    assert [path.name for path in (place / "media").iterdir()] == ["frames"]
    (tmp_path / "run" / "media" / "first.png").unlink()
    assert isinstance(read(video, place), Clip), "what is there already is fetched again"


def test_what_lies_outside_the_run_is_read_in_its_place(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", golden_clip("outside", 2, 64, 64, 2.0), 7.0)
    video = Video(id="v", model="mora", media=ref(tmp_path / "a.mp4", tmp_path / "run"))
    read = Fetching(Storage("file:///no/such/place"), tmp_path / "kept", None, Lock())
    assert isinstance(read(video, tmp_path / "call"), Clip)


def test_what_is_missing_is_told_from_storage_that_cannot_be_reached(
    tmp_path: Path, video: Video
) -> None:
    missing = Fetching(Storage(f"file://{tmp_path / 'none'}"), tmp_path / "kept", None, Lock())
    found = missing(video, tmp_path / "call")
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.NOT_FOUND
    closed = Fetching(Storage("nosuch://place"), tmp_path / "kept", None, Lock())
    with pytest.raises(OSError, match=r"first\.png cannot be fetched from nosuch") as told:
        closed(video, tmp_path / "call")
    assert told.value.errno == errno.EIO
