"""Existing videos, as a model among others: a folder of files instead of a generator."""

from collections.abc import Callable, Mapping
from pathlib import Path

from mora.errors import machine_fault
from mora.media import MediaError, find_videos, ref
from mora.records import Failure, MediaRef, TaskName, Video, content_hash


def import_folder(
    folder: Path,
    run: Path,
    prompts: Mapping[str, str],
    *,
    model: str,
    task: TaskName = TaskName.TEXT_TO_VIDEO,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Video]:
    """Describes all videos below a folder. The files stay where they are.

    Args:
        folder: The folder; what counts as a video in it is told by `mora.media.find_videos`.
        run: Folder of the run that the videos are for.
        prompts: Prompt of each video, by path relative to `folder`; others have none.
        model: Name of the videos' model in tables.
        task: The task that they were made for.
        report: Called with the videos that are read and their number.

    Returns:
        One video for each file, sorted by path, then one for each path in `prompts` that is not
        there. What cannot be read is a failure.

    Raises:
        MediaNotFoundError: `folder` is not a folder.
        Exception: The machine is at fault, see `mora.errors.machine_fault`.
    """
    names = [path.relative_to(folder).as_posix() for path in find_videos(folder)]
    names += [name for name in prompts if name not in set(names)]
    videos = []
    for done, name in enumerate(names):
        report(done, len(names))
        media, failure = _look(folder / name, run)
        videos.append(
            Video(
                id=_identity(name, prompts.get(name), model, task),
                model=model,
                task=task,
                prompt_id=name,
                text=prompts.get(name),
                source=str(folder / name),
                media=media,
                failure=failure,
            )
        )
    report(len(names), len(names))
    return videos


def _look(path: Path, run: Path) -> tuple[MediaRef | None, Failure | None]:
    try:
        return ref(path, run), None
    except MediaError as error:
        return None, error.failure()
    except Exception as error:
        if machine_fault(error) is not None:
            raise
        return None, Failure.unforeseen(error)


def _identity(name: str, text: str | None, model: str, task: TaskName) -> str:
    """Hash of where a video is in its folder and what it was made from.

    Its content is not part of it: a file that was mended takes the place of its failure, and one
    that was exchanged is noticed by the ledger.
    """
    return content_hash([model, task, name, text])[:20]
