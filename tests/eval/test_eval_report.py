"""The report: sheets that show the frames, and a page that opens from disk and trusts no text."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from eval.ledger import Ledger
from eval.report.looks import Looks
from eval.report.page import mark_best
from eval.report.report import Report, write_report
from eval.report.sheets import COLUMNS, Strip, contact_sheet, thumbnails
from eval.tables import load_table_spec, make_table
from mora.media import MediaStore, read_image, ref, write_video
from mora.records import (
    Artifact,
    Failure,
    FailureKind,
    Fingerprint,
    Prompt,
    Request,
    Score,
    Video,
)

EVIL = """<script>alert("x")</script> & 'a' <img src=x onerror=alert(1)>"""
SMOOTH = Fingerprint(
    metric="motion_smoothness",
    protocol="sound",
    decoder="d",
    precision="float32",
    choices={"weighting": "videos"},
    weights="mini",
)


def _clip(shade: int, height: int = 48, width: int = 64) -> np.ndarray:
    frames = np.zeros((14, height, width, 3), np.uint8)
    frames[..., 0] = np.arange(14)[:, None, None] * 10
    frames[..., 1] = shade
    return frames


@pytest.fixture
def ledger(tmp_path):
    """Two models on three prompts; one video failed, one score failed, one text is evil."""
    run = tmp_path / "my run"
    with Ledger.open(run, {}) as opened:
        store = MediaStore(run)
        for model, shade in (("mora", 40), (EVIL, 200)):
            for place, text in enumerate(("a red circle", EVIL, "a star")):
                prompt = Prompt(id=f"p{place}", text=text)
                request = Request(model=model, recipe="r", prompt=prompt, seed=place)
                opened.add_requests([request])
                completed = Artifact(
                    key=f"k{place}", stage="prompt", model="g", text=f"{text}, {EVIL}"
                )
                opened.record_artifact(request.id, completed)
                failure = Failure(kind=FailureKind.ERROR, message=f"it broke: {EVIL}")
                broken = model == "mora" and place == 2
                opened.add_videos(
                    [
                        Video(
                            id=request.id,
                            model=model,
                            prompt_id=prompt.id,
                            text=text,
                            seed=place,
                            media=None if broken else store.add_video(_clip(shade + place), 7),
                            failure=failure if broken else None,
                        )
                    ]
                )
        opened.add_fingerprints([SMOOTH])
        for place, video in enumerate(opened.videos()):
            failed = video.failure or (
                Failure(kind=FailureKind.TOO_SMALL, message="too small") if place == 1 else None
            )
            score = Score(
                video_id=video.id,
                metric=SMOOTH.metric,
                fingerprint=SMOOTH.id,
                value=None if failed else 0.5 + place / 100,
                failure=failed,
            )
            opened.record_scores([score])
        yield opened


def _write(ledger: Ledger, **settings) -> Report:
    table = make_table([ledger], load_table_spec("text_to_video"))
    return write_report(ledger, table, ledger.run / "report", **settings)


class Reader(HTMLParser):
    """Notes elements, addresses and texts of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.addresses: list[tuple[str, str]] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [(n, v) for n, v in attrs if n in ("src", "href", "poster")]

    def handle_data(self, data):
        self.texts.append(data.strip())


def test_what_people_wrote_is_text_and_never_markup(ledger):
    page = Reader(_write(ledger).page)
    assert page.elements.count("script") == 1
    assert "onerror" not in page.attributes
    assert page.texts.count(EVIL) >= 2
    assert f"Drawn as: {EVIL}, {EVIL}" in page.texts
    assert f"it broke: {EVIL}" in page.texts


def test_every_address_is_a_file_beside_the_page(ledger):
    report = _write(ledger)
    page = Reader(report.page)
    files = [value for _, value in page.addresses if not value.startswith("#")]
    assert len([name for name in files if name.endswith(".mp4")]) == 5
    for file in files:
        assert not file.startswith(("/", "http", "file:"))
        assert (report.page.parent / unquote(file)).is_file(), file
    assert "http" not in report.page.read_text(encoding="utf-8")
    assert page.elements.count("video") == 5
    assert {"loop", "muted", "controls", "poster"} <= page.attributes


def test_it_opens_after_the_run_was_moved(ledger, tmp_path):
    report = _write(ledger)
    name = report.page.relative_to(ledger.run)
    moved = ledger.run.rename(tmp_path / "moved")
    for _, value in Reader(moved / name).addresses:
        assert value.startswith("#") or ((moved / name).parent / unquote(value)).is_file()


