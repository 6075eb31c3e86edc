"""Metrics that compare a video with what it was made from, on miniature random networks."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from goldens.golden import clip as golden_clip

from eval import companions as companions_of_runs
from eval import engine, scoring
from eval.companions import decoded
from eval.decode import read_media
from eval.ledger import Ledger
from eval.plan import fingerprint, left_out
from metrics.captioners.captioner import Captions, NoStore
from metrics.captions import AskedSentence, ShownSentence
from metrics.features import ViclipVideo
from metrics.networks import MissingCaptionerError, Networks
from metrics.protocol import Protocol, load_protocol
from metrics.registry import METRICS, make_metrics
from mora.media import Clip, read_video, ref, write_image, write_video
from mora.records import Failure, FailureKind, Given, Role, Score, Video

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("small_forwards")

SOUND = load_protocol("sound")
WHOLE = SOUND.model_copy(update={"tcon_output": "whole"})
PROMPT = "a red circle moves"


class Describer:
    """Names the brightness of the first and the last frame; counts how often it is asked."""

    settings: ClassVar[dict[str, str]] = {"name": "describer"}

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []

    def load(self) -> None:
        """Is ready."""

    def caption(self, frames: np.ndarray, fps: float, question: str) -> str:  # noqa: ARG002
        self.asked.append((len(frames), question))
        return f"a circle of {frames[0].mean():.0f} moves to {frames[-1].mean():.0f}"


@pytest.fixture
def describer() -> Describer:
    return Describer()


@pytest.fixture
def networks(metric_weights: Path, describer: Describer) -> Networks:
    return Networks("mini", metric_weights, CPU, Captions(describer, NoStore()))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An input of 6 frames, its extension by 5, a neighbour, and a picture."""
    folder = tmp_path_factory.mktemp("media")
    start, more, other = (golden_clip(f"companions {n}", 6, 128, 128, 4.0) for n in range(3))
    write_video(folder / "input.mp4", start, 7.0)
    write_video(folder / "other.mp4", other, 7.0)
    write_video(folder / "extended.mp4", np.concatenate([start, more[:5]]), 7.0)
    write_video(folder / "new.mp4", more[:5], 7.0)
    write_image(folder / "picture.png", start[0])
    return folder


def video(
    media: Path,
    name: str,
    companions: dict[Role, str],
    given: Given | None = None,
    text: str | None = PROMPT,
) -> Video:
    found = {role: ref(media / each, media) for role, each in companions.items()}
    return Video(
        id=name,
        model="mora",
        text=text,
        media=ref(media / f"{name}.mp4", media),
        companions=found,
        given=given,
    )


def score(
    media: Path,
    run: Path,
    videos: list[Video],
    networks: Networks,
    metrics: tuple[str, ...] | None = ("tcon",),
    protocol: Protocol = SOUND,
) -> dict[tuple[str, str], Score]:
    def absolute(video: Video) -> Video:
        def moved(each):
            return each.model_copy(update={"path": str(media / each.path)})

        kept = {r: m if isinstance(m, Failure) else moved(m) for r, m in video.companions.items()}
        return video.model_copy(update={"media": moved(video.media), "companions": kept})

    with Ledger.open(run, {}) as ledger:
        ledger.add_videos(map(absolute, videos))
        engine.evaluate(ledger, protocol, networks, metrics=metrics)
        return {(each.video_id, each.metric): each for each in ledger.all_scores()}


def embedded(path: Path, networks: Networks, frames: slice = slice(None)) -> np.ndarray:
    clip = read_video(path)
    cut = Clip(clip.frames[frames].copy(), clip.fps)
    with scoring.exact():
        return ViclipVideo().compute(decoded(cut, CPU), networks)[0].astype(np.float64)


def test_a_video_is_of_a_piece_with_itself(media: Path, tmp_path: Path, networks: Networks) -> None:
    one = video(media, "input", {Role.INPUT_VIDEO: "input.mp4"}, Given())
    scores = score(media, tmp_path, [one], networks)
    assert scores["input", "tcon"].value == pytest.approx(1, abs=1e-6)
    assert scores["input", "tcon"].value <= 1


def test_the_new_part_is_scored_alone_and_the_whole_with_what_was_given(
    media: Path, tmp_path: Path, networks: Networks
) -> None:
    one = video(media, "extended", {Role.INPUT_VIDEO: "input.mp4"}, Given(start=6))
    new = score(media, tmp_path / "new", [one], networks)["extended", "tcon"].value
    whole = score(media, tmp_path / "whole", [one], networks, protocol=WHOLE)["extended", "tcon"]
    source = embedded(media / "input.mp4", networks)
    alone = embedded(media / "extended.mp4", networks, slice(6, None))
    complete = embedded(media / "extended.mp4", networks)
    assert new == pytest.approx(source @ alone, abs=1e-6)
    assert whole.value == pytest.approx(source @ complete, abs=1e-6)
    assert whole.value - new > 1e-4, "frames that repeat the input make it the easier"


