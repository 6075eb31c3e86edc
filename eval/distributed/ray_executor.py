"""Scores videos on the workers of a Ray cluster.

Here is the driver's side: it hands out ids, takes back scores, replaces workers that died, and is
the only one that gives anything to the ledger.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from eval.cache.machine import device_name
from eval.decode import OutOfMemory, Read
from eval.distributed.cluster import cluster, require_ray, room
from eval.distributed.hands import Hands
from eval.executors import DECODING, cores
from eval.plan import Plan
from eval.scoring import Scored
from metrics.networks import Networks
from mora.errors import MachineError, SettingError
from mora.records import FailureKind, MediaRef, Video

if TYPE_CHECKING:
    import ray

    from eval.distributed.worker import Job

CALLS: Final = 2
"""Calls that a worker has at once: it computes one while it decodes the next."""

TICK: Final = 1.0
"""Seconds after which the driver looks up from waiting."""

TIDYING: Final = 10.0
"""Seconds that workers have to take away what they fetched."""


@dataclass(frozen=True)
class RayExecutor:
    """Workers on one machine or many, each a process with a share of a GPU or some CPU cores.

    Attributes:
        workers: How many; `None` takes as many as the cluster has room for.
        gpus: Share of a GPU that each has, such as 0.5; 0 computes on the CPU. `None` takes 1
            where the networks' device is a GPU, else 0.
        cpus: Cores that each reserves, for decoding and, without a GPU, for computing. `None`
            takes 2 with a GPU, else as many as torch has threads here.
        address: Of a cluster that is there: `auto`, `HOST:PORT` or `ray://HOST:PORT`; `None`
            starts one on this machine.
        videos_at_once: Videos that each call of a worker holds decoded at once; `None` takes one
            more than it decodes at once.
        videos_per_call: Most videos that a worker is handed at once. A call ends with forwards
            that are not full; a worker that dies loses what it was handed.
        retries: Times that a video is tried again when its worker died, and that a worker is
            started again when it does not come up.
        run_at: Where workers find the run's folder: `None` is under its path here; else an
            address that fsspec reads, from which they fetch the media.
        weights_at: Folder where workers find the weights; `None` is their path here.
        same_device: Whether workers have to compute on the kind of device that this process would.
        read: Gives the videos' pixels in the workers; `None` reads their files.
        patience: Seconds to wait for a worker while there is none.
    """

    workers: int | None = None
    gpus: float | None = None
    cpus: int | None = None
    address: str | None = None
    videos_at_once: int | None = None
    videos_per_call: int = 16
    retries: int = 2
    run_at: str | None = None
    weights_at: str | None = None
    same_device: bool = False
    read: Read | None = None
    patience: float = 300.0

    def __post_init__(self) -> None:
        least = {
            "workers": 1,
            "cpus": 1,
            "videos_at_once": 1,
            "videos_per_call": 1,
            "retries": 0,
            "gpus": 0,
        }
        for name, value in least.items():
            found = getattr(self, name)
            if found is not None and found < value:
                raise ValueError(f"{name}={found}: expected at least {value}.")

    def scored(self, work: Plan, networks: Networks, run: Path) -> Iterator[Scored]:
        """Scores videos on the cluster's workers, each once, in the order in which they come.

        A video whose workers died one after another is left unscored, with the reason, and ends
        nothing.

        Raises:
            SettingError: Ray is not installed, or a metric asks for captions, whose answers are
                kept in the ledger, where workers do not write.
            UnlikeWorkerError: A worker would not compute what this process would.
            MachineError: No worker comes up, or there is no cluster.
            WeightsError: Weights cannot be read.
            OSError: A worker's system is exhausted, see `mora.errors.machine_fault`.
        """
        if work.captioned:
            raise SettingError(
                "executor=ray asks no captioner: its answers are kept in the run's ledger, where "
                "only one process writes. Say captioner=none here, and afterwards "
                "executor=local metrics=[video_ti] for the same run."
            )
        if not work.videos:
            return
        require_ray()
        gpus, cpus = self._share(networks)
        wanted = max(cores(), cpus * (self.workers or 1))
        with cluster(self.address, cpus=wanted, gpus=gpus > 0):
            yield from _Crew(self, work, networks, run, gpus, cpus).scored()

    def _share(self, networks: Networks) -> tuple[float, int]:
        """GPUs and cores of one worker."""
        gpus = self.gpus
        if gpus is None:
            gpus = 1.0 if networks.device.type == "cuda" else 0.0
        cpus = self.cpus
        if cpus is None:
            cpus = 2 if gpus else torch.get_num_threads()
        return gpus, cpus


@dataclass
class _Member:
    """A worker as the driver sees it.

    Attributes:
        name: Its name here.
        actor: Ray's handle of it.
        starting: What it says when it is prepared, as long as it has not.
        machine: Name of its machine, once it is prepared.
        calls: What it is scoring, with the ids of the videos.
    """

    name: str
    actor: Any
    starting: "ray.ObjectRef[str] | None"
    machine: str | None = None
    calls: "dict[ray.ObjectRef[list[Scored]], tuple[str, ...]]" = field(default_factory=dict)


class _Crew:
    """The workers of one evaluation, while there is a cluster."""

    def __init__(
        self,
        settings: RayExecutor,
        work: Plan,
        networks: Networks,
        run: Path,
        gpus: float,
        cpus: int,
    ) -> None:
        import ray

        from eval.distributed.worker import Worker

        self._settings = settings
        self._run = run.resolve()
        self._videos = {video.id: video for video in work.videos}
        self._hands = Hands(list(self._videos), settings.videos_per_call, settings.retries)
        self._job = ray.put(_job(settings, work, networks, self._run, gpus, cpus))
        self._need = {"CPU": float(cpus), "GPU": gpus}
        self._members: list[_Member] = []
        self._names = map(str, count())
        self._failed_starts = 0
        self._actor_class: Any = ray.remote(Worker).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_concurrency=CALLS,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )

    def scored(self) -> Iterator[Scored]:
        """Keeps all workers busy until every video has come out once."""
        import ray

        size = min(self._settings.workers or self._places(), len(self._videos))
        for _ in range(size):
            self._start()
        alone_since = time.monotonic()
        try:
            while self._hands.left:
                self._hand_out()
                waited = [*self._starting(), *self._calls()]
                done, _ = ray.wait(waited, num_returns=1, timeout=TICK)
                # All that is there: what a worker finished before it died is not lost with it.
                done, _ = ray.wait(waited, num_returns=len(waited), timeout=0)
                for ref in done:
                    yield from self._arrived(ref)
                if any(member.machine for member in self._members):
                    alone_since = time.monotonic()
                elif time.monotonic() - alone_since > self._settings.patience:
                    raise MachineError(self._no_room())
        finally:
            self._dismiss()

    def _dismiss(self) -> None:
        """Ends the workers."""
        import ray

        able = [member.actor for member in self._members if member.machine is not None]
        if able and self._settings.run_at is not None:
            leaving = [actor.leave.remote() for actor in able]
            ray.wait(leaving, num_returns=len(leaving), timeout=TIDYING)
        for member in self._members:
            ray.kill(member.actor)

    def _places(self) -> int:
        """Workers that the cluster has room for; at least one, since it may still grow."""
        found = room()
        return max(1, min(int(found[name] / need) for name, need in self._need.items() if need))

    def _start(self) -> None:
        from eval.distributed.worker import versions

        actor = self._actor_class.remote()
        starting = actor.prepare.remote(versions(), [self._job])
        self._members.append(_Member(next(self._names), actor, starting))

    def _starting(self) -> "dict[ray.ObjectRef[str], _Member]":
        return {each.starting: each for each in self._members if each.starting is not None}

    def _calls(self) -> "dict[ray.ObjectRef[list[Scored]], _Member]":
        return {ref: member for member in self._members for ref in member.calls}

    def _hand_out(self) -> None:
        """Gives each worker what it may have."""
        for member in self._members:
            while member.machine is not None and len(member.calls) < CALLS:
                ids = self._hands.take(member.name, len(self._members))
                if not ids:
                    break
                member.calls[member.actor.score.remote(list(ids))] = ids

    def _arrived(self, ref: "ray.ObjectRef[Any]") -> Iterator[Scored]:
        """Takes what a worker answered, or finds that it died."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        member = self._starting().get(ref) or self._calls().get(ref)
        if member is None:  # it died before it could be asked for this
            return
        try:
            answer = ray.get(ref)
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            if not _broken_gpu(cause):
                raise cause from error
            yield from self._died(member, str(cause))
        except RayError as error:
            yield from self._died(member, _told(error))
        else:
            if ref == member.starting:
                member.machine, member.starting = answer, None
                self._failed_starts = 0
                return
            for scored in answer:
                check_sight(scored, self._run, member.machine)
                self._hands.finished(member.name, scored.video.id)
                yield scored
            del member.calls[ref]

    def _died(self, member: _Member, reason: str) -> Iterator[Scored]:
        """Replaces a worker, and tells of a video that it was one too many for."""
        import ray

        self._members.remove(member)
        ray.kill(member.actor)
        if member.machine is None:
            self._failed_starts += 1
            if self._failed_starts > self._settings.retries:
                raise MachineError(
                    f"executor=ray: {self._failed_starts} workers one after another did not come "
                    f"up. The last said: {reason}"
                )
        for id_ in self._hands.died(member.name):
            deaths = self._hands.deaths[id_]
            lack = OutOfMemory(
                f"{deaths} workers died with it in hand, the last, on {member.machine}, with "
                f"nothing else: {reason}"
            )
            yield Scored(self._videos[id_], (), lack)
        if len(self._members) < self._hands.left:
            self._start()

    def _no_room(self) -> str:
        found, need = room(), self._need
        return (
            f"executor=ray: no worker came up within {self._settings.patience:g} s. A worker needs "
            f"{need['CPU']:g} cores and {need['GPU']:g} GPUs on one machine; the cluster has "
            f"{found['CPU']:g} and {found['GPU']:g}. Lower executor.cpus or executor.gpus, or wait "
            "until others have left."
        )


