"""Finds media, names them by their content and keeps them."""

import hashlib
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mora.media.atomic import TEMPORARY_PREFIX, writing
from mora.media.pictures import PICTURE_SUFFIXES, pictures_in, read_image, write_image
from mora.media.read import probe
from mora.media.write import write_video
from mora.records import MediaRef

VIDEO_SUFFIXES = frozenset({".mp4", ".webm", ".mov", ".mkv", ".avi", ".gif", ".m4v"})


def find_videos(folder: Path) -> list[Path]:
    """Returns the videos under a folder, sorted by path."""
    found: list[Path] = []
    for path in sorted(Path(folder).iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES:
            found.append(path)
    return found


def sha256(path: Path) -> str:
    """Returns the sha256 of a file, or of a folder of pictures in their order."""
    digest = hashlib.sha256()
    for file in pictures_in(Path(path)) if Path(path).is_dir() else [Path(path)]:
        with file.open("rb") as stream:
            part = hashlib.file_digest(stream, "sha256")
        if Path(path).is_dir():
            digest.update(part.digest())
        else:
            return part.hexdigest()
    return digest.hexdigest()


def ref(path: Path, root: Path) -> MediaRef:
    """Describes a medium by its content; its path is relative to `root` where it lies within."""
    path, root = Path(path).resolve(), Path(root).resolve()
    place = str(path.relative_to(root) if path.is_relative_to(root) else path)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        height, width = read_image(path).shape[:2]
        return MediaRef(
            sha256=sha256(path), path=place, kind="image", width=width, height=height, frames=1
        )
    info = probe(path)
    return MediaRef(
        sha256=sha256(path),
        path=place,
        kind="video",
        width=info.width,
        height=info.height,
        frames=info.frames,
        fps=info.fps,
    )


class MediaStore:
    """Keeps media under `root/media/`, each once, under the sha256 of its content."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.folder = self.root / "media"
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in self.folder.glob(f"{TEMPORARY_PREFIX}*"):
            stale.unlink(missing_ok=True)

    def add_video(self, frames: Iterable[NDArray[np.uint8]], fps: float) -> MediaRef:
        """Stores frames as a video."""
        temporary = self._temporary(".mp4")
        try:
            write_video(temporary, frames, fps)
            return self.add_file(temporary)
        finally:
            temporary.unlink(missing_ok=True)

    def add_image(self, picture: NDArray[np.uint8]) -> MediaRef:
        """Stores a picture."""
        temporary = self._temporary(".png")
        try:
            write_image(temporary, picture)
            return self.add_file(temporary)
        finally:
            temporary.unlink(missing_ok=True)

    def _temporary(self, suffix: str) -> Path:
        return self.folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{suffix}"

    def add_file(self, path: Path) -> MediaRef:
        """Stores a copy of a file."""
        digest = sha256(path)
        place = self.folder / digest[:2] / f"{digest}{Path(path).suffix.lower()}"
        if not place.exists():
            with writing(place) as temporary:
                shutil.copyfile(path, temporary)
        return ref(place, self.root)
