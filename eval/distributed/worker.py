"""One worker: a process of its own, on one share of a GPU or on CPU cores.

It decodes in its own threads. Frames never pass through Ray's object store: what travels is the
descriptions of videos and their scores. It reads the run's media and the weights, and writes
nothing into the ledger, which only the driver's process may.
"""

import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from threading import Lock

import ray
import torch

from eval.cache.machine import device_name, environment
from eval.decode import Read, decode_ahead
from eval.distributed.storage import Fetching, Storage
from eval.ledger.schema import FILE_NAME
from eval.plan import Plan
from eval.scoring import Scored, Scorer
from metrics.networks import Networks, Precision, Weights
from mora import __version__
from mora.errors import MachineError
from mora.media import DECODER
from mora.records import Video


class UnlikeWorkerError(MachineError):
    """A worker would not compute what this process would, so it computes nothing."""


@dataclass(frozen=True)
class Job:
    """What all workers of an evaluation are given.

    Attributes:
        work: The plan, without captioned metrics.
        weights: The set of weights.
        precision: How networks compute.
        weights_folder: Their folder as workers see it.
        checkpoints: Sha256 of the weights that the plan needs, as the driver found them.
        run: The run's folder as workers see it; in storage that is no file system of theirs, an
            address that fsspec reads.
        fetched: Whether the run's media are fetched from `run` before they are read.
        read: Gives the videos' pixels; `None` reads their files.
        videos_at_once: Videos that a worker holds decoded at once for each of its two calls.
        decoding: Videos that it decodes at once for each.
        threads: Threads that torch computes with. A sum over several threads is another sum, so
            on a CPU the last bits of a number depend on it.
        on_gpu: Whether the worker has a share of a GPU.
        device: Name of the device that it has to compute on; `None` leaves that open.
    """

    work: Plan
    weights: Weights
    precision: Precision
    weights_folder: str
    checkpoints: Mapping[str, str]
    run: str
    fetched: bool
    read: Read | None
    videos_at_once: int
    decoding: int
    threads: int
    on_gpu: bool
    device: str | None


def versions() -> dict[str, str]:
    """What has to be the same wherever numbers are to be the same, the most telling first."""
    return {
        "mora-bench": __version__,
        "torch": str(torch.__version__),
        "decoder": DECODER,
        "libraries and source": environment("")[:12],
    }


class Worker:
    """Scores videos of a plan. Two calls run at once: one decodes while the other computes."""

    def __init__(self) -> None:
        self._scoring = Lock()
        self._fetching = Lock()
        self._job: Job | None = None
        self._scorer: Scorer | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def prepare(self, expected: Mapping[str, str], job: Sequence["ray.ObjectRef[Job]"]) -> str:
        """Makes sure that it computes what the driver would, and loads the networks.

        Args:
            expected: The driver's `versions()`. They are compared first, since between other
                versions the job might not be read.
            job: Refers to the job, in a list, so that Ray does not read it beforehand.

        Returns:
            Name of its machine.

        Raises:
            UnlikeWorkerError: Versions or weights differ, or it does not see the run or a GPU.
            WeightsError: Weights cannot be read.
        """
        found = versions()
        unlike = [
            f"{name} {found[name]}, expected {version}"
            for name, version in expected.items()
            if found[name] != version
        ]
        if unlike:
            raise UnlikeWorkerError(
                f"the worker on {self.machine} has {unlike[0]} as here. Install the same versions "
                "on every machine (docs/distributed.md)."
            )
        self._job = ray.get(job[0])
        self._scorer = self._ready(self._job)
        return self.machine

    def leave(self) -> None:
        """Takes away what it fetched."""
        if self._scratch is not None:
            self._scratch.cleanup()

    def score(self, videos: Sequence[str]) -> list[Scored]:
        """Scores videos of the plan, by id; each comes out once, in any order.

        Raises:
            MachineError: The GPU failed.
            OSError: The system's means are exhausted, see `mora.errors.machine_fault`.
        """
        if self._job is None or self._scorer is None:
            raise RuntimeError("a worker is prepared before it scores")
        job, chosen = self._job, [self._videos[each] for each in videos]
        with self._reading(job) as (read, run):
            decoded = decode_ahead(chosen, run, job.videos_at_once, read, job.decoding)
            # The first is decoded, and those after it begun, before this call's turn comes.
            first = [next(decoded)]
            with self._scoring:
                # The number counts for the thread that sets it.
                torch.set_num_threads(job.threads)
                return list(self._scorer.score(chain(first, decoded)))

    @property
    def machine(self) -> str:
        """Name of the machine that it runs on."""
        return socket.gethostname()

    @cached_property
    def _videos(self) -> dict[str, Video]:
        return {} if self._job is None else {video.id: video for video in self._job.work.videos}

    def _ready(self, job: Job) -> Scorer:
        """Looks whether all is here that the job needs, and loads its networks."""
        if job.on_gpu and not torch.cuda.is_available():
            raise UnlikeWorkerError(
                f"the worker on {self.machine} was given a GPU, and torch finds none there."
            )
        if not job.fetched and not Path(job.run, FILE_NAME).is_file():
            raise UnlikeWorkerError(
                f"the worker on {self.machine} sees no run in {job.run}. Put the run on storage "
                "that all machines share under one path, or say executor.run_at=ADDRESS."
            )
        device = torch.device("cuda" if job.on_gpu else "cpu")
        torch.set_num_threads(job.threads)
        if job.device not in (None, device_name(device)):
            raise UnlikeWorkerError(
                f"the worker on {self.machine} computes on {device_name(device)}, and this process "
                f"would on {job.device}. The last digits of scores may differ, and the cache keeps "
                "them under one device's name: say cache=none, or start on a machine like it."
            )
        folder = Path(job.weights_folder)
        networks = Networks(job.weights, folder, device, precision=job.precision)
        try:
            found = networks.checkpoints(job.work.backbones)
        except FileNotFoundError as error:
            raise UnlikeWorkerError(
                f"the worker on {self.machine} lacks weights: {error}. Copy them there, or name "
                "their folder with executor.weights_at=FOLDER."
            ) from error
        unlike = [name for name, sha256 in job.checkpoints.items() if found[name] != sha256]
        if unlike:
            raise UnlikeWorkerError(
                f"the worker on {self.machine} has other weights in {job.weights_folder} than are "
                f"here: {', '.join(unlike)} differ in their sha256. Copy them anew."
            )
        for name in job.work.backbones:
            _ = networks[name]
        if job.fetched:
            self._scratch = tempfile.TemporaryDirectory(prefix="mora-worker-")
        run = job.run if self._scratch is None else self._scratch.name
        return Scorer(job.work, networks, Path(run))

    @contextmanager
    def _reading(self, job: Job) -> Iterator[tuple[Read | None, Path]]:
        """How videos are read during a call, and the folder that their paths are relative to.

        Videos that were fetched go with the call; what they were made from stays, since other
        videos may have been made from it as well.
        """
        if self._scratch is None:
            yield job.read, Path(job.run)
            return
        kept = Path(self._scratch.name)
        with tempfile.TemporaryDirectory(dir=kept) as folder:
            yield Fetching(Storage(job.run), kept, job.read, self._fetching), Path(folder)
