"""Your own videos as clips to damage."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from eval.validate.specimen import Frames, Specimen, Wording
from mora.media import FOLDER_FPS, find_videos, read_video, ref

HELD: Final = 2
"""Clips that are held decoded: the one that is damaged, and the one that a cut goes to."""


def specimens_of(
    folder: Path,
    run: Path,
    prompts: Mapping[str, str],
    count: int,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Specimen]:
    """Takes clips from a folder, evenly spread over what is in it.

    Args:
        folder: The folder; what counts as a video in it is told by `mora.media.find_videos`.
        run: Folder of the run, which paths within it are relative to.
        prompts: Prompt of each clip, by path relative to `folder`; others have none.
        count: Greatest number of clips.
        report: Called with the clips that are looked at and their number.

    Raises:
        MediaError: The folder, or one of the clips that were chosen, cannot be read.
    """
    paths = find_videos(folder)
    places = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)

    @lru_cache(HELD)
    def read(path: Path) -> Frames:
        return read_video(path).frames

    def specimen(path: Path) -> Specimen:
        name = path.relative_to(folder).as_posix()
        media = ref(path, run)
        prompt = prompts.get(name)
        return Specimen(
            name=name,
            sha256=media.sha256,
            path=media.path,
            frames=media.frames,
            height=media.height,
            width=media.width,
            fps=media.fps or FOLDER_FPS,
            wording=None if prompt is None else Wording(prompt),
            read=lambda: read(path),
        )

    found = []
    for done, place in enumerate(places):
        report(done, len(places))
        found.append(specimen(paths[place]))
    report(len(places), len(places))
    return found