def test_scores_failures_and_notes_are_on_the_page(ledger):
    texts = Reader(_write(ledger).page).texts
    assert "0.530" in texts
    assert "Failures (2)" in texts
    assert texts.count("too_small") == 1, "not in the list of failures"
    assert texts.count("too small") == 2, "it is beside the video, and the message of the failure"
    assert any("not with the published ones" in text for text in texts)
    assert any(
        text.startswith("mora: 2 of 3 videos failed (error 1, too_small 1)") for text in texts
    )
    assert "Sora" in texts


def test_prompts_beyond_the_limit_are_counted(ledger):
    report = _write(ledger, prompts=2)
    page = Reader(report.page)
    assert page.elements.count("video") == 4
    assert any(text.startswith("1 more prompts are not shown here") for text in page.texts)


def test_there_is_a_sheet_for_each_model_under_a_name_that_any_disk_holds(ledger):
    sheets = _write(ledger).sheets
    assert len({path.name.lower() for path in sheets}) == 2
    for path in sheets:
        assert path.name.strip("abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
        assert read_image(path).shape[1] == COLUMNS * 128 + (COLUMNS - 1) * 6 + 2 * 24


def test_videos_that_no_browser_plays_have_a_picture_instead(tmp_path):
    write_video(tmp_path / "a.mp4", _clip(90), 7)
    (tmp_path / "a.mp4").rename(tmp_path / "a.mkv")
    with Ledger.open(tmp_path / "run", {}) as ledger:
        media = ref(tmp_path / "a.mkv", tmp_path / "run")
        ledger.add_videos([Video(id="v", model="theirs", prompt_id="a.mkv", media=media)])
        page = Reader(_write(ledger).page)
    assert "video" not in page.elements
    assert ("src", f"posters/{media.sha256}.png") in page.addresses


def test_what_was_kept_while_scoring_is_what_a_decoded_video_gives(ledger, monkeypatch):
    decoded = _write(ledger).page.parent
    looks = Looks(ledger.run / "kept")
    videos = [video for video in ledger.videos() if video.media is not None]
    read = looks.reading(videos[1:])
    for video in ledger.videos():
        clip = read(video, ledger.run)
        assert isinstance(clip, Failure) == (video.failure is not None)
    kept = sorted(path.relative_to(looks.folder) for path in looks.folder.rglob("*.png"))
    assert len(kept) == 2 * len(videos[1:])
    for name in kept:
        assert (looks.folder / name).read_bytes() == (decoded / name).read_bytes()
    monkeypatch.setattr("eval.report.looks.read_video", None)  # no file is decoded again
    for video in videos[1:]:
        look = looks.look(video.media, ledger.run)
        assert look.strip.shape == (COLUMNS, 96, 128, 3)
        assert look.poster.is_file()


def test_a_video_that_is_gone_is_told_though_its_look_was_kept(ledger):
    _write(ledger)
    gone = ledger.run / ledger.videos()[0].media.path
    gone.unlink()
    texts = Reader(_write(ledger).page).texts
    assert any("there is no such file" in text for text in texts)


def test_thumbnails_are_spread_from_the_first_frame_to_the_last():
    frames = _clip(0, 96, 128)
    picked = thumbnails(frames)
    assert picked.shape == (COLUMNS, 96, 128, 3)
    assert picked[:, 0, 0, 0].tolist() == [0, 20, 40, 60, 90, 110, 130]
    assert thumbnails(_clip(7, 200, 400)).shape == (COLUMNS, 64, 128, 3)
    assert thumbnails(frames[:3]).shape[0] == 3
    assert thumbnails(_clip(7, 200, 400))[0, 30, 60].tolist() == [0, 7, 0]


def test_a_sheet_shows_each_strip_and_its_text():
    strips = [
        Strip("a red circle", thumbnails(_clip(250, 96, 128))),
        Strip("a very long prompt " * 20, thumbnails(_clip(250, 96, 128)[:2])),
        Strip("a star", None, "it broke"),
    ]
    sheet = contact_sheet("mora", strips)
    assert sheet.shape[1] == 980
    green = (sheet[..., 1] == 250) & (sheet[..., 2] == 0)
    assert green.sum() == (7 + 2) * 96 * 128
    red = (sheet == (176, 40, 40)).all(-1)
    assert red.any(axis=1).nonzero()[0].min() > green.any(axis=1).nonzero()[0].max()
    short = contact_sheet("mora", [strips[0], Strip("a", strips[1].frames), strips[2]])
    assert short.shape[0] < sheet.shape[0]


def test_the_best_is_marked_only_where_values_differ():
    rows = [[0.5, 1.0, None, 0.1], [0.7, 1.0, 0.3, None], [0.7, None, 0.4, None]]
    assert mark_best(rows) == [
        [False, False, False, False],
        [True, False, False, False],
        [True, False, True, False],
    ]
