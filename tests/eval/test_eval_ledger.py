import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ledger_writer import DEGREE, SETTINGS, SMOOTH, both_scores, fingerprint, score, video

from eval.ledger import FILE_NAME, Ledger, LedgerBusyError, LedgerError, SettingsDifferError
from mora.records import (
    Artifact,
    Failure,
    FailureKind,
    Fingerprint,
    MediaRef,
    Prompt,
    Request,
    Score,
    Video,
)


def request(number: int) -> Request:
    prompt = Prompt(id=f"p{number}", text=f"a circle, take {number}")
    return Request(model="mora", recipe="r", prompt=prompt, seed=number)


def broken(number: int) -> Video:
    failure = Failure(kind=FailureKind.UPSTREAM, message="the picture was refused")
    return Video(id=f"v{number}", model="mora", failure=failure)


def failed(number: int, of: Fingerprint = SMOOTH) -> Score:
    failure = Failure(kind=FailureKind.TOO_SMALL, message="64 by 64")
    return Score(video_id=f"v{number}", metric=of.metric, fingerprint=of.id, failure=failure)


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger.open(tmp_path / "run", SETTINGS) as opened:
        opened.add_fingerprints([SMOOTH, DEGREE])
        yield opened


def test_requests_keep_their_order_and_are_added_once(ledger: Ledger) -> None:
    ledger.add_requests([request(2), request(1)])
    ledger.add_requests([request(1), request(3), request(2)])
    assert ledger.requests() == [request(2), request(1), request(3)]


def test_artifacts_are_shared_by_key_and_linked_by_stage(ledger: Ledger) -> None:
    ledger.add_requests([request(1), request(2)])
    text = Artifact(key="k1", stage="prompt", model="grammar", text="a red circle", seconds=0.1)
    image = Artifact(
        key="k2",
        stage="text_to_image",
        model="sdxl_mini",
        media=MediaRef(sha256="1", path="a.png", kind="image", width=8, height=8, frames=1),
    )
    ledger.record_artifact(request(1).id, text)
    ledger.record_artifact(request(1).id, image)
    ledger.link(request(2).id, "k2")
    assert ledger.artifact("k1") == text
    assert ledger.artifact("k3") is None
    assert ledger.artifacts(request(1).id) == {"prompt": text, "text_to_image": image}
    assert ledger.artifacts(request(2).id) == {"text_to_image": image}
    with pytest.raises(LedgerError, match="no artifact k3"):
        ledger.link(request(2).id, "k3")
    with pytest.raises(LedgerError, match="request nobody is not in the ledger"):
        ledger.record_artifact("nobody", text.model_copy(update={"key": "k4"}))
    assert ledger.artifact("k4") is None, "the artifact went in without its link"


def test_what_was_made_stays_and_a_failure_gives_way(ledger: Ledger) -> None:
    ledger.add_requests([request(1)])
    refused = Failure(kind=FailureKind.REFUSED, message="no")
    bad = Artifact(key="k", stage="prompt", model="m", failure=refused)
    good, other = (Artifact(key="k", stage="prompt", model="m", text=t) for t in ("one", "two"))
    for artifact, kept in ((bad, bad), (good, good), (other, good), (bad, good)):
        ledger.record_artifact(request(1).id, artifact)
        assert ledger.artifact("k") == kept


def test_a_failed_video_gives_way_with_its_scores_and_a_made_one_does_not(ledger: Ledger) -> None:
    ledger.add_videos([broken(1), video(2)])
    ledger.record_scores([failed(1), score(2, 0.5)])
    ledger.add_videos([video(2), video(1)])
    assert ledger.videos() == [video(1), video(2)]
    assert ledger.scores()["video_id"].tolist() == ["v2"]
    with pytest.raises(LedgerError, match=r"video p2 of mora .* '0'.* now it is .*'9'"):
        ledger.add_videos([video(3), video(2, sha256="9")])
    with pytest.raises(LedgerError, match=r"was there .*: the picture was refused"):
        ledger.add_videos([broken(2)])
    assert len(ledger.videos()) == 2, "half of a refused call was stored"


def test_scores_come_back_to_the_last_bit(ledger: Ledger) -> None:
    ledger.add_videos([video(1), video(2)])
    exact = Score(
        video_id="v1",
        metric=SMOOTH.metric,
        fingerprint=SMOOTH.id,
        value=0.1 + 0.2,
        per_frame=(1 / 3, 5e-324, -0.0),
        seconds=0.25,
    )
    ledger.record_scores([exact, failed(2)])
    back = ledger.score("v1", SMOOTH.id)
    assert back == exact
    assert back is not None
    assert np.signbit(back.per_frame).tolist() == [False, False, True]
    assert ledger.score("v2", SMOOTH.id) == failed(2)
    assert ledger.score("v2", DEGREE.id) is None
    assert ledger.all_scores() == [exact, failed(2)]


