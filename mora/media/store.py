"""Media named by their content: hashes, references, and the store of a run."""

import fcntl
import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mora.media.atomic import TEMPORARY_PREFIX, publish, temporary_in
from mora.media.errors import MediaNotFoundError, NoFramesError
from mora.media.find import is_picture
from mora.media.pictures import encode_image, pictures_in, read_image
from mora.media.read import FOLDER_FPS, probe
from mora.media.write import encode_video
from mora.records import MediaRef


def sha256(path: Path) -> str:
    """Names a medium by its content.

    Args:
        path: A file, or a folder of pictures.

    Returns:
        The sha256 of the file in hex; for a folder the sha256 of its pictures' sha256 digests,
        in their order. Their names count only in so far as they decide that order.

    Raises:
        MediaNotFoundError: There is nothing at `path`.
        NoFramesError: The folder holds no pictures.
    """
    path = Path(path)
    if not path.exists():
        raise MediaNotFoundError(path, "there is no such file or folder")
    if not path.is_dir():
        return _digest(path).hex()
    pictures = pictures_in(path)
    if not pictures:
        raise NoFramesError(path, "the folder holds no pictures")
    return hashlib.sha256(b"".join(map(_digest, pictures))).hexdigest()


def ref(path: Path, root: Path, *, folder_fps: float = FOLDER_FPS) -> MediaRef:
    """Describes a picture or a video for the records.

    Args:
        path: A picture, a video or a folder of pictures.
        root: The run's folder; a medium within it is referred to by its relative path, one
            elsewhere by its absolute path.
        folder_fps: Rate that a folder of pictures gets.

    Raises:
        MediaError: The medium cannot be read.
    """
    return _describe(Path(path), Path(root), sha256(path), folder_fps)


class MediaStore:
    """The media of a run, each stored once, under `media/<two hex digits>/<sha256>.<suffix>`.

    A medium is written under a temporary name, flushed to the disk and renamed, so that what has
    a name is whole. Several processes may hold the same store open. The first of them removes
    the temporary files that a killed process left.

    Args:
        root: The run's folder; the store is its sub-folder `media`.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.folder = self.root / "media"
        self.folder.mkdir(parents=True, exist_ok=True)
        # Held open, and so locked, as long as the store lives.
        self._lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # another store writes here, so a temporary file may be its own
        else:
            for stale in self.folder.glob(f"{TEMPORARY_PREFIX}*"):
                stale.unlink(missing_ok=True)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def add_video(self, frames: Iterable[NDArray[np.uint8]], fps: float) -> MediaRef:
        """Stores frames as MP4; arguments, errors and even sizes as in `write_video`."""
        with temporary_in(self.folder, ".mp4") as temporary:
            encode_video(temporary, frames, fps)
            return self._keep(temporary)

    def add_image(self, picture: NDArray[np.uint8]) -> MediaRef:
        """Stores uint8 (H, W, 3), RGB, as PNG; errors as in `write_image`."""
        with temporary_in(self.folder, ".png") as temporary:
            encode_image(temporary, picture)
            return self._keep(temporary)

    def add_file(self, path: Path) -> MediaRef:
        """Stores a copy of a picture or video file, byte for byte.

        Raises:
            MediaError: The file cannot be read as a picture or a video; nothing is stored.
            IsADirectoryError: It is a folder; read it and use `add_video`.
        """
        path = Path(path)
        if path.is_dir():
            raise IsADirectoryError(f"{path}: a folder of pictures is stored with add_video")
        if not path.exists():
            raise MediaNotFoundError(path, "there is no such file")
        with temporary_in(self.folder, path.suffix.lower()) as temporary:
            shutil.copyfile(path, temporary)
            return self._keep(temporary)

    def _keep(self, temporary: Path) -> MediaRef:
        digest = _digest(temporary).hex()
        place = self.folder / digest[:2] / f"{digest}{temporary.suffix}"
        described = _describe(temporary, self.root, digest)
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            publish(temporary, place)
        return described.model_copy(update={"path": place.relative_to(self.root).as_posix()})


def _describe(path: Path, root: Path, digest: str, folder_fps: float = FOLDER_FPS) -> MediaRef:
    place, base = path.resolve(), root.resolve()
    relative = place.relative_to(base) if place.is_relative_to(base) else place
    if is_picture(path):
        height, width = read_image(path).shape[:2]
        return MediaRef(
            sha256=digest,
            path=relative.as_posix(),
            kind="image",
            width=width,
            height=height,
            frames=1,
        )
    info = probe(path, folder_fps=folder_fps)
    return MediaRef(
        sha256=digest,
        path=relative.as_posix(),
        kind="video",
        width=info.width,
        height=info.height,
        frames=info.frames,
        fps=info.fps,
    )


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
