"""The Ray executor on a cluster of three nodes, and on one that it starts itself.

The nodes are sets of processes on this machine, as Ray's own tests have them. Starting a worker
loads torch, so there are few of them, and every evaluation shows more than one thing.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import torch
from goldens.golden import clip as golden_clip

import eval.engine as engine
from eval.decode import Pieces, decode
from eval.distributed.ray_executor import RayExecutor, check_sight
from eval.executors import Local
from eval.ledger import Ledger
from eval.plan import make_plan
from eval.scoring import Scored
from lab.world.reader import WorldReader
from metrics.captioners.captioner import Captions, NoStore
from metrics.networks import Networks
from metrics.protocol import load_protocol
from metrics.registry import make_metrics
from mora.checkpoints import mini_weights
from mora.errors import MachineError, SettingError
from mora.media import Clip, ref, write_video
from mora.records import Failure, FailureKind, Role, Score, Video

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

SOUND = load_protocol("sound")
METRICS = ("object_consistency", "temporal_style", "video_length_s")
CLIPS = 12
CORRUPT = "7"
CLOSED = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
}
"""As the executor sets it for a cluster of its own: it listens on the loopback interface alone."""

AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Of Ray's processes the two that outlive a killed driver, by a minute: first they try to tell it
that the rest is gone. They hold neither the run nor a GPU."""