def test_frames_given_at_the_end_are_left_out_too(
    media: Path, tmp_path: Path, networks: Networks
) -> None:
    sides = {Role.VIDEO_BEFORE: "input.mp4", Role.VIDEO_AFTER: "other.mp4"}
    one = video(media, "extended", sides, Given(start=4, end=3))
    found = score(media, tmp_path, [one], networks, ("tmean",))["extended", "tmean"]
    part = embedded(media / "extended.mp4", networks, slice(4, 8))
    before, after = (embedded(media / f"{name}.mp4", networks) for name in ("input", "other"))
    assert found.per_frame == pytest.approx([before @ part, after @ part], abs=1e-6)
    assert found.value == pytest.approx((before @ part + after @ part) / 2, abs=1e-6)
    swapped = one.model_copy(
        update={
            "id": "swapped",
            "companions": {
                Role.VIDEO_BEFORE: one.companions[Role.VIDEO_AFTER],
                Role.VIDEO_AFTER: one.companions[Role.VIDEO_BEFORE],
            },
        }
    )
    again = score(media, tmp_path / "swapped", [swapped], networks, ("tmean",))["swapped", "tmean"]
    assert again.value == found.value
    assert again.per_frame == found.per_frame[::-1]


def test_what_the_record_does_not_allow_says_so(
    media: Path, tmp_path: Path, networks: Networks
) -> None:
    source = {Role.INPUT_VIDEO: "input.mp4"}
    unknown = video(media, "extended", source)
    nothing = video(media, "new", source, Given(start=3, end=2))
    bare = video(media, "other", {})
    scores = score(media, tmp_path, [unknown, nothing, bare], networks)
    kinds = {id_: each.failure.kind for (id_, _), each in scores.items()}
    assert kinds == {
        "extended": FailureKind.NOT_STATED,
        "new": FailureKind.TOO_FEW_FRAMES,
        "other": FailureKind.NOT_APPLICABLE,
    }
    assert scores["other", "tcon"].failure.message == "tcon needs an input video."
    assert [each.failed for each in scores.values()] == [True, True, False]
    whole = score(media, tmp_path / "whole", [unknown], networks, protocol=WHOLE)
    assert whole["extended", "tcon"].failure is None, "the whole needs no such statement"


def test_a_companion_that_cannot_be_read_costs_only_the_metrics_that_need_it(
    media: Path, tmp_path: Path, networks: Networks
) -> None:
    good = video(media, "new", {Role.INPUT_VIDEO: "input.mp4"}, Given())
    source = good.companions[Role.INPUT_VIDEO]
    missing = Failure(kind=FailureKind.NOT_FOUND, message="lost.mp4: there is no such file")
    told = {"lost": missing, "gone": source.model_copy(update={"path": "gone.mp4"})}
    told["changed"] = source.model_copy(update={"sha256": "0" * 64})
    videos = [
        good.model_copy(update={"id": name, "companions": {Role.INPUT_VIDEO: each}})
        for name, each in told.items()
    ]
    scores = score(media, tmp_path, [*videos, good], networks, ("tcon", "video_length_s"))
    kinds = {id_: scores[id_, "tcon"].failure.kind.value for id_ in told}
    assert kinds == {"lost": "not_found", "gone": "not_found", "changed": "error"}
    assert scores["lost", "tcon"].failure.message == f"input_video: {missing.message}"
    assert "has changed since it was recorded" in scores["changed", "tcon"].failure.message
    assert scores["new", "tcon"].value is not None
    assert all(scores[id_, "video_length_s"].value == 5 / 7 for id_ in (*told, "new"))


def test_a_video_that_failed_is_no_failure_of_what_does_not_apply_to_it(
    tmp_path: Path, networks: Networks
) -> None:
    failure = Failure(kind=FailureKind.REFUSED, message="the model refused")
    with Ledger.open(tmp_path, {}) as ledger:
        ledger.add_videos([Video(id="a", model="mora", failure=failure)])
        told = engine.evaluate(ledger, SOUND, networks, metrics=("tcon", "video_length_s"))
        kinds = {each.metric: each.failure.kind for each in ledger.all_scores()}
    assert kinds == {"tcon": FailureKind.NOT_APPLICABLE, "video_length_s": FailureKind.REFUSED}
    assert told.failed == 1


