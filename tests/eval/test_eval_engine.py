"""The engine on small clips, with miniature networks of random weights."""

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scored_clips import APPLICABLE, SOUND, alone, copies, score, timeless, video

import eval.engine as engine
import eval.scoring as scoring
from eval.decode import decode_ahead
from eval.executors import Local
from eval.ledger import Ledger
from eval.plan import fingerprint, make_plan
from metrics.capture import Row
from metrics.features import DinoFrames
from metrics.metric import Metric
from metrics.networks import MissingWeightsError, Networks
from metrics.object_consistency import ObjectConsistency
from metrics.preprocess import Size
from metrics.protocol import load_protocol
from metrics.registry import METRICS
from mora.media import DECODER, CorruptVideoError, read_frames, read_video
from mora.records import FailureKind, Prompt, Request, Score

pytestmark = pytest.mark.usefixtures("small_forwards")


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
    short_clips: Path, networks: Networks, expected: dict[tuple[str, str], Score], tmp_path: Path
) -> None:
    shuffled = [copies(short_clips, tmp_path)[number] for number in (2, 0, 1)]
    assert score(tmp_path, shuffled, networks, executor=Local(8)) == expected


def test_a_video_that_is_streamed_has_the_same_bits(
    short_clips: Path,
    networks: Networks,
    expected: dict[tuple[str, str], Score],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("eval.decode.WHOLE_BYTES", 0)
    monkeypatch.setattr("eval.decode.PIECE_BYTES", 2 * 3 * 128 * 128)
    monkeypatch.setattr("eval.decode.read_video", None)
    assert score(tmp_path, copies(short_clips, tmp_path), networks) == expected


def test_a_video_that_breaks_off_while_it_is_streamed_costs_only_itself(
    short_clips: Path,
    networks: Networks,
    expected: dict[tuple[str, str], Score],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    videos = copies(short_clips, tmp_path)
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
    short_clips: Path, networks: Networks, expected: dict[tuple[str, str], Score], tmp_path: Path
) -> None:
    wanted = ("imaging_quality", "object_consistency")
    found = score(tmp_path, copies(short_clips, tmp_path), networks, metrics=wanted)
    assert found == {key: each for key, each in expected.items() if key[1] in wanted}


def test_an_interrupted_evaluation_goes_on_where_it_was(
    short_clips: Path,
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
    videos = copies(short_clips, tmp_path)

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


def test_a_feature_is_computed_once_for_all_metrics(
    short_clips: Path, networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    [first, *_] = copies(short_clips, tmp_path)
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
    short_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    two_started = threading.Event()

    def noted(path: Path, **settings: float) -> object:
        started.append(path.stem)
        if len(started) == 2:
            two_started.set()
        return read_video(path, **settings)

    monkeypatch.setattr("eval.decode.read_video", noted)
    videos = copies(short_clips, tmp_path)
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
    short_clips: Path, networks: Networks, expected: dict[tuple[str, str], Score], tmp_path: Path
) -> None:
    fast = Networks("mini", networks.folder, torch.device("cpu"), precision="fast")
    print_ = fingerprint(METRICS["imaging_quality"](SOUND), fast)
    assert print_.precision == "fast"
    assert 0 < print_.choices["fast_drift"] < 1e-4
    found = score(tmp_path, copies(short_clips, tmp_path), fast)
    for key, each in found.items():
        of = expected[key]
        assert each.fingerprint != of.fingerprint
        assert each.value == pytest.approx(of.value, abs=2e-2), key
    moved = [each.value != expected[key].value for key, each in found.items()]
    assert any(moved), "nothing was computed otherwise"


def test_the_style_label_comes_from_the_prompts_tags(
    short_clips: Path, networks: Networks, tmp_path: Path
) -> None:
    prompts = [
        Prompt(id="a", text="a red circle", tags={"style": "night"}),
        Prompt(id="b", text="a red circle"),
    ]
    requests = [Request(model="mora", recipe="r", prompt=prompt, seed=0) for prompt in prompts]
    shutil.copytree(short_clips, tmp_path, dirs_exist_ok=True)
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
    short_clips: Path, networks: Networks, tmp_path: Path
) -> None:
    absent = Networks("mini", tmp_path / "nowhere", torch.device("cpu"))
    with Ledger.open(tmp_path, {}) as ledger:
        ledger.add_videos(copies(short_clips, tmp_path))
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
