"""Finds the videos under a folder."""

from pathlib import Path

from mora.media.errors import MediaNotFoundError
from mora.media.pictures import PICTURE_SUFFIXES, is_animated_webp

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif"})


def find_videos(folder: Path) -> list[Path]:
    """Lists what is to be counted as a video under a folder, by suffix, without reading it.

    A file counts by its suffix, whatever is in it, so that a broken one becomes a counted
    failure. A folder counts as one clip if it holds pictures, and neither videos nor other
    folders; a sub-folder with nothing in it counts too, as a clip without frames. Hidden files
    and folders are skipped. Symbolic links are followed, except back into a folder that leads
    to them.

    Args:
        folder: Where to look.

    Returns:
        Paths that begin with `folder`, sorted.

    Raises:
        MediaNotFoundError: `folder` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MediaNotFoundError(folder, "there is no such folder")
    return sorted(_walk(folder, within=()))


def is_picture(path: Path) -> bool:
    """Whether a path is a picture by its suffix, and not an animated WebP."""
    return (
        path.suffix.lower() in PICTURE_SUFFIXES and not path.is_dir() and not _is_moving_webp(path)
    )


def _walk(folder: Path, within: tuple[Path, ...]) -> list[Path]:
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    folders = [path for path in visible if path.is_dir()]
    videos = [path for path in visible if _is_video(path)]
    if not folders and not videos:
        clip = any(map(is_picture, visible)) or (not visible and bool(within))
        return [folder] if clip else []
    within = (*within, folder.resolve())
    for path in folders:
        if path.resolve() not in within:
            videos += _walk(path, within)
    return videos


def _is_video(path: Path) -> bool:
    known = path.suffix.lower() in VIDEO_SUFFIXES
    return not path.is_dir() and (known or _is_moving_webp(path))


def _is_moving_webp(path: Path) -> bool:
    return path.suffix.lower() == ".webp" and path.is_file() and is_animated_webp(path)