Scores = dict[tuple[str, str], Score]


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CLOSED.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def short() -> Iterator[Path]:
    """A folder for sockets, whose paths are too long below pytest's own folders."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def nodes(quiet: None, short: Path) -> "Iterator[Cluster]":
    """A head that only keeps the books, and two nodes for two workers each."""
    from ray.cluster_utils import Cluster  # Ray reads what is set above when it is imported

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(short))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        for _ in range(2):
            cluster.add_node(num_cpus=2, wait=False)
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks("mini", mini_weights(), torch.device("cpu"))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(CLIPS):
        frames = golden_clip(f"ray {number}", 2 + number % 3, 128, 128, float(number % 5))
        write_video(folder / f"{number}.mp4", frames, 7.0)
    whole = (folder / f"{CORRUPT}.mp4").read_bytes()
    (folder / f"{CORRUPT}.mp4").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="module")
def expected(clips: Path, networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Scores:
    scores, _ = score(clips, tmp_path_factory.mktemp("local") / "run", networks, Local())
    assert {key[0] for key, each in scores.items() if each.failure} == {CORRUPT}
    return scores


def videos_of(clips: Path, run: Path) -> list[Video]:
    """The clips as videos of a run, in whose folder they lie."""
    shutil.copytree(clips, run, dirs_exist_ok=True)
    whole = ref(run / "0.mp4", run)
    videos = []
    for number in range(CLIPS):
        path = run / f"{number}.mp4"
        corrupt = whole.model_copy(update={"path": path.name, "sha256": "0"})
        media = corrupt if str(number) == CORRUPT else ref(path, run)
        text = f"a circle, take {number}"
        videos.append(Video(id=str(number), model="mora", text=text, media=media))
    return videos


def score(
    clips: Path,
    run: Path,
    networks: Networks,
    executor: engine.Executor,
    *,
    seed: int | None = None,
    report: Callable[[engine.Progress], None] = lambda _: None,
) -> tuple[Scores, engine.Progress]:
    """Scores the clips in a new run, in their order or another."""
    videos = videos_of(clips, run)
    if seed is not None:
        random.Random(seed).shuffle(videos)
    counted: list[str] = []

    def told(progress: engine.Progress) -> None:
        if progress.video is not None:
            counted.append(progress.video.id)
        report(progress)

    with Ledger.open(run, {}) as ledger:
        ledger.add_videos(videos)
        last = engine.evaluate(
            ledger, SOUND, networks, metrics=METRICS, executor=executor, report=told
        )
        assert sorted(counted) == sorted(video.id for video in videos), "lost or counted twice"
        return timeless(ledger, run), last


def timeless(ledger: Ledger, run: Path) -> Scores:
    """Scores by video and metric, without what differs from run to run: times and places."""
    scores = {}
    for each in ledger.all_scores():
        failure = each.failure
        if failure is not None:
            message = failure.message.replace(str(run), "RUN")
            failure = failure.model_copy(update={"message": message})
        kept = each.model_copy(update={"seconds": 0.0, "failure": failure})
        scores[each.video_id, each.metric] = kept
    return scores


def without(scores: Scores, *videos: str) -> Scores:
    return {key: each for key, each in scores.items() if key[0] not in videos}


def test_one_worker_on_another_machine_fetches_the_media_and_gives_the_same_bits(
    nodes: "Cluster", clips: Path, networks: Networks, expected: Scores, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    executor = RayExecutor(
        workers=1, address=nodes.address, run_at=f"file://{run}", videos_per_call=5
    )
    found, last = score(clips, run, networks, executor, seed=1)
    assert found.keys() == expected.keys()
    assert without(found, CORRUPT) == without(expected, CORRUPT)
    assert found[CORRUPT, METRICS[0]].failure.kind == expected[CORRUPT, METRICS[0]].failure.kind
    assert not last.unscored


def test_a_video_that_kills_its_workers_costs_only_itself(
    nodes: "Cluster", clips: Path, networks: Networks, expected: Scores, tmp_path: Path
) -> None:
    def deadly(video: Video, run: Path) -> Clip | Pieces | Failure:
        if video.id == "3":
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(video, run)

    executor = RayExecutor(
        workers=2, address=nodes.address, videos_per_call=3, retries=1, read=deadly
    )
    found, last = score(clips, tmp_path / "run", networks, executor)
    assert found == without(expected, "3")
    assert list(last.unscored) == ["3"]
    assert last.unscored["3"].startswith("2 workers died with it in hand, the last, on ")


def test_a_killed_worker_and_a_removed_node_cost_nothing(
    nodes: "Cluster", clips: Path, networks: Networks, expected: Scores, tmp_path: Path
) -> None:
    run, traces = tmp_path / "run", tmp_path / "traces"
    traces.mkdir()

    def traced(video: Video, folder: Path) -> Clip | Pieces | Failure:
        (traces / f"{os.getpid()} {video.id}").touch()
        return decode(video, folder)

    done: set[str] = set()
    killed: list[int] = []

    def busy() -> list[int]:
        """Workers that have read a video whose scores are not here yet."""
        pairs = [path.name.split() for path in traces.iterdir()]
        return [int(pid) for pid, video in pairs if video not in done]

    def strike(progress: engine.Progress) -> None:
        if progress.video is not None:
            done.add(progress.video.id)
        if len(done) == 1:
            killed.append(busy()[0])
            os.kill(killed[0], signal.SIGKILL)
        if len(done) == 4:
            removed = next(iter(nodes.worker_nodes))
            nodes.remove_node(removed, allow_graceful=False)

    executor = RayExecutor(workers=4, address=nodes.address, videos_per_call=1, read=traced)
    found, last = score(clips, run, networks, executor, seed=4, report=strike)
    assert found == expected
    assert not last.unscored
    assert killed
    assert len(nodes.worker_nodes) == 1


def test_killed_and_interrupted_drivers_leave_no_process_and_the_run_goes_on(
    clips: Path, networks: Networks, expected: Scores, tmp_path: Path, short: Path
) -> None:
    run = tmp_path / "run"
    with Ledger.open(run, {}) as ledger:
        ledger.add_videos(videos_of(clips, run))
    for signal_, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        before = scored(run)
        driver = evaluation(run, short)
        try:
            until(lambda count=before: scored(run) > count, driver)
            everyone = psutil.Process(driver.pid).children(recursive=True)
            assert any("raylet" in each.name() for each in everyone)
            assert strangers(everyone) == []
            if signal_ == signal.SIGINT:  # as a terminal sends it: to all that it started
                os.killpg(driver.pid, signal_)
            else:
                driver.send_signal(signal_)
            assert driver.wait(60) == status
        finally:
            driver.kill()
            driver.wait()
        agents = AGENTS if signal_ == signal.SIGKILL else ()
        assert left_after(30.0, everyone, agents) == set()
        assert before < scored(run) < CLIPS
    with Ledger.open(run) as ledger:
        engine.evaluate(ledger, SOUND, networks, metrics=METRICS)
        assert timeless(ledger, run) == expected


def test_what_cannot_be_done_is_said_before_it_begins(
    nodes: "Cluster", clips: Path, networks: Networks, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    executor = RayExecutor(workers=1, cpus=64, address=nodes.address, patience=0.5)
    with pytest.raises(MachineError, match="needs 64 cores and 0 GPUs on one machine; the cluster"):
        score(clips, run, networks, executor)
    captioning = Networks(
        "mini", networks.folder, networks.device, Captions(WorldReader(), NoStore())
    )
    videos = [
        each.model_copy(update={"companions": {Role.INPUT_IMAGE: each.media}})
        for each in videos_of(clips, run)
    ]
    with Ledger.open(tmp_path / "captioned", {}) as ledger:
        ledger.add_videos(videos)
        with pytest.raises(SettingError, match="executor=ray asks no captioner"):
            engine.evaluate(ledger, SOUND, captioning, metrics=["video_ti"], executor=RayExecutor())


def test_a_worker_that_would_compute_something_else_computes_nothing(
    clips: Path, networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval.distributed import worker

    run = tmp_path / "run"
    with Ledger.open(run, {}) as ledger:
        ledger.add_videos(videos_of(clips, run))
        work = make_plan(ledger, make_metrics(METRICS, SOUND), networks)
    job = worker.Job(
        work=work,
        weights="mini",
        precision="exact",
        weights_folder=str(networks.folder),
        checkpoints=networks.checkpoints(work.backbones),
        run=str(run),
        fetched=False,
        read=None,
        videos_at_once=1,
        decoding=1,
        threads=1,
        on_gpu=False,
        device=None,
    )
    monkeypatch.setattr(worker.ray, "get", lambda given: given)
    same = worker.versions()
    for versions, changed, said in (
        ({**same, "torch": "1.0"}, {}, "has torch .*, expected 1.0 as here"),
        (same, {"checkpoints": {"dino_mini": "0"}}, "other weights in .*: dino_mini differ"),
        (same, {"weights_folder": str(tmp_path)}, "lacks weights"),
        (same, {"run": str(tmp_path / "elsewhere")}, "sees no run in .*elsewhere"),
        (same, {"device": "NVIDIA H100"}, "this process would on NVIDIA H100"),
    ):
        with pytest.raises(worker.UnlikeWorkerError, match=said):
            worker.Worker().prepare(versions, [replace(job, **changed)])
    alike = worker.Worker()
    assert alike.prepare(same, [job]) == alike.machine
    assert [each.video.id for each in alike.score(["1"])] == ["1"]


def test_a_file_that_only_the_worker_misses_is_no_failure_of_the_video(
    clips: Path, tmp_path: Path
) -> None:
    from eval.distributed.worker import UnlikeWorkerError

    video = videos_of(clips, tmp_path)[0]
    missing = Failure(kind=FailureKind.NOT_FOUND, message="there is no such file")
    found = Scored(video, (Score(video_id="0", metric="tcon", fingerprint="f", failure=missing),))
    with pytest.raises(UnlikeWorkerError, match=r"the worker on far does not find .*0\.mp4"):
        check_sight(found, tmp_path, "far")
    (tmp_path / "0.mp4").unlink()
    check_sight(found, tmp_path, "far")


def evaluation(run: Path, temporary: Path) -> "subprocess.Popen[bytes]":
    """`mora evaluate` on a cluster of its own, in its own process."""
    settings = [
        f"run={run}", f"metrics=[{','.join(METRICS)}]", "captioner=none", "report=0", "cache=none",
        "executor=ray", "executor.device=cpu", "executor.workers=1", "executor.videos_per_call=1",
    ]  # fmt: skip
    environment = {name: each for name, each in os.environ.items() if name not in CLOSED}
    environment |= {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(temporary),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "mora", "evaluate", *settings],
        cwd=run,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def scored(run: Path) -> int:
    """Videos that have scores."""
    with Ledger.read(run) as ledger:
        return len({each.video_id for each in ledger.all_scores()})


def until(holds: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    while not holds():
        assert process.poll() is None, "it ended too early"
        time.sleep(0.02)


def left_after(seconds: float, processes: list[psutil.Process], but: Collection[str]) -> set[str]:
    """Names of those that are still there after a while, with exceptions."""
    end = time.monotonic() + seconds
    while left := {living(each) for each in processes} - {None, *but}:
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return left


def living(process: psutil.Process) -> str | None:
    """A process's name, unless it has ended; the dead that wait for burial have."""
    try:
        alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return process.name() if alive else None
    except psutil.NoSuchProcess:
        return None


def strangers(processes: list[psutil.Process]) -> list[str]:
    """Addresses on which others than this machine could reach one of these processes."""
    own = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    return [
        each.laddr.ip
        for process in processes
        for each in process.net_connections(kind="inet")
        if each.status == psutil.CONN_LISTEN and each.laddr.ip not in own
    ]
