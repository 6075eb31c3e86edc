"""The engine on small clips, with miniature networks of random weights."""

import errno
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from goldens.golden import clip as golden_clip
from random_weights import save_random_weights

import eval.engine as engine
import eval.scoring as scoring
from eval.decode import OutOfMemory, Seen, decode, decode_ahead
from eval.executors import Local
from eval.ledger import Ledger
from eval.plan import Plan, fingerprint, make_plan
from eval.scoring import Scored, Scorer
from metrics.capture import Row
from metrics.features import Decoded, DinoFrames, Feature, Values, sizes
from metrics.metric import Metric
from metrics.networks import MissingWeightsError, Networks
from metrics.object_consistency import ObjectConsistency
from metrics.preprocess import Size
from metrics.protocol import load_protocol
from metrics.registry import METRICS
from mora.errors import MachineError
from mora.media import DECODER, Clip, CorruptVideoError, read_frames, read_video, ref, write_video
from mora.records import Failure, FailureKind, MediaRef, Prompt, Request, Score, Video

SOUND = load_protocol("sound")
APPLICABLE = [name for name in METRICS if name not in ("video_ti", "tcon", "tmean")]
"""Those that have something to say of a video that was made from text alone."""


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    folder = save_random_weights(tmp_path_factory.mktemp("weights"))
    return Networks("mini", folder, torch.device("cpu"))


@pytest.fixture(scope="module", autouse=True)
def small_forwards() -> Iterator[None]:
    """The clips are short; forwards that are filled up to their full size would only take time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "FORWARD_FRAMES", 4)
        patch.setattr(sizes, "FORWARD_PAIRS", 2)
        yield


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number, (count, speed) in enumerate([(4, 3.0), (3, 0.0), (5, 6.0)]):
        frames = golden_clip(f"engine {number}", count, 128, 128, speed)
        write_video(folder / f"{number}.mp4", frames, 7.0)
    return folder


def video(path: Path, text: str | None = "a red circle", id_: str | None = None) -> Video:
    return Video(id=id_ or path.stem, model="mora", text=text, media=ref(path, path.parent))


def copies(clips: Path, run: Path) -> list[Video]:
    """The clips as videos of a run, which lie in its folder."""
    shutil.copytree(clips, run, dirs_exist_ok=True)
    return [video(run / f"{number}.mp4", f"a circle, take {number}") for number in range(3)]


def score(
    run: Path, videos: list[Video], networks: Networks, **settings: object
) -> dict[tuple[str, str], Score]:
    """Scores videos in a new run; gives scores by video and metric, times left out."""
    with Ledger.open(run, {}) as ledger:
        ledger.add_videos(videos)
        engine.evaluate(ledger, SOUND, networks, **settings)
        return timeless(ledger)


def timeless(ledger: Ledger) -> dict[tuple[str, str], Score]:
    return {
        (each.video_id, each.metric): each.model_copy(update={"seconds": 0.0})
        for each in ledger.all_scores()
    }


def alone(video: Video, seen: Seen, work: Plan, networks: Networks) -> Scored:
    """Scores one video, which shares its forwards with none."""
    [found] = Scorer(work, networks, Path()).score([(video, seen)])
    return found


@pytest.fixture(scope="module")
def expected(
    clips: Path, networks: Networks, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Score]:
    """The clips' scores, one video at a time in their order."""
    run = tmp_path_factory.mktemp("expected")
    return score(run, copies(clips, run), networks, executor=Local(1))


def test_every_video_has_every_score(expected: dict[tuple[str, str], Score]) -> None:
    assert expected.keys() == {(str(number), name) for number in range(3) for name in APPLICABLE}
    assert all(each.failure is None for each in expected.values())
    lengths = {
        metric: len(each.per_frame) for (id_, metric), each in expected.items() if id_ == "2"
    }
    assert lengths == {
        "object_consistency": 4,
        "background_consistency": 4,
        "motion_smoothness": 2,
        "aesthetic_quality": 5,
        "dynamic_degree": 4,
        "imaging_quality": 5,
        "temporal_style": 0,
        "appearance_style": 5,
        "video_length_s": 0,
    }
    still, moving = expected["1", "object_consistency"], expected["2", "object_consistency"]
    assert still.value > moving.value


