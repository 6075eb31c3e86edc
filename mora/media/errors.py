"""Why a video or a picture could not be read. Each error names its kind for the records."""

from pathlib import Path
from typing import ClassVar

from mora.records import Failure, FailureKind


class MediaError(Exception):
    """A file or a folder that could not be read as the medium that was asked for."""

    kind: ClassVar[FailureKind] = FailureKind.ERROR

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path

    def failure(self) -> Failure:
        """The error as it is stored in a ledger."""
        return Failure(kind=self.kind, message=str(self))


class MediaNotFoundError(MediaError):
    """Nothing is there, or it may not be read."""

    kind = FailureKind.NOT_FOUND


class NotAVideoError(MediaError):
    """The content is not a video (or not a picture, where a picture was asked for)."""

    kind = FailureKind.NOT_A_VIDEO


class NoFramesError(MediaError):
    """It is a video, or a folder, without a single frame in it."""

    kind = FailureKind.NO_FRAMES


class TruncatedVideoError(MediaError):
    """The file ends before what it promises.

    Attributes:
        promised: Frames (or bytes, see `unit`) that the file says it holds.
        got: What is there.
        unit: What `promised` and `got` count: `frames` or `bytes`.
    """

    kind = FailureKind.TRUNCATED

    def __init__(self, path: Path, promised: int, got: int, unit: str = "frames") -> None:
        super().__init__(
            path,
            f"it is cut off: it promises {promised} {unit} and holds {got}; "
            "fetch or make the file again",
        )
        self.promised, self.got, self.unit = promised, got, unit


class CorruptVideoError(MediaError):
    """The file is complete, but some of its frames do not decode."""
