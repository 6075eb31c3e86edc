"""Forecasts: work is counted, rates are learnt, nothing is guessed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from goldens.golden import clip as golden_clip

import eval.forecast.session as sessions
from eval import engine
from eval.cache import Cache
from eval.forecast import Outcome, Rates, Session, Work, count, forecast, learn, memory, place
from eval.forecast.forecast import Forecast
from eval.forecast.rates import RECENT
from eval.ledger import Ledger
from eval.plan import Plan, make_plan
from metrics.features import sizes
from metrics.networks import Networks
from metrics.protocol import load_protocol
from metrics.registry import METRICS, make_metrics
from mora.media import ref, write_video
from mora.records import Failure, FailureKind, Given, MediaRef, Role, TaskName, Video

SOUND = load_protocol("sound")
GB = 10**9


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache.open(tmp_path / "cache" / "scores.sqlite") as opened:
        yield opened


@pytest.fixture
def rates(cache: Cache) -> Rates:
    return Rates(cache, "here")


def media(name: str, frames: int, height: int, width: int, fps: float | None = 8.0) -> MediaRef:
    return MediaRef(
        sha256=name,
        path=name,
        kind="image" if fps is None else "video",
        width=width,
        height=height,
        frames=frames,
        fps=fps,
    )


def planned(videos: list[Video], names: list[str], networks: Networks, run: Path) -> Plan:
    with Ledger.open(run, {}) as ledger:
        ledger.add_videos(videos)
        return make_plan(ledger, make_metrics(names, SOUND), networks)


def test_work_is_counted_in_what_time_is_proportional_to(
    networks: Networks, tmp_path: Path
) -> None:
    video = Video(id="a", model="m", text="a circle", media=media("a", 25, 500, 1000, 16.0))
    unread = Video(
        id="b", model="m", failure=Failure(kind=FailureKind.CORRUPT, message="it is broken")
    )
    names = [name for name in METRICS if name not in ("tcon", "tmean", "video_ti")]
    work = count(planned([video, unread], names, networks, tmp_path), networks)
    assert (work.videos, work.frames) == (1, 25)
    assert work.decoded == work.largest == 25 * 500 * 1000 * 3
    patches = 16 * 32 + 3 * 4 + 5 * 6  # 256x512; longer sides of 64 and of 96; patches of 16
    quality = work.units.pop("imaging_quality")
    assert quality % 25 == 0
    assert quality / 25 == pytest.approx(patches, rel=0.1)
    assert work.units == {
        "object_consistency": 25,
        "background_consistency": 25,
        "motion_smoothness": 12 * 0.5,
        "aesthetic_quality": 25,
        "dynamic_degree": 12 * 0.5,  # of 13 frames, every second one
        "temporal_style": 1,
        "appearance_style": 25,
    }
    files = {networks.path(name) for name in networks_of_all(names)}
    assert work.weights == sum(path.stat().st_size for path in files)


def networks_of_all(names: list[str]) -> set[str]:
    metrics = make_metrics(names, SOUND)
    return {name for each in metrics for feature in each.features for name in feature.backbones}


def test_what_is_computed_once_is_counted_once_and_what_is_refused_not_at_all(
    networks: Networks, tmp_path: Path
) -> None:
    def video(id_: str, source: str, frames: int = 8, given: Given | None = None) -> Video:
        return Video(
            id=id_,
            model="m",
            task=TaskName.EXTEND_VIDEO,
            text="a circle",
            media=media(id_, frames, 128, 128),
            companions={Role.INPUT_VIDEO: media(source, 8, 128, 128)},
            given=given,
        )

    protocol = SOUND.model_copy(update={"tcon_output": "whole"})
    videos = [video("a", "x"), video("b", "x"), video("c", "y"), video("d", "y", frames=1)]
    with Ledger.open(tmp_path, {}) as ledger:
        ledger.add_videos(videos)
        names = ["motion_smoothness", "temporal_style", "tcon"]
        work = count(make_plan(ledger, make_metrics(names, protocol), networks), networks)
    assert work.units == {
        "motion_smoothness": 3 * 3 * 128 * 128 / 1e6,  # one frame is too few
        "temporal_style": 4,
        "tcon": 2,  # the outputs' embeddings are those of the temporal style, the inputs are two
    }


WORK = Work(
    videos=10, frames=160, decoded=1000, largest=100, weights=50, units={"fast": 160, "slow": 40}
)


def outcome(seconds: float, **metrics: float) -> Outcome:
    return Outcome(
        seconds=seconds,
        loading=2.0,
        metrics=metrics,
        memory=3.0 * GB,
        device_memory=None,
        disk=5000.0,
    )


def forecast_of(work: Work, rates: Rates) -> Forecast:
    return forecast(work, rates, resident=GB, held=2, gpu=False)


def taught(rates: Rates, took: Outcome, work: Work = WORK) -> None:
    learn(work, forecast_of(work, rates), took, rates)


def test_nothing_is_forecast_before_anything_was_measured(rates: Rates) -> None:
    told = forecast_of(WORK, rates)
    assert told.seconds is None
    assert told.disk is None
    assert told.unmeasured == ()
    assert told.memory.value == GB + 50 + 2 * 100  # what is there, weights, two videos
    assert told.memory.past == 0


def test_a_forecast_is_the_sum_of_what_was_measured_times_the_work(rates: Rates) -> None:
    taught(rates, outcome(32.0, fast=16.0, slow=4.0))  # 2 to load, 10 for the rest
    same = forecast_of(WORK, rates)
    assert same.seconds is not None
    assert same.seconds.value == pytest.approx(32.0)
    assert (same.seconds.low, same.seconds.high, same.seconds.past) == (32.0, 32.0, 0)
    other = Work(videos=1, decoded=300, weights=100, units={"fast": 10, "slow": 70})
    told = forecast_of(other, rates)
    assert told.seconds is not None
    assert told.seconds.value == pytest.approx(4.0 + 3.0 + 1.0 + 7.0)
    assert told.disk is not None
    assert told.disk.value == pytest.approx(500.0)
    # What the process took was so much more than what was counted.
    assert told.memory.value == pytest.approx((GB + 100) * 3.0 * GB / (GB + 250))


def test_a_metric_that_was_never_measured_is_named(rates: Rates) -> None:
    taught(rates, outcome(10.0, fast=1.0, slow=1.0))
    told = forecast_of(replace(WORK, units={"fast": 1, "new": 1}), rates)
    assert told.seconds is None
    assert told.unmeasured == ("new",)


def test_the_range_is_how_far_earlier_forecasts_were_off(rates: Rates) -> None:
    taught(rates, outcome(20.0, fast=16.0, slow=2.0))
    taught(rates, outcome(30.0, fast=24.0, slow=4.0))  # forecast 20
    taught(rates, outcome(20.0, fast=16.0, slow=2.0))  # forecast 25, the mean of both
    told = forecast_of(WORK, rates).seconds
    assert told is not None
    assert told.past == 2
    assert told.value == pytest.approx(70.0 / 3)
    assert told.high == pytest.approx(told.value * 1.5)
    assert told.low == pytest.approx(told.value * 0.8)


def test_large_evaluations_weigh_more_and_old_ones_are_forgotten(rates: Rates) -> None:
    small = replace(WORK, units={"fast": 1}, decoded=1, weights=0)
    large = replace(WORK, units={"fast": 999}, decoded=999, weights=0)
    for work, seconds in ((small, 100.0), (large, 999.0)):
        taught(rates, replace(outcome(seconds, fast=seconds), loading=0.0), work)
    assert rates.rate("seconds fast") == pytest.approx(1.099)
    for _ in range(RECENT):
        taught(rates, replace(outcome(2.0, fast=2.0), loading=0.0), small)
    assert rates.rate("seconds fast") == pytest.approx(2.0)
    assert len(rates.taken("seconds fast")) == RECENT


def test_devices_side_by_side_share_the_clocks_time(rates: Rates) -> None:
    taught(rates, replace(outcome(10.0, fast=24.0, slow=8.0), loading=2.0))
    assert rates.rate("seconds fast") == pytest.approx(24.0 / 4 / 160)
    assert rates.rate("seconds rest") == 0.0
    told = forecast_of(WORK, rates).seconds
    assert told is not None
    assert told.value == pytest.approx(10.0)


def test_places_do_not_mix(cache: Cache, rates: Rates, networks: Networks) -> None:
    taught(rates, outcome(10.0, fast=1.0, slow=1.0))
    assert forecast_of(WORK, Rates(cache, "there")).seconds is None
    here = place(networks)
    assert "mini" in here
    assert place(networks, "ray workers=4") != here


def test_a_gpus_memory_is_forecast_apart(rates: Rates) -> None:
    def told() -> Forecast:
        return forecast(WORK, rates, resident=GB, held=2, gpu=True)

    first = told()
    assert first.device_memory is not None
    assert first.device_memory.value == 50 + 100
    learn(WORK, first, replace(outcome(9.0), memory=None, device_memory=600.0), rates)
    second = told()
    assert second.device_memory is not None
    assert second.device_memory.value == pytest.approx(600.0)
    assert second.memory.past == 0, "memory that could not be told was learnt"


class Clock:
    """Goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_an_evaluation_teaches_what_its_scores_state(
    networks: Networks, rates: Rates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "FORWARD_FRAMES", 4)
    run, names = tmp_path / "run", ["object_consistency", "imaging_quality"]
    for number, frames in enumerate((3, 5, 1)):
        write_video(run / f"{number}.mp4", golden_clip(f"{number}", frames, 64, 64), 8.0)
    videos = [
        Video(id=str(number), model="m", media=ref(run / f"{number}.mp4", run))
        for number in range(3)
    ]
    gone = videos[0].model_copy(
        update={"id": "gone", "media": videos[0].media.model_copy(update={"path": "gone.mp4"})}
    )
    peaks = iter([2 * GB, 3 * GB])
    monkeypatch.setattr(sessions.memory, "peak", lambda: next(peaks))
    session = Session(rates, networks, run, held=2, clock=Clock())
    begun: list[tuple[Work, Forecast]] = []
    with Ledger.open(run, {}) as ledger:
        ledger.add_videos([*videos, gone])
        engine.evaluate(
            ledger,
            SOUND,
            networks,
            metrics=names,
            planned=lambda plan: begun.append(session.begin(plan)),
        )
        session.stop()
        (run / "report.html").write_text("x" * 10_000)
        (run / "media").mkdir()
        (run / "media" / "video.mp4").write_text("x" * 10_000_000)
        scores = ledger.all_scores()
        took = session.end(scores)
    [(work, _)] = begun
    assert (work.videos, work.frames) == (4, 12)
    assert took.seconds == 1.0
    assert took.memory == 3 * GB
    assert 10_000 < took.disk < 1_000_000
    stated: Mapping[str, float] = {
        name: sum(each.seconds for each in scores if each.metric == name and not each.failed)
        for name in names
    }
    assert took.metrics == pytest.approx(stated)
    # One frame is too few for consistency, and what is gone was not scored.
    share = min(1.0, max(0.0, 1.0 - took.loading) / sum(stated.values()))
    [consistency] = rates.taken("seconds object_consistency")
    assert consistency.units == 8
    assert consistency.amount == pytest.approx(share * stated["object_consistency"])
    [written] = rates.taken("bytes written")
    assert (written.units, written.amount) == (3, took.disk)


