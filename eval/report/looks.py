"""What the report shows of a video's pixels, kept while it is decoded to be scored.

So an evaluation decodes a video once for its scores and its pictures, and a report that is written
again decodes nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eval.decode import Pieces, Read, decode
from eval.report.sheets import WIDTH, thumbnails
from mora.media import FOLDER_FPS, Clip, read_image, read_video, write_image
from mora.records import Failure, MediaRef, Video

POSTER_WIDTH: Final = 320
"""Greatest width of a poster in pixels."""


@dataclass(frozen=True)
class Look:
    """What is kept of a video.

    Attributes:
        poster: File of its first frame.
        strip: Thumbnails of some of its frames, uint8 (K, h, `WIDTH`, 3).
    """

    poster: Path
    strip: NDArray[np.uint8]


@dataclass(frozen=True)
class Looks:
    """Posters and strips of a run's videos, named by the videos' content.

    Attributes:
        folder: Folder of the report; they lie in `posters/` and `strips/`.
    """

    folder: Path

    def keep(self, media: MediaRef, clip: Clip) -> None:
        """Keeps what the report will show of a clip."""
        width = min(POSTER_WIDTH, clip.frames.shape[2])
        write_image(self._poster(media), thumbnails(clip.frames[:1], 1, width)[0])
        write_image(self._strip(media), np.concatenate(thumbnails(clip.frames), axis=1))

    def look(self, media: MediaRef, run: Path) -> Look:
        """What the report shows of a video; it is decoded if nothing was kept.

        Args:
            media: The video.
            run: Folder that its path is relative to.

        Raises:
            MediaError: The video cannot be read.
        """
        path = run / media.path
        kept = self._poster(media).is_file() and self._strip(media).is_file()
        if not (kept and path.exists()):
            self.keep(media, read_video(path, folder_fps=media.fps or FOLDER_FPS))
        strip = read_image(self._strip(media))
        return Look(self._poster(media), np.stack(np.split(strip, strip.shape[1] // WIDTH, axis=1)))

    def reading(self, videos: Collection[Video]) -> Read:
        """Returns a way to read videos that keeps what the report shows of some of them.

        It is kept below the run's folder as the reader sees it, which may be on another machine.
        """
        shown = {video.id for video in videos}

        def read(video: Video, run: Path) -> Clip | Pieces | Failure:
            clip = decode(video, run)
            if video.id in shown and video.media is not None and isinstance(clip, Clip):
                Looks(run / self.folder.name).keep(video.media, clip)
            return clip

        return read

    def _poster(self, media: MediaRef) -> Path:
        return self.folder / "posters" / f"{media.sha256}.png"

    def _strip(self, media: MediaRef) -> Path:
        return self.folder / "strips" / f"{media.sha256}.png"