def check_sight(scored: Scored, run: Path, machine: str | None) -> None:
    """Sees to it that a file that a worker does not find is not taken for the video's failure.

    Args:
        scored: What a worker made of a video.
        run: Folder of the run, here.
        machine: The worker's.

    Raises:
        UnlikeWorkerError: It found no file where this process does.
    """
    from eval.distributed.worker import UnlikeWorkerError

    failures = (score.failure for score in scored.scores)
    if not any(each is not None and each.kind == FailureKind.NOT_FOUND for each in failures):
        return
    paths = _paths(scored.video, run)
    if paths and all(path.exists() for path in paths):
        raise UnlikeWorkerError(
            f"the worker on {machine} does not find {' or '.join(map(str, paths))}, which is there "
            "for this process. Put the media on storage that all machines share under one path, or "
            "copy all of the run to executor.run_at."
        )


def _job(
    settings: RayExecutor, work: Plan, networks: Networks, run: Path, gpus: float, cpus: int
) -> "Job":
    """What the workers are told."""
    from eval.distributed.worker import Job

    decoding = min(DECODING, cpus) if gpus else 1
    return Job(
        work=work,
        weights=networks.weights,
        precision=networks.precision,
        weights_folder=settings.weights_at or str(networks.folder.resolve()),
        checkpoints=networks.checkpoints(work.backbones),
        run=settings.run_at or str(run),
        fetched=settings.run_at is not None,
        read=settings.read,
        videos_at_once=settings.videos_at_once or decoding + 1,
        decoding=decoding,
        threads=torch.get_num_threads(),
        on_gpu=gpus > 0,
        device=device_name(networks.device) if settings.same_device else None,
    )


def _paths(video: Video, run: Path) -> list[Path]:
    """The files of a video and of what it was made from."""
    media = [video.media, *video.companions.values()]
    return [run / each.path for each in media if isinstance(each, MediaRef)]


def _broken_gpu(error: Exception) -> bool:
    """Whether a worker's GPU failed, after which a new process may still compute on it."""
    from eval.distributed.worker import UnlikeWorkerError

    return isinstance(error, MachineError) and not isinstance(error, UnlikeWorkerError)


def _told(error: Exception) -> str:
    """What Ray says of a worker's death, in one line: its first sentences are the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = ("class_name:", "actor_id:", "namespace:")
    return " ".join(line for line in lines if not line.startswith(named))[:400]