def test_values_stay_and_failures_are_replaced(ledger: Ledger) -> None:
    ledger.add_videos([video(1)])
    ledger.record_scores([failed(1)])
    ledger.record_scores([score(1, 0.5)])
    ledger.record_scores([score(1, 0.6, n=9)])
    assert ledger.score("v1", SMOOTH.id) == score(1, 0.5)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (score(9, 0.5), "video is not in the ledger"),
        (score(1, float("nan")), "is not finite"),
        (score(1, 0.5).model_copy(update={"per_frame": (float("inf"),)}), "is not finite"),
        (score(1, 0.5, of=fingerprint("imaging_quality")), "not in the ledger"),
        (score(1, 0.5).model_copy(update={"fingerprint": DEGREE.id}), "is of dynamic_degree"),
    ],
)
def test_a_bad_score_is_refused_with_all_that_came_with_it(
    ledger: Ledger, bad: Score, says: str
) -> None:
    ledger.add_videos([video(1), video(2)])
    with pytest.raises(LedgerError, match=says):
        ledger.record_scores([score(2, 0.5), bad])
    assert ledger.scores().empty


def test_pending_is_what_lacks_a_score(ledger: Ledger) -> None:
    ledger.add_videos([video(n) for n in range(4)])
    ledger.record_scores([score(0, 0.5), score(0, 1.0, of=DEGREE), score(1, 0.5), failed(2)])
    wanted = [SMOOTH, DEGREE]
    assert ledger.pending(["v3", "v2", "v1", "v0"], wanted) == {
        "v3": ["motion_smoothness", "dynamic_degree"],
        "v2": ["dynamic_degree"],
        "v1": ["dynamic_degree"],
    }
    again = ledger.pending(["v0", "v2"], wanted, retry_failures=True)
    assert again == {"v2": ["motion_smoothness", "dynamic_degree"]}
    assert ledger.pending(["v0"], [fingerprint("motion_smoothness", "sound")]) == {
        "v0": ["motion_smoothness"]
    }


def test_frames_of_scores(ledger: Ledger) -> None:
    ledger.add_videos([video(2, model="pan"), video(1), broken(3)])
    ledger.record_scores([score(1, 0.25, of=DEGREE), score(1, 0.5), score(2, 0.75), failed(3)])
    long = ledger.scores()
    assert long["video_id"].tolist() == ["v2", "v1", "v1", "v3"]
    assert long["metric"].tolist() == [
        "motion_smoothness", "motion_smoothness", "dynamic_degree", "motion_smoothness"
    ]  # fmt: skip
    assert long["failure"].fillna("").tolist() == ["", "", "", "too_small"]
    wide = ledger.wide()
    expected = pd.DataFrame(
        {
            "model": ["pan", "mora", "mora"],
            "motion_smoothness": [0.75, 0.5, np.nan],
            "dynamic_degree": [np.nan, 0.25, np.nan],
        },
        index=pd.Index(["v2", "v1", "v3"], name="video_id"),
    )
    pd.testing.assert_frame_equal(wide, expected)


def test_wide_refuses_two_fingerprints_in_a_column(ledger: Ledger) -> None:
    sound = fingerprint("motion_smoothness", "sound")
    ledger.add_videos([video(1)])
    ledger.add_fingerprints([sound])
    ledger.record_scores([score(1, 0.5), score(1, 0.75, of=sound)])
    with pytest.raises(LedgerError, match="2 fingerprints"):
        ledger.wide()
    assert ledger.wide("sound")["motion_smoothness"].tolist() == [0.75]