def test_eight_videos_in_flight_and_another_order_give_the_same_bits(
    clips: Path, networks: Networks, expected: dict[tuple[str, str], Score], tmp_path: Path
) -> None:
    shuffled = [copies(clips, tmp_path)[number] for number in (2, 0, 1)]
    assert score(tmp_path, shuffled, networks, executor=Local(8)) == expected


def test_a_video_that_is_streamed_has_the_same_bits(
    clips: Path,
    networks: Networks,
    expected: dict[tuple[str, str], Score],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("eval.decode.WHOLE_BYTES", 0)
    monkeypatch.setattr("eval.decode.PIECE_BYTES", 2 * 3 * 128 * 128)
    monkeypatch.setattr("eval.decode.read_video", None)
    assert score(tmp_path, copies(clips, tmp_path), networks) == expected


def test_a_video_that_breaks_off_while_it_is_streamed_costs_only_itself(
    clips: Path,
    networks: Networks,
    expected: dict[tuple[str, str], Score],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    videos = copies(clips, tmp_path)
    broken = videos[1].media
    pieces = read_frames

    def breaking(path: Path, chunk: int) -> Iterator[np.ndarray]:
        for number, piece in enumerate(pieces(path, chunk)):
            if number and path.name == broken.path:
                raise CorruptVideoError(path, "frame 2 cannot be decoded")
            yield piece

    monkeypatch.setattr("eval.decode.WHOLE_BYTES", 0)
    monkeypatch.setattr("eval.decode.PIECE_BYTES", 2 * 3 * 128 * 128)
    monkeypatch.setattr("eval.decode.read_frames", breaking)
    found = score(tmp_path, videos, networks)
    for (id_, metric), each in found.items():
        if id_ == "1":
            assert each.failure is not None
            assert each.failure.kind is FailureKind.CORRUPT
        else:
            assert each == expected[id_, metric]


def test_other_metrics_beside_it_leave_a_metric_as_it_is(
    clips: Path, networks: Networks, expected: dict[tuple[str, str], Score], tmp_path: Path
) -> None:
    wanted = ("imaging_quality", "object_consistency")
    found = score(tmp_path, copies(clips, tmp_path), networks, metrics=wanted)
    assert found == {key: each for key, each in expected.items() if key[1] in wanted}


def test_an_interrupted_evaluation_goes_on_where_it_was(
    clips: Path,
    networks: Networks,
    expected: dict[tuple[str, str], Score],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []

    def counted(path: Path, **settings: float) -> object:
        read.append(path.stem)
        return read_video(path, **settings)

    monkeypatch.setattr("eval.decode.read_video", counted)
    videos = copies(clips, tmp_path)

    def stop_after(count: int) -> Callable[[engine.Progress], None]:
        def stop(progress: engine.Progress) -> None:
            if progress.done == count:
                raise KeyboardInterrupt

        return stop

    with pytest.raises(KeyboardInterrupt):
        score(tmp_path, videos, networks, executor=Local(1), report=stop_after(1))
    read.clear()
    with Ledger.open(tmp_path) as ledger:
        [stored] = {id_ for id_, _ in timeless(ledger)}
        assert timeless(ledger) == {key: each for key, each in expected.items() if key[0] == stored}
        told: list[engine.Progress] = []
        engine.evaluate(ledger, SOUND, networks, report=told.append)
        assert timeless(ledger) == expected
        assert sorted(read) == sorted({"0", "1", "2"} - {stored}), "each is decoded once"
        assert [(each.done, each.total) for each in told] == [(1, 3), (2, 3), (3, 3)]
        read.clear()
        engine.evaluate(ledger, SOUND, networks)
        assert read == [], "what is scored was decoded again"


def test_a_video_that_cannot_be_scored_costs_only_itself(
    clips: Path, networks: Networks, expected: dict[tuple[str, str], Score], tmp_path: Path
) -> None:
    good = copies(clips, tmp_path)[0]
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
    clips: Path, networks: Networks, tmp_path: Path, error: Exception
) -> None:
    [first, *_] = copies(clips, tmp_path)
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
    clips: Path, networks: Networks, tmp_path: Path
) -> None:
    [first, *_] = copies(clips, tmp_path)
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
    clips: Path, networks: Networks, expected: dict[tuple[str, str], Score], tmp_path: Path
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
        ledger.add_videos(copies(clips, tmp_path))
        last = engine.evaluate(ledger, SOUND, networks, metrics=wanted, executor=Local(read=short))
        assert (last.done, last.failed, dict(last.unscored)) == (3, 0, {"1": "no room"})
        assert {video for video, _ in timeless(ledger)} == {"0", "2"}
        with pytest.raises(OSError, match="No space left"):
            engine.evaluate(ledger, SOUND, networks, metrics=wanted, executor=Local(read=full))
        assert engine.evaluate(ledger, SOUND, networks, metrics=wanted).unscored == {}
        assert timeless(ledger) == {k: each for k, each in expected.items() if k[1] in wanted}


def test_failures_are_tried_again_when_asked(
    clips: Path, networks: Networks, tmp_path: Path
) -> None:
    videos = copies(clips, tmp_path)[:1]
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
    clips: Path, networks: Networks, tmp_path: Path
) -> None:
    broken = Networks("mini", networks.folder, torch.device("cpu"))
    for name in ("musiq", "raft", "amt"):
        for parameter in broken[name].parameters():
            parameter.fill_(float("nan"))
    wanted = ("imaging_quality", "dynamic_degree", "motion_smoothness", "temporal_style")
    found = score(tmp_path, copies(clips, tmp_path)[:1], broken, metrics=wanted)
    kinds = {metric: each.failure and each.failure.kind for (_, metric), each in found.items()}
    assert kinds == {
        "imaging_quality": FailureKind.NOT_FINITE,
        "dynamic_degree": FailureKind.NOT_FINITE,
        "motion_smoothness": FailureKind.NOT_FINITE,
        "temporal_style": None,
    }