def test_memory_that_was_held_before_is_not_taken_for_the_evaluations(
    networks: Networks, rates: Rates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions.memory, "peak", lambda: 2 * GB)
    session = Session(rates, networks, tmp_path, held=2)
    plan = planned([], ["video_length_s"], networks, tmp_path / "run")
    session.begin(plan)
    session.stop()
    assert session.end([]).memory is None


def test_this_process_holds_what_it_says() -> None:
    before = memory.resident()
    held = bytearray(200 * 2**20)
    held[:: 2**12] = b"x" * len(held[:: 2**12])
    assert memory.resident() - before > 150 * 2**20
    assert memory.peak() >= memory.resident() - 2**20
    del held


def group(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")
    return folder


def test_a_containers_limit_counts_where_it_is_lower_than_the_machines(tmp_path: Path) -> None:
    own = tmp_path / "own"
    machine = memory.room(tmp_path / "none", own)
    assert not machine.contained
    assert 0 < machine.free <= machine.total

    # Version 2, nested: the narrowest of the groups decides.
    second = tmp_path / "second"
    own.write_text("0::/job/step\n")
    group(second / "job", memory__max=10**8, memory__current=4 * 10**7)
    group(second / "job" / "step", memory__max="max", memory__current=10**7)
    assert memory.room(second, own) == (6 * 10**7, 10**8, True)
    group(second / "job", memory__stat="anon 1\ninactive_file 10000000")
    assert memory.room(second, own).free == 7 * 10**7, "what is cached of files can be had"

    # Version 1, as seen from within a container, where the path is the host's.
    first = tmp_path / "first"
    own.write_text("5:cpu,cpuacct:/x\n4:memory:/docker/abc\n")
    group(first / "memory", memory__limit_in_bytes=2 * 10**8, memory__usage_in_bytes=5 * 10**7)
    assert memory.room(first, own) == (15 * 10**7, 2 * 10**8, True)

    group(first / "memory", memory__limit_in_bytes=2**63 - 4096)
    assert not memory.room(first, own).contained