def test_resuming_compares_the_settings_that_matter(tmp_path: Path) -> None:
    Ledger.open(tmp_path, SETTINGS).close()
    task = {"name": "text_to_video", "steps": 25}
    Ledger.open(tmp_path, {"task": task, "device": "cuda"}).close()
    Ledger.open(tmp_path).close()
    with pytest.raises(SettingsDifferError, match=r"task\.steps = 25, now it is task\.steps = 30"):
        Ledger.open(tmp_path, {"task": task | {"steps": 30}, "device": "cpu"})
    with pytest.raises(SettingsDifferError, match=r"task\.seed not set, now it is task\.seed = 1"):
        Ledger.open(tmp_path, {"task": task | {"seed": 1}, "device": "cpu"})
    with pytest.raises(SettingsDifferError, match=r"task\.steps = 25, now it is task\.steps not"):
        Ledger.open(tmp_path, {"task": {"name": "text_to_video"}, "device": "cpu"})
    with Ledger.open(tmp_path, SETTINGS) as ledger:  # a refused one left no lock behind
        assert ledger.settings() == {
            "device": "cpu", "task.name": "text_to_video", "task.steps": 25
        }  # fmt: skip


def test_a_second_writer_is_refused_and_readers_are_not(ledger: Ledger) -> None:
    with pytest.raises(LedgerBusyError, match="being written by another process"):
        Ledger.open(ledger.run)
    ledger.add_videos([video(1)])
    with Ledger.read(ledger.run) as first, Ledger.read(ledger.run / FILE_NAME) as second:
        ledger.add_videos([video(2)])
        assert first.videos() == second.videos() == [video(1), video(2)]
        assert not isinstance(first, Ledger), "a reader can write"
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            first._connection.execute("DELETE FROM videos")
    ledger.close()
    Ledger.open(ledger.run).close()


def test_a_run_that_cannot_be_written_can_be_read(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.add_videos([video(1)])
    ledger.close()
    monkeypatch.setattr("os.access", lambda *_: False)
    before = sorted(path.name for path in ledger.run.iterdir())
    with Ledger.read(ledger.run) as read:
        assert read.videos() == [video(1)]
        assert sorted(path.name for path in ledger.run.iterdir()) == before


def test_files_that_are_no_ledger_of_ours(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="holds no run"):
        Ledger.read(tmp_path)
    with pytest.raises(LedgerError, match="holds no run"):
        Ledger.open(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_text("a plain text, long enough to be a header of something " * 40)
    for opened in (Ledger.read, lambda run: Ledger.open(run, SETTINGS)):
        with pytest.raises(LedgerError, match="is not a ledger"):
            opened(tmp_path)
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (a)")
    other.close()
    for opened in (Ledger.read, lambda run: Ledger.open(run, SETTINGS)):
        with pytest.raises(LedgerError, match="something else than Mora bench"):
            opened(tmp_path)
    path.unlink()
    Ledger.open(tmp_path, SETTINGS).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    for opened in (Ledger.read, Ledger.open):
        with pytest.raises(LedgerError, match="schema version 99, this program reads version 1"):
            opened(tmp_path)


def test_the_tables_refuse_what_the_records_forbid(ledger: Ledger) -> None:
    ledger.add_videos([video(1)])
    ledger.close()
    raw = sqlite3.connect(ledger.run / FILE_NAME)
    both = "INSERT INTO scores VALUES ('v1', ?, 0.5, 'error', 'why', 0.0)"
    neither = "INSERT INTO scores VALUES ('v1', ?, NULL, NULL, NULL, 0.0)"
    text = "INSERT INTO scores VALUES ('v1', ?, 'half', NULL, NULL, 0.0)"
    for statement in (both, neither, text):
        with pytest.raises(sqlite3.IntegrityError):
            raw.execute(statement, (SMOOTH.id,))
    raw.close()


def test_a_killed_writer_leaves_a_consistent_prefix(tmp_path: Path) -> None:
    here = Path(__file__)
    arguments = [sys.executable, here.with_name("ledger_writer.py"), tmp_path]
    environment = os.environ | {"PYTHONPATH": str(here.parents[2])}
    before = 0
    for wait in (0.05, 0.11, 0.23):
        child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        with pytest.raises(LedgerBusyError, match=f"process {child.pid}"):
            Ledger.open(tmp_path)
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        with Ledger.open(tmp_path, SETTINGS) as ledger:  # the lock fell with its holder
            count = len(ledger.videos())
            assert count > before, "the child wrote nothing"
            before = count
            check = sqlite3.connect(tmp_path / FILE_NAME)
            assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert check.execute("PRAGMA foreign_key_check").fetchall() == []
            check.close()
            assert ledger.videos() == [video(n) for n in range(count)]
            for number in range(count):
                scores = [ledger.score(f"v{number}", each.id) for each in (SMOOTH, DEGREE)]
                if scores == [None, None] and number == count - 1:
                    ledger.record_scores(both_scores(number))  # killed between video and scores
                else:
                    assert scores == both_scores(number)
