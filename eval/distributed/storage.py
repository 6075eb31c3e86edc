"""Fetches a run's media to where they are decoded, for workers that do not see the run's folder."""

import errno
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import fsspec

from eval.decode import Pieces, Read, decode
from mora.media import Clip
from mora.records import Failure, MediaRef, Video


@dataclass(frozen=True)
class Storage:
    """A run's folder as it lies in shared storage.

    Attributes:
        address: Anything that fsspec reads, such as `s3://bucket/runs/demo`.
    """

    address: str

    def fetch(self, media: MediaRef, folder: Path) -> None:
        """Copies a medium to its place below a folder, unless it is there already.

        A medium outside the run has an absolute path and is read from there. One that the storage
        does not have is not copied: whoever reads it then says that it is not there.

        Raises:
            OSError: The storage cannot be reached.
        """
        target = folder / media.path
        if Path(media.path).is_absolute() or target.exists():
            return
        partial = target.with_name(f"{target.name}.partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            files, root = fsspec.url_to_fs(self.address)
            files.get(f"{root}/{media.path}", str(partial), recursive=True)
        except FileNotFoundError:
            return
        except Exception as error:
            # No fault of the video: with this number it ends the evaluation and is not recorded.
            raise OSError(
                errno.EIO, f"{media.path} cannot be fetched from {self.address}: {error}"
            ) from error
        partial.rename(target)


@dataclass(frozen=True)
class Fetching:
    """Reads videos that are fetched first.

    Attributes:
        storage: Where from.
        companions: Folder that stands for the run's where companions are read.
        read: Gives the pixels of what was fetched; `None` decodes its file.
        lock: So that two threads do not fetch the same companion at once.
    """

    storage: Storage
    companions: Path
    read: Read | None
    lock: Lock

    def __call__(self, video: Video, run: Path) -> Clip | Pieces | Failure:
        """Fetches a video to below `run` and what it was made from, then reads it."""
        with self.lock:
            for companion in video.companions.values():
                if isinstance(companion, MediaRef):
                    self.storage.fetch(companion, self.companions)
        if video.media is not None:
            self.storage.fetch(video.media, run)
        return (self.read or decode)(video, run)
