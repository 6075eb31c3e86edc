"""Existing videos, as a model among others: a folder of files instead of a generator."""

from collections.abc import Callable, Mapping
from pathlib import Path

from mora.errors import machine_fault
from mora.media import MediaError, find_videos, ref
from mora.records import (
    Failure,
    FailureKind,
    MediaRef,
    Origin,
    Role,
    TaskName,
    Video,
    content_hash,
)


def import_folder(
    folder: Path,
    run: Path,
    origins: Mapping[str, Origin],
    *,
    model: str,
    task: TaskName = TaskName.TEXT_TO_VIDEO,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Video]:
    """Describes all videos below a folder. The files stay where they are.

    Args:
        folder: The folder; what counts as a video in it is told by `mora.media.find_videos`.
        run: Folder of the run that the videos are for.
        origins: What each video was made from, by path relative to `folder`; of others nothing
            is known.
        model: Name of the videos' model in tables.
        task: The task that they were made for.
        report: Called with the videos that are read and their number.

    Returns:
        One video for each file, sorted by path, then one for each path in `origins` that is not
        there. What cannot be read is a failure, of the video or of what it was made from.

    Raises:
        MediaNotFoundError: `folder` is not a folder.
        Exception: The machine is at fault, see `mora.errors.machine_fault`.
    """
    names = [path.relative_to(folder).as_posix() for path in find_videos(folder)]
    names += [name for name in origins if name not in set(names)]
    videos = []
    for done, name in enumerate(names):
        report(done, len(names))
        found = _look(folder / name, run)
        origin = origins.get(name)
        text = None if origin is None else origin.prompt
        videos.append(
            Video(
                id=_identity(name, text, model, task),
                model=model,
                task=task,
                prompt_id=name,
                text=text,
                source=str(folder / name),
                media=found if isinstance(found, MediaRef) else None,
                failure=found if isinstance(found, Failure) else None,
                companions={} if origin is None else _companions(origin, run),
                given=None if origin is None else origin.given,
            )
        )
    report(len(names), len(names))
    return videos


def _companions(origin: Origin, run: Path) -> dict[Role, MediaRef | Failure]:
    companions: dict[Role, MediaRef | Failure] = {}
    for role, path in origin.inputs.items():
        found = _look(Path(path), run)
        wanted = "image" if role is Role.INPUT_IMAGE else "video"
        if isinstance(found, MediaRef) and found.kind != wanted:
            found = Failure(
                kind=FailureKind.NOT_A_VIDEO,
                message=f"{path}: found media of kind {found.kind}, and {role.value} is of kind "
                f"{wanted}.",
            )
        companions[role] = found
    return companions


def _look(path: Path, run: Path) -> MediaRef | Failure:
    try:
        return ref(path, run)
    except MediaError as error:
        return error.failure()
    except Exception as error:
        if machine_fault(error) is not None:
            raise
        return Failure.unforeseen(error)


def _identity(name: str, text: str | None, model: str, task: TaskName) -> str:
    """Hash of where a video is in its folder and what it was made from.

    Its content is not part of it: a file that was mended takes the place of its failure, and one
    that was exchanged is noticed by the ledger.
    """
    return content_hash([model, task, name, text])[:20]