def test_a_feature_is_computed_once_for_all_metrics(
    clips: Path, networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class Twin(ObjectConsistency):
        name = "twin"

    computed: Counter[str] = Counter()
    forward = DinoFrames.forward

    def counted(self: DinoFrames, inputs: Row, size: Size, networks: Networks) -> Row:
        computed["dino"] += 1
        return forward(self, inputs, size, networks)

    monkeypatch.setattr(DinoFrames, "forward", counted)
    metrics: list[Metric] = [ObjectConsistency(SOUND), Twin(SOUND)]
    [first, *_] = copies(clips, tmp_path)
    with Ledger.open(tmp_path, {}) as ledger:
        ledger.add_videos([first])
        work = make_plan(ledger, metrics, networks)
    found = alone(first, read_video(tmp_path / "0.mp4"), work, networks)
    one, twin = found.scores
    assert (one.metric, twin.metric) == ("object_consistency", "twin")
    assert one.value == twin.value
    assert found.lack is None
    assert computed["dino"] == 1


def test_no_more_videos_are_decoded_than_are_held(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    two_started = threading.Event()

    def noted(path: Path, **settings: float) -> object:
        started.append(path.stem)
        if len(started) == 2:
            two_started.set()
        return read_video(path, **settings)

    monkeypatch.setattr("eval.decode.read_video", noted)
    videos = copies(clips, tmp_path)
    ahead = decode_ahead(videos, tmp_path, 2)
    assert next(ahead)[0] == videos[0]
    assert two_started.wait(60), "nothing was decoded ahead"
    ahead.close()
    assert started == ["0", "1"]
    one_at_a_time = decode_ahead(videos, tmp_path, 1)
    next(one_at_a_time)
    one_at_a_time.close()
    assert started == ["0", "1", "0"]


def test_a_fingerprint_holds_what_the_number_depends_on(networks: Networks) -> None:
    print_ = fingerprint(METRICS["imaging_quality"](SOUND), networks)
    assert print_.metric == "imaging_quality"
    assert print_.protocol == "sound"
    assert print_.weights == "mini"
    assert print_.precision == "exact"
    assert print_.decoder == DECODER
    assert print_.choices == {"weighting": "videos", "imaging_resize": "longer"}
    assert list(print_.checkpoints) == ["musiq_mini"]
    paper = fingerprint(METRICS["imaging_quality"](load_protocol("paper")), networks)
    assert paper.id != print_.id


def test_fast_is_another_fingerprint_and_near_to_exact(
    clips: Path, networks: Networks, expected: dict[tuple[str, str], Score], tmp_path: Path
) -> None:
    fast = Networks("mini", networks.folder, torch.device("cpu"), precision="fast")
    print_ = fingerprint(METRICS["imaging_quality"](SOUND), fast)
    assert print_.precision == "fast"
    assert 0 < print_.choices["fast_drift"] < 1e-4
    found = score(tmp_path, copies(clips, tmp_path), fast)
    for key, each in found.items():
        of = expected[key]
        assert each.fingerprint != of.fingerprint
        assert each.value == pytest.approx(of.value, abs=2e-2), key
    moved = [each.value != expected[key].value for key, each in found.items()]
    assert any(moved), "nothing was computed otherwise"


def test_the_style_label_comes_from_the_prompts_tags(
    clips: Path, networks: Networks, tmp_path: Path
) -> None:
    prompts = [
        Prompt(id="a", text="a red circle", tags={"style": "night"}),
        Prompt(id="b", text="a red circle"),
    ]
    requests = [Request(model="mora", recipe="r", prompt=prompt, seed=0) for prompt in prompts]
    shutil.copytree(clips, tmp_path, dirs_exist_ok=True)
    with Ledger.open(tmp_path, {}) as ledger:
        ledger.add_requests(requests)
        ledger.add_videos([video(tmp_path / "0.mp4", id_=request.id) for request in requests])
        protocol = load_protocol("vbench")
        engine.evaluate(ledger, protocol, networks, metrics=["appearance_style"])
        tagged, untagged = ledger.all_scores()
    assert tagged.value is not None
    assert untagged.failure is not None
    assert untagged.failure.kind is FailureKind.NO_PROMPT


def test_settings_that_stop_an_evaluation_before_it_begins(
    clips: Path, networks: Networks, tmp_path: Path
) -> None:
    absent = Networks("mini", tmp_path / "nowhere", torch.device("cpu"))
    with Ledger.open(tmp_path, {}) as ledger:
        ledger.add_videos(copies(clips, tmp_path))
        with pytest.raises(MissingWeightsError, match="8 files of the mini weights"):
            engine.evaluate(ledger, SOUND, absent)
        with pytest.raises(ValueError, match="videos_at_once=0"):
            engine.evaluate(ledger, SOUND, networks, executor=Local(0))
        with pytest.raises(ValueError, match="sharpness not known"):
            engine.evaluate(ledger, SOUND, networks, metrics=["sharpness"])
        assert ledger.scores().empty
        assert ledger.fingerprints() == []


def test_exact_arithmetic_holds_inside_and_not_outside() -> None:
    torch.set_float32_matmul_precision("high")
    try:
        with scoring.exact():
            assert torch.get_float32_matmul_precision() == "highest"
            assert torch.backends.cudnn.allow_tf32
            assert torch.is_inference_mode_enabled()
        assert torch.get_float32_matmul_precision() == "high"
        assert not torch.is_inference_mode_enabled()
    finally:
        torch.set_float32_matmul_precision("highest")
