"""A folder of existing videos: each is a row, readable or not."""

import errno

import numpy as np
import pytest

from baselines.imported import import_folder
from eval.ledger import Ledger, LedgerError
from mora.media import MediaNotFoundError, write_image, write_video
from mora.records import Failure, FailureKind, Given, Origin, Role

FRAMES = np.random.default_rng(0).integers(0, 255, (6, 32, 48, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    videos = tmp_path / "clips"
    videos.mkdir()
    write_video(videos / "good.mp4", FRAMES, 8)
    (videos / "text.mp4").write_text("not a video")
    data = (videos / "good.mp4").read_bytes()
    (videos / "cut.mp4").write_bytes(data[: len(data) // 2])
    (videos / "empty").mkdir()
    (videos / "sub").mkdir()
    for index in range(3):
        write_image(videos / "sub" / f"{index}.png", FRAMES[index])
    return videos


def test_each_file_is_a_row_with_its_prompt_or_its_reason(folder, tmp_path):
    origins = {
        "good.mp4": Origin(prompt="a red circle"),
        "gone.mp4": Origin(prompt="a lost circle"),
    }
    seen = []
    videos = import_folder(
        folder, tmp_path / "run", origins, model="theirs", report=lambda *c: seen.append(c)
    )
    rows = {video.prompt_id: video for video in videos}
    assert list(rows) == ["cut.mp4", "empty", "good.mp4", "sub", "text.mp4", "gone.mp4"]
    assert {video.model for video in videos} == {"theirs"}
    assert rows["good.mp4"].text == "a red circle"
    assert (rows["good.mp4"].media.frames, rows["good.mp4"].media.fps) == (6, 8)
    assert rows["good.mp4"].source == str(folder / "good.mp4")
    assert rows["sub"].media.frames == 3
    assert rows["sub"].text is None
    kinds = {name: video.failure.kind for name, video in rows.items() if video.failure}
    assert kinds.pop("cut.mp4") in (FailureKind.TRUNCATED, FailureKind.NOT_A_VIDEO)
    assert kinds == {
        "empty": FailureKind.NO_FRAMES,
        "text.mp4": FailureKind.NOT_A_VIDEO,
        "gone.mp4": FailureKind.NOT_FOUND,
    }
    assert seen[-1] == (6, 6)


def test_an_id_follows_place_prompt_and_model(folder, tmp_path):
    def ids(origins=None, model="theirs"):
        videos = import_folder(folder, tmp_path / "run", origins or {}, model=model)
        return {video.prompt_id: video.id for video in videos}

    first = ids()
    assert ids() == first
    assert len(set(first.values())) == len(first)
    assert ids(model="ours")["good.mp4"] != first["good.mp4"]
    assert ids({"good.mp4": Origin(prompt="a star")})["good.mp4"] != first["good.mp4"]


def test_a_mended_file_takes_the_place_of_its_failure_and_an_exchanged_one_is_noticed(
    folder, tmp_path
):
    run = tmp_path / "run"
    with Ledger.open(run, {}) as ledger:
        ledger.add_videos(import_folder(folder, run, {}, model="theirs"))
        write_video(folder / "text.mp4", FRAMES, 8)
        ledger.add_videos(import_folder(folder, run, {}, model="theirs"))
        rows = {video.prompt_id: video for video in ledger.videos()}
        assert rows["text.mp4"].failure is None
        assert len(rows) == len(ledger.videos()) == 5
        write_video(folder / "good.mp4", FRAMES[::-1], 8)
        with pytest.raises(LedgerError, match="use another folder for the run"):
            ledger.add_videos(import_folder(folder, run, {}, model="theirs"))


def test_what_the_machine_fails_at_is_not_put_down_to_a_file(folder, tmp_path, monkeypatch):
    def exhausted(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    def strange(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("baselines.imported.ref", exhausted)
    with pytest.raises(OSError, match="Too many open files"):
        import_folder(folder, tmp_path / "run", {}, model="theirs")
    monkeypatch.setattr("baselines.imported.ref", strange)
    failures = {v.failure.kind for v in import_folder(folder, tmp_path / "run", {}, model="theirs")}
    assert failures == {FailureKind.ERROR}


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(MediaNotFoundError, match="no such folder"):
        import_folder(tmp_path / "none", tmp_path, {}, model="theirs")


def test_what_a_video_was_made_from_is_read_or_says_why_not(folder, tmp_path):
    before, picture = tmp_path / "before.mp4", tmp_path / "picture.png"
    write_video(before, FRAMES[:3], 8)
    write_image(picture, FRAMES[0])
    inputs = {
        Role.INPUT_IMAGE: picture,
        Role.INPUT_VIDEO: picture,
        Role.VIDEO_BEFORE: before,
        Role.VIDEO_AFTER: tmp_path / "gone.mp4",
    }
    origin = Origin(
        prompt="a star",
        inputs={role: str(path) for role, path in inputs.items()},
        given=Given(start=2),
    )
    rows = import_folder(folder, tmp_path / "run", {"good.mp4": origin}, model="theirs")
    found = {video.prompt_id: video for video in rows}["good.mp4"]
    assert found.given == Given(start=2, end=0)
    assert found.failure is None
    assert found.companions[Role.INPUT_IMAGE].kind == "image"
    assert found.companions[Role.VIDEO_BEFORE].frames == 3
    wrong, gone = found.companions[Role.INPUT_VIDEO], found.companions[Role.VIDEO_AFTER]
    assert isinstance(wrong, Failure)
    assert "found media of kind image, and input_video is of kind video" in wrong.message
    assert isinstance(gone, Failure)
    assert gone.kind is FailureKind.NOT_FOUND
    with Ledger.open(tmp_path / "run", {}) as ledger:
        ledger.add_videos(rows)
        assert ledger.videos() == rows, "companions and failures among them are stored"
    assert not rows[0].companions
