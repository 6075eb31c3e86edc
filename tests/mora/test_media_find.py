"""What counts as a video under a folder."""

from pathlib import Path

import pytest
from media_files import folder_of, moving_picture, scene
from PIL import Image

from mora.media import MediaNotFoundError, find_videos


def _found(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_videos(folder)]


def test_files_count_by_suffix_and_are_sorted(tmp_path: Path) -> None:
    for name in ["b.mp4", "a.MOV", "c.webm", "d.mkv", "e.avi", "f.gif", "sub/deep/g.mp4"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("what is in it is not looked at")
    for name in ["notes.txt", "prompts.jsonl", "thumbnail.png", ".hidden.mp4", ".cache/x.mp4"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("no video")
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    assert _found(tmp_path) == [
        "a.MOV",
        "b.mp4",
        "c.webm",
        "d.mkv",
        "e.avi",
        "f.gif",
        "gone.mp4",
        "sub/deep/g.mp4",
    ]


def test_a_folder_of_pictures_is_one_clip(tmp_path: Path) -> None:
    folder_of(tmp_path / "clips" / "one", scene(3))
    folder_of(tmp_path / "clips" / "two", scene(3), "{}.webp")
    with_video = folder_of(tmp_path / "mixed", scene(2))
    (with_video / "a.mp4").touch()
    (tmp_path / "cover.png").touch()
    assert _found(tmp_path) == ["clips/one", "clips/two", "mixed/a.mp4"]
    assert find_videos(tmp_path / "clips" / "one") == [tmp_path / "clips" / "one"]


def test_webp_counts_if_it_moves(tmp_path: Path) -> None:
    moving_picture(tmp_path / "moving.webp", scene(3), 100)
    Image.fromarray(scene(1)[0]).save(tmp_path / "still.webp")
    (tmp_path / "broken.webp").write_bytes((tmp_path / "moving.webp").read_bytes()[:20])
    assert _found(tmp_path) == ["broken.webp", "moving.webp"]


def test_an_empty_folder_counts_within_another(tmp_path: Path) -> None:
    assert find_videos(tmp_path) == []
    (tmp_path / "empty").mkdir()
    (tmp_path / "hidden_only").mkdir()
    (tmp_path / "hidden_only" / ".DS_Store").touch()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    assert _found(tmp_path) == ["empty", "hidden_only"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    real = tmp_path / "real"
    (real / "sub").mkdir(parents=True)
    (real / "a.mp4").touch()
    (real / "sub" / "b.mp4").touch()
    (real / "sub" / "up").symlink_to(real)
    (real / "self").symlink_to(".")
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "all").symlink_to(tmp_path)
    assert _found(tmp_path) == ["linked/a.mp4", "linked/sub/b.mp4", "real/a.mp4", "real/sub/b.mp4"]


def test_what_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    for path in [tmp_path / "missing", tmp_path / "a.mp4"]:
        with pytest.raises(MediaNotFoundError, match="no such folder"):
            find_videos(path)
