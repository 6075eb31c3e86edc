"""Runs a generator stage by stage and stores what each stage makes before the next begins.

A model is loaded once, takes all items that are left to do in batches, and is released before
the next one comes. What was made is found again by the content of its inputs, so a killed run
goes on after the last stored item, and generators share what they would make alike.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from mora.errors import MachineError, RefusedError, machine_fault
from mora.generator import Generator
from mora.media import Clip, MediaError, MediaStore, read_image
from mora.records import (
    INPUT_ROLES,
    Artifact,
    Failure,
    FailureKind,
    Given,
    Json,
    MediaRef,
    Request,
    TaskName,
    Video,
    content_hash,
)
from mora.tasks.stage import Inputs, Product, Slot, Stage, Worker


class Journal(Protocol):
    """Where a run is written down. Each call is stored when it returns."""

    def add_requests(self, requests: Iterable[Request]) -> None:
        """Adds requests; those that are there already stay."""
        ...

    def artifact(self, key: str) -> Artifact | None:
        """The artifact of this key, if it was made."""
        ...

    def record_artifact(self, request_id: str, artifact: Artifact) -> None:
        """Stores an artifact for a request; it replaces a failure of the same key."""
        ...

    def link(self, request_id: str, key: str) -> None:
        """Says that a stored artifact serves another request, too."""
        ...

    def add_videos(self, videos: Iterable[Video]) -> None:
        """Adds videos; those that are there already stay, but for failures."""
        ...


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes:
        generator: Name of the generator.
        stage: Name of the stage.
        done: Items that are stored, failed ones included.
        total: Items of the stage.
        failed: Items that failed.
    """

    generator: str
    stage: str
    done: int
    total: int
    failed: int


@dataclass
class State:
    """What a request has come to so far.

    Attributes:
        text: The text in force.
        media: The picture and the video in force, as far as they are made.
        failed: What failed first; nothing is made after it.
    """

    text: str
    media: dict[Slot, MediaRef] = field(default_factory=dict)
    failed: Artifact | None = None


@dataclass
class Job:
    """One artifact to be made, for all requests that need it."""

    key: str
    seed: int
    text: str
    image: MediaRef | None
    failed: Artifact | None
    """What failed before, so that there is nothing to work on."""
    requests: list[str]


@dataclass
class Runner:
    """Makes the videos of a run.

    Attributes:
        journal: Where what was made is written down.
        store: Where media are kept.
        device: Torch device of the models.
        report: Called with the progress of a stage whenever it changes.
        retry_failures: Whether what failed in an earlier session is tried again.
    """

    journal: Journal
    store: MediaStore
    device: str = "cpu"
    report: Callable[[Progress], None] = lambda _: None
    retry_failures: bool = False

    def run(self, generator: Generator, task: TaskName, requests: Sequence[Request]) -> list[Video]:
        """Makes a video for each request, or records why there is none.

        Args:
            generator: What makes them.
            task: The requests' task.
            requests: What is asked for; their model is the generator's name.

        Returns:
            One video for each request, in their order; they are in the journal, too.

        Raises:
            SettingError: The generator cannot do the task, or a model's settings are wrong.
            CheckpointError: Weights are missing.
            MachineError: Memory does not suffice for one item, or the GPU failed.
            OSError: The system's means are exhausted, see `mora.errors.machine_fault`.
        """
        self.journal.add_requests(requests)
        states = {request.id: State(request.prompt.text) for request in requests}
        stages = generator.stages(task)
        for stage in stages:
            jobs = _jobs(stage, requests, states)
            artifacts = self._run_stage(generator.name, stage, jobs)
            for job in jobs:
                for request_id in job.requests:
                    _advance(states[request_id], stage, artifacts[job.key])
        videos = [_video(request, stages, states[request.id]) for request in requests]
        self.journal.add_videos(videos)
        return videos

    def _run_stage(self, generator: str, stage: Stage, jobs: Sequence[Job]) -> dict[str, Artifact]:
        """Returns an artifact for each job, stored ones and new ones."""
        artifacts: dict[str, Artifact] = {}
        for job in jobs:
            stored = self.journal.artifact(job.key)
            if stored is not None and self._stands(stored):
                artifacts[job.key] = stored
                for request_id in job.requests:
                    self.journal.link(request_id, job.key)

        def report() -> None:
            failed = sum(artifact.failure is not None for artifact in artifacts.values())
            self.report(Progress(generator, stage.name, len(artifacts), len(jobs), failed))

        def record(job: Job, artifact: Artifact) -> None:
            for request_id in job.requests:
                self.journal.record_artifact(request_id, artifact)
            artifacts[job.key] = artifact
            report()

        report()
        pending = [job for job in jobs if job.key not in artifacts]
        for job in pending:
            if job.failed is not None:
                record(job, self._artifact(stage, job, _upstream(job.failed), 0.0))
        pending = [job for job in pending if job.failed is None]
        if pending:
            with stage.open(self.device) as worker:
                for start in range(0, len(pending), stage.batch_size):
                    batch = pending[start : start + stage.batch_size]
                    for job, product, seconds in self._make(worker, batch):
                        record(job, self._artifact(stage, job, product, seconds))
        return artifacts

    def _stands(self, artifact: Artifact) -> bool:
        """Whether a stored artifact can be used as it is."""
        if artifact.failure is not None:
            return not self.retry_failures
        return artifact.media is None or (self.store.root / artifact.media.path).is_file()

    def _make(
        self, worker: Worker, jobs: Sequence[Job]
    ) -> Iterator[tuple[Job, Product | Failure, float]]:
        """Yields what the model makes of each job, and the seconds spent on it.

        Where a batch fails, what it still owes is tried item by item, so that only the items that
        fail alone are failures. What the machine fails at is none: less memory may do for one
        item, and where it does not, or the GPU fails, the session ends.
        """
        done = 0
        failure: Failure | None = None
        try:
            for product, seconds in self._timed(worker, jobs):
                yield jobs[done], product, seconds
                done += 1
        except Exception as error:
            fault = machine_fault(error)
            if fault == "system":
                raise
            if fault == "device" or (fault == "memory" and len(jobs) == 1):
                raise MachineError(_machine(fault, error)) from error
            failure = _failure(error)
        # From here on the error is gone, and with it the memory that its traceback held.
        owed = jobs[done:]
        if failure is None and owed:
            raise RuntimeError(f"a model made {done} results of {len(jobs)} items")
        if failure is not None and len(jobs) == 1 and owed:
            yield owed[0], failure, 0.0
            return
        for job in owed:
            yield from self._make(worker, [job])

    def _timed(
        self, worker: Worker, jobs: Sequence[Job]
    ) -> Iterator[tuple[Product | Failure, float]]:
        started = time.monotonic()
        inputs = [self._inputs(job) for job in jobs]
        for product in worker(inputs):
            now = time.monotonic()
            yield product, now - started
            started = time.monotonic()

    def _inputs(self, job: Job) -> Inputs:
        picture = read_image(self.store.root / job.image.path) if job.image is not None else None
        return Inputs(job.text, picture, job.seed)

    def _artifact(
        self, stage: Stage, job: Job, product: Product | Failure, seconds: float
    ) -> Artifact:
        """Stores what was made, media before the record that names them."""
        text, media, failure = None, None, None
        try:
            if isinstance(product, Failure):
                failure = product
            elif isinstance(product, str):
                text = product
            elif isinstance(product, Clip):
                media = self.store.add_video(product.frames, product.fps)
            else:
                media = self.store.add_image(product)
        except (MediaError, ValueError) as error:  # frames that cannot be stored; not a full disk
            failure = _failure(error)
        return Artifact(
            key=job.key,
            stage=stage.name,
            model=stage.model,
            text=text,
            media=media,
            seed=job.seed,
            seconds=seconds,
            failure=failure,
        )


