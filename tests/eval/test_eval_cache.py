"""The cache of scores: what is known is what would be computed, and is never another's."""

import multiprocessing
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from cached_scores import PRINT, plan, score, video
from goldens.golden import clip as golden_clip
from PIL import Image

from eval import engine
from eval.cache import Cache, ScoreCache, environment
from eval.ledger import Ledger
from eval.plan import Plan
from metrics.networks import Networks
from metrics.protocol import Protocol, load_protocol
from metrics.registry import METRICS
from mora.media import ref, write_video
from mora.records import (
    Failure,
    FailureKind,
    Given,
    Prompt,
    Request,
    Role,
    Score,
    TaskName,
    Video,
)

pytestmark = pytest.mark.usefixtures("small_forwards")

SOUND = load_protocol("sound")
FORK = multiprocessing.get_context("fork")
"""Processes that need not import anything."""
OF_TEXT = {"temporal_style", "appearance_style"}
OF_COMPANIONS = {"tcon", "tmean"}
ALONE = set(METRICS) - OF_COMPANIONS - {"video_ti"}

Found = dict[tuple[str, str], Score]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, frames, side in (("a", 4, 128), ("b", 3, 128), ("small", 4, 72), ("one", 1, 128)):
        write_video(folder / f"{name}.mp4", golden_clip(name, frames, side, side, 3.0), 7.0)
    (folder / "pictures").mkdir()
    for number, frame in enumerate(golden_clip("pictures", 5, 128, 128, 6.0)):
        Image.fromarray(frame).save(folder / "pictures" / f"{number}.png")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ScoreCache]:
    with Cache.open(tmp_path / "cache" / "scores.sqlite") as opened:
        yield ScoreCache(opened, "here")


def of(clips: Path, name: str, run: Path, text: str | None = "a circle", **known: object) -> Video:
    return Video.model_validate(
        {"id": name, "model": "m", "text": text, "media": ref(clips / name, run), **known}
    )


