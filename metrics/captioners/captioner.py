"""What a captioner is, and captions that are asked for once.

A captioner may cost money and may answer otherwise the second time. So a caption is kept under all
that it depends on (the captioner's settings, the question and the frames' own bytes), as soon as
it is there, and a run that goes on asks for nothing twice.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mora.records import Failure, FailureKind, content_hash


class CaptionerError(RuntimeError):
    """The captioner itself cannot be used, whatever it is asked."""


class CaptionError(Exception):
    """There is no caption.

    Attributes:
        kind: How the failure is counted: refused, or an error of any other kind.
    """

    def __init__(self, message: str, kind: FailureKind = FailureKind.ERROR) -> None:
        super().__init__(message)
        self.kind = kind

    def failure(self) -> Failure:
        """Returns the error as it is stored in a ledger."""
        return Failure(kind=self.kind, message=str(self))


class Captioner(Protocol):
    """Describes pictures and videos."""

    @property
    def settings(self) -> Mapping[str, str | int | float | bool | None]:
        """All that its captions depend on besides frames and question, for fingerprints.

        One of them is `name`. Neither keys nor places of this machine are among them.
        """
        ...

    def load(self) -> None:
        """Makes ready, before the first question.

        Raises:
            CaptionerError: That fails, and why.
        """
        ...

    def caption(self, frames: NDArray[np.uint8], fps: float, question: str) -> str:
        """Describes a picture or a video.

        Args:
            frames: uint8 `(T, H, W, 3)`, RGB; one frame is a picture.
            fps: Frames a second, of these frames.
            question: What it is asked; one that can say only one kind of thing ignores it.

        Returns:
            A text with something in it.

        Raises:
            CaptionError: There is none, and why.
        """
        ...


class CaptionStore(Protocol):
    """Where captions are kept. What `keep` was given is stored when it returns."""

    def caption(self, key: str) -> str | None:
        """The caption of this key, if there is one."""
        ...

    def keep_caption(self, key: str, text: str, captioner: str) -> None:
        """Keeps a caption that the named captioner gave."""
        ...


class NoStore:
    """Keeps nothing, for captions that need not outlive their use."""

    def caption(self, key: str) -> str | None:  # noqa: ARG002
        """There is none."""
        return None

    def keep_caption(self, key: str, text: str, captioner: str) -> None:
        """Lets it go."""


@dataclass(frozen=True)
class Captions:
    """A captioner that is asked once.

    Attributes:
        captioner: Whom to ask.
        store: Where the answers are kept.
    """

    captioner: Captioner
    store: CaptionStore

    def of(self, frames: NDArray[np.uint8], fps: float, question: str) -> str:
        """The caption of a picture or a video; see `Captioner.caption`."""
        pixels = hashlib.sha256(frames.tobytes()).hexdigest()
        asked = [dict(self.captioner.settings), question, list(frames.shape), fps, pixels]
        key = content_hash(["caption", *asked])
        kept = self.store.caption(key)
        if kept is not None:
            return kept
        text = " ".join(self.captioner.caption(frames, fps, question).split())
        if not text:
            raise CaptionError(f"{self.captioner.settings['name']} answered with an empty caption")
        self.store.keep_caption(key, text, str(self.captioner.settings["name"]))
        return text
