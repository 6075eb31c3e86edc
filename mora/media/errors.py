"""Why a video or a picture could not be read. Each error names its kind for the records."""

from pathlib import Path
from typing import ClassVar

from mora.records import Failure, FailureKind


class MediaError(Exception):
    """A file or a folder that could not be read as the medium that was asked for.

    Attributes:
        kind: How the failure is counted.
        path: What was to be read.
    """

    kind: ClassVar[FailureKind]

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path

    def failure(self) -> Failure:
        """Returns the error as it is stored in a ledger."""
        return Failure(kind=self.kind, message=str(self))


class MediaNotFoundError(MediaError):
    """Nothing is there, or it may not be read."""

    kind = FailureKind.NOT_FOUND


class NotAVideoError(MediaError):
    """The content is not a video in a format that is read here."""

    kind = FailureKind.NOT_A_VIDEO


class NotAPictureError(MediaError):
    """The content is not a picture, or not a whole one."""

    kind = FailureKind.NOT_A_VIDEO


class NoFramesError(MediaError):
    """It is a video without a single frame, or a folder without a picture."""

    kind = FailureKind.NO_FRAMES


class TruncatedVideoError(MediaError):
    """The file ends before what it promises.

    Attributes:
        promised: Frames that the file says it holds, `None` where it does not say.
        got: Frames that are there whole, `None` where they cannot be counted.
    """

    kind = FailureKind.TRUNCATED

    def __init__(
        self, path: Path, missing: str, promised: int | None = None, got: int | None = None
    ) -> None:
        counts = "" if promised is None else f"; it promises {promised} frames and holds {got}"
        super().__init__(path, f"{missing}{counts}; make or fetch the file again")
        self.promised, self.got = promised, got


class CorruptVideoError(MediaError):
    """The file has its full length, but not all of its frames decode."""

    kind = FailureKind.CORRUPT


class FrameSizeError(MediaError):
    """The frames differ in size."""

    kind = FailureKind.CORRUPT

    def __init__(
        self, path: Path, frame: int | str, size: tuple[int, int], first: tuple[int, int]
    ) -> None:
        super().__init__(
            path,
            f"frame {frame} is {size[1]}x{size[0]} and the first is {first[1]}x{first[0]}; "
            "the frames of a clip share one size, so scale them before",
        )