def _jobs(stage: Stage, requests: Sequence[Request], states: Mapping[str, State]) -> list[Job]:
    """Returns what a stage has to make, once each, in the order of the requests."""
    jobs: dict[str, Job] = {}
    for request in requests:
        state = states[request.id]
        seed = int(content_hash([request.seed, stage.name])[:15], 16)
        if state.failed is not None:
            content: Json = {"failed": state.failed.key}
        else:
            content = {slot: _content(state, slot) for slot in stage.takes}
        key = content_hash([stage.name, stage.recipe, content, seed])
        image = state.media.get("image") if "image" in stage.takes else None
        job = jobs.setdefault(key, Job(key, seed, state.text, image, state.failed, []))
        job.requests.append(request.id)
    return list(jobs.values())


def _content(state: State, slot: Slot) -> str:
    return state.text if slot == "text" else state.media[slot].sha256


def _advance(state: State, stage: Stage, artifact: Artifact) -> None:
    """Puts what a stage made in force."""
    if artifact.failure is not None:
        state.failed = state.failed or artifact
    elif artifact.text is not None:
        state.text = artifact.text
    elif artifact.media is not None:
        state.media[stage.makes] = artifact.media


def _failure(error: Exception) -> Failure:
    if isinstance(error, MediaError):
        return error.failure()
    if isinstance(error, RefusedError):
        return Failure(kind=FailureKind.REFUSED, message=str(error))
    return Failure.unforeseen(error)


def _machine(fault: Literal["memory", "device"], error: Exception) -> str:
    """What to tell where the machine ends the session."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    if fault == "device":
        return f"the GPU failed ({said}). What was made is stored; the same command goes on."
    return (
        f"memory does not suffice for a single item ({said}). Free some, name another "
        "executor.device, or ask the model for fewer or smaller frames. What was made is stored; "
        "the same command goes on from there."
    )


def _upstream(failed: Artifact) -> Failure:
    reason = failed.failure.message if failed.failure is not None else ""
    return Failure(kind=FailureKind.UPSTREAM, message=f"{failed.stage} failed: {reason}")


def _video(request: Request, stages: Sequence[Stage], state: State) -> Video:
    task = request.prompt.task
    failure = state.failed.failure if state.failed is not None else None
    if state.failed is not None and state.failed.stage != stages[-1].name:
        failure = _upstream(state.failed)
    return Video(
        id=request.id,
        model=request.model,
        task=task,
        prompt_id=request.prompt.id,
        text=request.prompt.text,
        seed=request.seed,
        media=None if failure is not None else state.media["video"],
        failure=failure,
        companions=dict(zip(INPUT_ROLES.get(task, ()), request.inputs, strict=False)),
        given=Given() if task is TaskName.EDIT_VIDEO else None,  # an edited frame is a new one
    )
