"""What the engine does about videos that cannot be scored, and about machines that fail."""

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from goldens.golden import clip as golden_clip
from scored_clips import APPLICABLE, SOUND, alone, copies, score, timeless, video

import eval.engine as engine
from eval.decode import OutOfMemory, decode
from eval.executors import Local
from eval.ledger import Ledger
from eval.plan import make_plan
from eval.scoring import Scored
from metrics.features import Decoded, Feature, Values
from metrics.metric import Metric
from metrics.networks import Networks
from metrics.object_consistency import ObjectConsistency
from mora.errors import MachineError
from mora.media import Clip, read_video, write_video
from mora.records import Failure, FailureKind, MediaRef, Score, Video

pytestmark = pytest.mark.usefixtures("small_forwards")


def test_a_video_that_cannot_be_scored_costs_only_itself(
    short_clips: Path, networks: Networks, expected: dict[tuple[str, str], Score], tmp_path: Path
) -> None:
    good = copies(short_clips, tmp_path)[0]
    write_video(tmp_path / "one.mp4", golden_clip("one", 1, 128, 128), 7.0)
    write_video(tmp_path / "small.mp4", golden_clip("small", 4, 96, 80), 7.0)
    write_video(tmp_path / "mute.mp4", golden_clip("mute", 3, 128, 128), 7.0)
    one, small = video(tmp_path / "one.mp4"), video(tmp_path / "small.mp4")
    mute, changed = video(tmp_path / "mute.mp4", None), video(tmp_path / "1.mp4", id_="changed")
    shutil.copy(tmp_path / "0.mp4", tmp_path / "1.mp4")
    gone = good.model_copy(
        update={"id": "gone", "media": good.media.model_copy(update={"path": "gone.mp4"})}
    )
    (tmp_path / "text.mp4").write_text("this is no video")
    media = MediaRef(
        sha256="0", path="text.mp4", kind="video", width=8, height=8, frames=1, fps=1.0
    )
    text = Video(id="text", model="mora", media=media)
    refused = Failure(kind=FailureKind.REFUSED, message="the prompt was refused")
    unmade = Video(id="unmade", model="mora", failure=refused)
    videos = [one, small, gone, text, unmade, changed, mute, good]
    found = score(tmp_path, videos, networks)
    kinds = {
        key: each.failure.kind.value for key, each in found.items() if each.failure is not None
    }
    assert kinds == {
        ("one", "object_consistency"): "too_few_frames",
        ("one", "background_consistency"): "too_few_frames",
        ("one", "motion_smoothness"): "too_few_frames",
        ("one", "dynamic_degree"): "too_few_frames",
        ("small", "motion_smoothness"): "too_small",
        ("small", "dynamic_degree"): "too_small",
        ("mute", "temporal_style"): "no_prompt",
        ("mute", "appearance_style"): "no_prompt",
        **{("gone", name): "not_found" for name in APPLICABLE},
        **{("text", name): "not_a_video" for name in APPLICABLE},
        **{("unmade", name): "refused" for name in APPLICABLE},
        **{("changed", name): "error" for name in APPLICABLE},
    }
    assert (
        "has changed since it was recorded" in found["changed", "imaging_quality"].failure.message
    )
    assert len(found) == len(videos) * len(APPLICABLE)
    for name in APPLICABLE:
        assert found["0", name] == expected["0", name]


@dataclass(frozen=True)
class Failing(Feature):
    """A feature whose computation raises an error."""

    error: Exception

    def compute(self, video: Decoded, networks: Networks) -> Values:  # noqa: ARG002
        raise self.error


@dataclass(frozen=True)
class Fragile(ObjectConsistency):
    name = "fragile"
    error: Exception

    @property
    def features(self) -> tuple[Feature, ...]:
        return (Failing(self.error),)