def test_videos_share_what_they_were_made_from(
    media: Path, tmp_path: Path, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(each, run):
        read.append(Path(each.path).name)
        return read_media(each, run)

    monkeypatch.setattr(companions_of_runs, "read_media", counted)
    sides = {Role.VIDEO_BEFORE: "input.mp4", Role.VIDEO_AFTER: "other.mp4"}
    made = {**sides, Role.INPUT_VIDEO: "input.mp4"}
    videos = [video(media, name, made, Given()) for name in ("extended", "new")]
    scores = score(media, tmp_path / "both", videos, networks, ("tcon", "tmean"))
    assert sorted(read) == ["input.mp4", "other.mp4"]
    alone = score(media, tmp_path / "one", videos[1:], networks, ("tcon", "tmean"))
    for key, each in alone.items():
        assert (each.value, each.per_frame) == (scores[key].value, scores[key].per_frame)


def test_captions_of_the_picture_and_of_the_video_are_compared(
    media: Path, tmp_path: Path, networks: Networks, describer: Describer
) -> None:
    one = video(media, "new", {Role.INPUT_IMAGE: "picture.png"})
    found = score(media, tmp_path, [one], networks, ("video_ti",))["new", "video_ti"]
    assert describer.asked == [(1, SOUND.picture_question), (5, SOUND.video_question)]
    picture = read_media(one.companions[Role.INPUT_IMAGE], media).frames
    frames = read_video(media / "new.mp4").frames
    said = [
        f"a circle of {each[0].mean():.0f} moves to {each[-1].mean():.0f}"
        for each in (picture, frames)
    ]
    asked, shown = (
        networks.sentence(text, "mean")[0].astype(np.float64)
        for text in (f"{said[0]} {PROMPT}", said[1])
    )
    cosine = asked @ shown / np.linalg.norm(asked) / np.linalg.norm(shown)
    assert found.value == pytest.approx(cosine, abs=1e-6)
    assert -1 < found.value < 1 - 1e-6


def test_the_captioner_is_shown_the_middle_frames(networks: Networks, describer: Describer) -> None:
    clip = Clip(np.arange(20, dtype=np.uint8)[:, None, None, None].repeat(3, 3) + 100, 10.0)
    seen: list[tuple[list[int], float]] = []

    def caption(frames: np.ndarray, fps: float, question: str) -> str:
        seen.append((frames[:, 0, 0, 0].tolist(), fps))
        return "a circle"

    describer.caption = caption  # type: ignore[method-assign]
    ShownSentence("What?", 4, "mean").compute(decoded(clip, CPU), networks)
    ShownSentence("What?", 40, "mean").compute(decoded(clip, CPU), networks)
    assert seen == [([102, 107, 112, 117], 2.0), (list(range(100, 120)), 10.0)]


def test_what_is_asked_is_part_of_the_fingerprint(networks: Networks) -> None:
    [metric] = make_metrics(["video_ti"], SOUND)
    print_ = fingerprint(metric, networks)
    assert print_.choices["picture_question"] == SOUND.picture_question
    assert print_.choices["video_question"] == SOUND.video_question
    assert print_.choices["caption_frames"] == 8
    assert print_.choices["bert_pooling"] == "mean"
    assert print_.choices["captioner.name"] == "describer"
    assert list(print_.checkpoints) == ["clip_mini", "vocabulary/bpe.txt.gz"]
    for change in (
        {"picture_question": "What?"},
        {"video_question": "What?"},
        {"caption_frames": 4},
        {"bert_pooling": "first"},
    ):
        other = replace(metric, protocol=SOUND.model_copy(update=change))
        assert fingerprint(other, networks).id != print_.id
        assert set(map(type, other.features)) == {AskedSentence, ShownSentence}
    for name in ("tcon", "tmean"):
        new, whole = (fingerprint(METRICS[name](each), networks) for each in (SOUND, WHOLE))
        assert (new.choices["tcon_output"], whole.choices["tcon_output"]) == ("new_part", "whole")
        assert not any("captioner" in choice for choice in new.choices)


def test_all_metrics_are_those_that_apply_to_any_video(
    media: Path, tmp_path: Path, networks: Networks, metric_weights: Path
) -> None:
    bare = video(media, "other", {})
    drawn = video(media, "new", {Role.INPUT_IMAGE: "picture.png"})
    mute = Networks("mini", metric_weights, CPU)
    assert left_out([bare], SOUND, networks) == {
        "video_ti": "video_ti needs an input picture.",
        "tcon": "tcon needs an input video.",
        "tmean": "tmean needs a video before and a video after.",
    }
    assert list(left_out([bare, drawn], SOUND, networks)) == ["tcon", "tmean"]
    without = left_out([drawn], SOUND, mute)
    assert list(without) == ["video_ti", "tcon", "tmean"]
    assert "needs a captioner" in without["video_ti"]
    assert list(left_out([], SOUND, networks)) == []
    silent = bare.model_copy(update={"text": None})
    assert {"temporal_style", "appearance_style"} <= set(left_out([silent], SOUND, networks))
    assert "temporal_style" not in left_out([silent, bare], SOUND, networks)
    with pytest.raises(MissingCaptionerError, match="captioner=openai"):
        score(media, tmp_path / "mute", [drawn], mute, ("video_ti",))
    scores = score(media, tmp_path / "both", [bare, drawn], networks, None)
    assert {metric for _, metric in scores} == set(METRICS) - {"tcon", "tmean"}
    assert scores["other", "video_ti"].failure.kind is FailureKind.NOT_APPLICABLE
    assert scores["new", "video_ti"].value is not None


def test_a_retry_leaves_what_does_not_apply(
    media: Path, tmp_path: Path, networks: Networks
) -> None:
    bare = video(media, "other", {})
    score(media, tmp_path, [bare], networks)
    with Ledger.open(tmp_path) as ledger:
        told = []
        engine.evaluate(
            ledger, SOUND, networks, metrics=("tcon",), retry_failures=True, report=told.append
        )
    assert [each.done for each in told] == [1]