def evaluate(
    run: Path,
    videos: list[Video],
    networks: Networks,
    cache: ScoreCache | None,
    protocol: Protocol = SOUND,
    **settings: object,
) -> tuple[Found, engine.Progress]:
    """Scores videos in a run; times are left out of the scores."""
    with Ledger.open(run, {}) as ledger:
        ledger.add_videos(videos)
        last = engine.evaluate(ledger, protocol, networks, cache=cache, **settings)
        scores = {
            (each.video_id, each.metric): each.model_copy(update={"seconds": 0.0})
            for each in ledger.all_scores()
        }
    return scores, last


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was computed and not found: ids of videos and names of metrics."""
    done: list[tuple[str, str]] = []
    keep = ScoreCache.keep

    def noted(self: ScoreCache, work: object, of: Video, scores: list[Score]) -> None:
        done.extend((of.id, each.metric) for each in scores)
        keep(self, work, of, scores)

    monkeypatch.setattr(ScoreCache, "keep", noted)
    return done


def test_a_second_run_finds_every_score_to_the_last_bit_and_decodes_nothing(
    clips: Path,
    networks: Networks,
    cache: ScoreCache,
    computed: list[tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ["a.mp4", "b.mp4", "small.mp4", "one.mp4", "pictures"]
    videos = [of(clips, name, tmp_path) for name in names]
    expected, last = evaluate(tmp_path / "plain", videos, networks, None)
    assert last.cached == 0
    first, last = evaluate(tmp_path / "first", videos, networks, cache)
    assert last.cached == 0
    assert first == expected
    assert len(computed) == len(names) * len(ALONE)
    computed.clear()

    monkeypatch.setattr("eval.decode.read_video", None)  # calling it would be an error
    told: list[engine.Progress] = []
    again, last = evaluate(tmp_path / "again", videos, networks, cache, report=told.append)
    assert again == expected
    assert computed == []
    assert last.cached == len(expected)
    assert last.failed == sum(each.failed for each in expected.values()) > 0
    assert [(each.done, each.total) for each in told] == [(0, 5), (5, 5)]
    with Ledger.read(tmp_path / "again") as ledger:
        assert {each.seconds for each in ledger.all_scores()} == {0.0}


def test_what_a_score_depends_on_makes_it_another(
    clips: Path,
    networks: Networks,
    cache: ScoreCache,
    computed: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    def scored(name: str, *videos: Video, **settings: object) -> set[str]:
        """Metrics that had to be computed in a new run."""
        computed.clear()
        found, last = evaluate(tmp_path / name, list(videos), networks, cache, **settings)
        assert last.cached == len(found) - len(computed)
        return {metric for _, metric in computed}

    film, pictures = of(clips, "a.mp4", tmp_path), of(clips, "pictures", tmp_path)
    assert scored("first", film, pictures) == ALONE
    other_name = film.model_copy(update={"id": "x", "model": "n", "prompt_id": "p", "seed": 3})
    assert scored("other name", other_name) == set()
    assert scored("prompt", film.model_copy(update={"text": "a square"})) == OF_TEXT
    assert scored("no prompt", film.model_copy(update={"text": None}), metrics=[*ALONE]) == OF_TEXT
    faster = pictures.media.model_copy(update={"fps": 24.0})
    timed = {"dynamic_degree", "video_length_s"}
    assert timed <= scored("faster", pictures.model_copy(update={"media": faster}))
    assert scored("other clip", of(clips, "b.mp4", tmp_path)) == ALONE
    # The protocol's name is part of every fingerprint.
    assert scored("protocol", film, protocol=load_protocol("paper")) == ALONE
    assert scored("no new protocol", film, protocol=load_protocol("paper")) == set()


def test_the_style_label_counts_where_it_is_read(
    clips: Path,
    networks: Networks,
    cache: ScoreCache,
    computed: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    metrics = ["appearance_style", "temporal_style"]
    misses = []
    for place, style in enumerate(["night", "day", "day"]):
        prompt = Prompt(id=f"p{place}", text="a circle", tags={"style": style})
        request = Request(model="m", recipe="r", prompt=prompt, seed=0)
        with Ledger.open(tmp_path / str(place), {}) as ledger:
            ledger.add_requests([request])
            ledger.add_videos([of(clips, "a.mp4", tmp_path).model_copy(update={"id": request.id})])
            protocol = load_protocol("vbench")
            engine.evaluate(ledger, protocol, networks, metrics=metrics, cache=cache)
        misses.append({metric for _, metric in computed})
        computed.clear()
    assert misses == [{*metrics}, {"appearance_style"}, set()]


def test_what_a_video_was_made_from_counts_where_it_is_read(
    clips: Path,
    networks: Networks,
    cache: ScoreCache,
    computed: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    protocol = SOUND.model_copy(update={"name": "new", "tcon_output": "new_part"})
    metrics = ["object_consistency", "tcon"]

    def scored(name: str, source: str, given: Given | None) -> set[str]:
        companions = {Role.INPUT_VIDEO: ref(clips / source, tmp_path)}
        made = of(
            clips, "a.mp4", tmp_path, task=TaskName.EXTEND_VIDEO, companions=companions, given=given
        )
        computed.clear()
        evaluate(tmp_path / name, [made], networks, cache, protocol, metrics=metrics)
        return {metric for _, metric in computed}

    assert scored("first", "b.mp4", Given(start=1)) == {*metrics}
    assert scored("same", "b.mp4", Given(start=1)) == set()
    assert scored("less given", "b.mp4", Given(start=0)) == {"tcon"}
    assert scored("not stated", "b.mp4", None) == {"tcon"}
    assert scored("not stated again", "b.mp4", None) == set()
    assert scored("made from another", "one.mp4", Given(start=1)) == {"tcon"}


def test_only_metrics_that_read_companions_ask_which_frames_were_given() -> None:
    """The key holds what was given for metrics of companions alone; a new metric must not break it.

    Features that look at a part of the video have a field `part`.
    """
    protocol = SOUND.model_copy(update={"tcon_output": "new_part"})
    asking = {
        name
        for name, kind in METRICS.items()
        for feature in kind(protocol).features
        if "part" in {field.name for field in fields(feature)} and feature.part != "whole"
    }
    assert asking == OF_COMPANIONS
    assert all(METRICS[name](protocol).companions for name in asking)


def test_another_machine_or_program_computes_its_own(
    clips: Path,
    networks: Networks,
    cache: ScoreCache,
    computed: list[tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = environment("a device")
    assert here == environment("a device") != environment("another")
    monkeypatch.setattr("eval.cache.machine._source", lambda: "other code")
    assert environment("a device") != here
    film, metrics = of(clips, "a.mp4", tmp_path), ["video_length_s"]
    evaluate(tmp_path / "here", [film], networks, cache, metrics=metrics)
    there = ScoreCache(cache._cache, "there")
    assert evaluate(tmp_path / "there", [film], networks, there, metrics=metrics)[1].cached == 0
    assert len(cache) == len(there) == len(computed) == 2


def test_failures_that_may_pass_are_never_kept(
    clips: Path, networks: Networks, cache: ScoreCache, tmp_path: Path
) -> None:
    shutil.copy(clips / "b.mp4", tmp_path / "gone.mp4")
    shutil.copy(clips / "b.mp4", tmp_path / "changed.mp4")
    elsewhere = tmp_path / "run"
    gone, changed = of(tmp_path, "gone.mp4", elsewhere), of(tmp_path, "changed.mp4", elsewhere)
    (tmp_path / "gone.mp4").unlink()
    shutil.copy(clips / "a.mp4", tmp_path / "changed.mp4")
    refused = Failure(kind=FailureKind.REFUSED, message="no")
    unmade = Video(id="unmade", model="m", failure=refused)
    unread = of(clips, "a.mp4", tmp_path, companions={Role.INPUT_VIDEO: refused}, given=Given())
    metrics = ["object_consistency", "tcon"]
    found, _ = evaluate(
        tmp_path / "run", [gone, changed, unmade, unread], networks, cache, metrics=metrics
    )
    kinds = {key: each.failure.kind.value for key, each in found.items() if each.failure}
    assert kinds == {
        ("gone.mp4", "object_consistency"): "not_found",
        ("gone.mp4", "tcon"): "not_applicable",
        ("changed.mp4", "object_consistency"): "error",
        ("changed.mp4", "tcon"): "not_applicable",
        ("unmade", "object_consistency"): "refused",
        ("unmade", "tcon"): "not_applicable",
        ("a.mp4", "tcon"): "refused",
    }
    # That tcon does not apply is true of the content that `gone` and `changed` were recorded with.
    assert len(cache) == 2
    videos = [gone, unread, unmade]
    found, last = evaluate(tmp_path / "again", videos, networks, cache, metrics=metrics)
    assert last.cached == 2
    assert found["gone.mp4", "object_consistency"].failure is not None


def test_failures_that_are_tried_again_are_not_taken_from_the_cache(
    clips: Path,
    networks: Networks,
    cache: ScoreCache,
    computed: list[tuple[str, str]],
    tmp_path: Path,
) -> None:
    films = [of(clips, name, tmp_path) for name in ("one.mp4", "a.mp4")]
    metrics = ["object_consistency"]
    evaluate(tmp_path / "run", films, networks, cache, metrics=metrics)
    computed.clear()
    _, last = evaluate(
        tmp_path / "again", films, networks, cache, metrics=metrics, retry_failures=True
    )
    assert computed == [("one.mp4", "object_consistency")]
    assert (last.cached, last.failed) == (1, 1)


def test_captioned_metrics_are_left_to_the_runs_own_captions(
    clips: Path, tmp_path: Path, cache: ScoreCache
) -> None:
    metric = METRICS["video_ti"](SOUND)
    made = of(clips, "a.mp4", tmp_path, companions={Role.INPUT_IMAGE: ref(clips / "b.mp4", clips)})
    of_it = PRINT.model_copy(update={"metric": metric.name})
    work = Plan((made,), {made.id: (metric,)}, {metric.name: of_it}, {}, 0)
    scored = Score(video_id=made.id, metric=metric.name, fingerprint=of_it.id, value=1)
    cache.keep(work, made, [scored])
    assert len(cache) == 0
    assert list(cache.known(work)) == [[]]


def test_a_value_that_is_there_stays_and_a_failure_gives_way(cache: ScoreCache) -> None:
    failure = Failure(kind=FailureKind.NOT_FINITE, message="NaN")
    failed = score(1).model_copy(update={"value": None, "per_frame": (), "failure": failure})
    other = score(1).model_copy(update={"value": 9.0, "per_frame": (1.0,)})
    kept: list[Score] = []
    for each in (failed, score(1), other, failed):
        cache.keep(plan(video(1)), video(1), [each])
        [[found]] = cache.known(plan(video(1)))
        kept.append(found)
    timeless = score(1).model_copy(update={"seconds": 0.0})
    assert kept == [failed.model_copy(update={"seconds": 0.0}), *[timeless] * 3]
    assert next(cache.known(plan(video(1)), failures=False)) == [timeless]


def test_every_float_comes_back_as_it_was(cache: ScoreCache) -> None:
    values = np.array([0.1, 1 / 3, 5e-324, -1.7976931348623157e308, 1.0, 2.0**53 + 2])
    series = tuple(np.append(values, -0.0).tolist())
    for number, value in enumerate(values.tolist()):
        each = score(number).model_copy(update={"value": value, "per_frame": series})
        cache.keep(plan(video(number)), video(number), [each])
        [[found]] = cache.known(plan(video(number)))
        assert found.value == value
        assert np.array(found.per_frame).tobytes() == np.array(series).tobytes()


def test_twins_in_a_run_are_both_found(cache: ScoreCache) -> None:
    cache.keep(plan(video(1)), video(1), [score(1)])
    twin = video(1).model_copy(update={"id": "twin"})
    [found] = cache.known(plan(video(1), twin, video(2)))
    assert [each.video_id for each in found] == ["v1", "twin"]