LACKS_OF_MEMORY = [
    MemoryError("no room for (900, 1080, 1920, 3)"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", LACKS_OF_MEMORY)
def test_what_memory_does_not_suffice_for_is_left_unscored(
    short_clips: Path, networks: Networks, tmp_path: Path, error: Exception
) -> None:
    [first, *_] = copies(short_clips, tmp_path)
    metrics: list[Metric] = [Fragile(SOUND, error), ObjectConsistency(SOUND)]
    with Ledger.open(tmp_path, {}) as ledger:
        ledger.add_videos([first])
        work = make_plan(ledger, metrics, networks)
    clip = read_video(tmp_path / "0.mp4")
    found = alone(first, clip, work, networks)
    assert [each.metric for each in found.scores] == ["object_consistency"]
    assert found.scores[0].value is not None
    assert found.lack == OutOfMemory(str(error))
    none = OutOfMemory("none")
    assert alone(first, none, work, networks) == Scored(first, (), none)


def test_an_unforeseen_error_is_a_failure_and_a_broken_gpu_the_end(
    short_clips: Path, networks: Networks, tmp_path: Path
) -> None:
    [first, *_] = copies(short_clips, tmp_path)
    clip = read_video(tmp_path / "0.mp4")

    def scored(error: Exception) -> list[Score]:
        with Ledger.open(tmp_path, {}) as ledger:
            ledger.add_videos([first])
            work = make_plan(ledger, [Fragile(SOUND, error)], networks)
        return list(alone(first, clip, work, networks).scores)

    [score] = scored(ZeroDivisionError("division by zero"))
    assert score.failure is not None
    assert score.failure.kind is FailureKind.ERROR
    assert score.failure.message == "ZeroDivisionError: division by zero"
    with pytest.raises(MachineError, match="an illegal memory access was encountered"):
        scored(torch.AcceleratorError("CUDA error: an illegal memory access was encountered"))


def test_a_video_too_large_for_the_memory_is_tried_again_by_the_next_session(
    short_clips: Path, networks: Networks, expected: dict[tuple[str, str], Score], tmp_path: Path
) -> None:
    wanted = ("object_consistency",)

    def short(video: Video, run: Path) -> Clip | Failure:
        if video.id == "1":
            raise MemoryError("no room")
        return decode(video, run)

    def full(video: Video, run: Path) -> Clip | Failure:
        if video.id == "1":
            raise OSError(errno.ENOSPC, "No space left on device")
        return decode(video, run)

    with Ledger.open(tmp_path, {}) as ledger:
        ledger.add_videos(copies(short_clips, tmp_path))
        last = engine.evaluate(ledger, SOUND, networks, metrics=wanted, executor=Local(read=short))
        assert (last.done, last.failed, dict(last.unscored)) == (3, 0, {"1": "no room"})
        assert {video for video, _ in timeless(ledger)} == {"0", "2"}
        with pytest.raises(OSError, match="No space left"):
            engine.evaluate(ledger, SOUND, networks, metrics=wanted, executor=Local(read=full))
        assert engine.evaluate(ledger, SOUND, networks, metrics=wanted).unscored == {}
        assert timeless(ledger) == {k: each for k, each in expected.items() if k[1] in wanted}


def test_failures_are_tried_again_when_asked(
    short_clips: Path, networks: Networks, tmp_path: Path
) -> None:
    videos = copies(short_clips, tmp_path)[:1]
    (tmp_path / "0.mp4").rename(tmp_path / "away.mp4")
    wanted = ("object_consistency",)
    failed = score(tmp_path, videos, networks, metrics=wanted)
    assert [each.failure.kind for each in failed.values()] == [FailureKind.NOT_FOUND]
    (tmp_path / "away.mp4").rename(tmp_path / "0.mp4")
    with Ledger.open(tmp_path) as ledger:
        engine.evaluate(ledger, SOUND, networks, metrics=wanted)
        assert timeless(ledger) == failed
        last = engine.evaluate(ledger, SOUND, networks, metrics=wanted, retry_failures=True)
        assert last.failed == 0
        assert ledger.scores()["value"].notna().all()


def test_numbers_that_are_not_finite_are_failures(
    short_clips: Path, networks: Networks, tmp_path: Path
) -> None:
    broken = Networks("mini", networks.folder, torch.device("cpu"))
    for name in ("musiq", "raft", "amt"):
        for parameter in broken[name].parameters():
            parameter.fill_(float("nan"))
    wanted = ("imaging_quality", "dynamic_degree", "motion_smoothness", "temporal_style")
    found = score(tmp_path, copies(short_clips, tmp_path)[:1], broken, metrics=wanted)
    kinds = {metric: each.failure and each.failure.kind for (_, metric), each in found.items()}
    assert kinds == {
        "imaging_quality": FailureKind.NOT_FINITE,
        "dynamic_degree": FailureKind.NOT_FINITE,
        "motion_smoothness": FailureKind.NOT_FINITE,
        "temporal_style": None,
    }
