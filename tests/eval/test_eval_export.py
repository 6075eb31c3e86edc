import json
from pathlib import Path

import pandas as pd
import pytest
from ledger_writer import DEGREE, SETTINGS, SMOOTH, fingerprint, score, video

from eval.export import export
from eval.ledger import Ledger
from mora.records import Failure, FailureKind, Score, Video


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger.open(tmp_path / "run", SETTINGS) as opened:
        refused = Failure(kind=FailureKind.REFUSED, message="no, said the model")
        broken = Video(id="v2", model="pan", text='says "no", twice', seed=7, failure=refused)
        opened.add_videos([video(1), broken, video(3)])
        opened.add_fingerprints([SMOOTH, DEGREE])
        opened.record_scores(
            [
                score(1, 0.1 + 0.2),
                score(1, 1.0, of=DEGREE),
                *(
                    Score(video_id="v2", metric=each.metric, fingerprint=each.id, failure=refused)
                    for each in (SMOOTH, DEGREE)
                ),
            ]
        )
        yield opened


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_scores_come_back_with_all_digits(ledger: Ledger, tmp_path: Path, form: str) -> None:
    paths = export(ledger, tmp_path / "out", (form,))
    names = [path.name for path in paths]
    assert names == [f"scores.{form}", f"videos.{form}", "fingerprints.json"]
    read = pd.read_csv if form == "csv" else pd.read_parquet
    long, wide = (read(path) for path in paths[:2])
    assert long[["video_id", "metric", "fingerprint"]].to_numpy().tolist() == [
        ["v1", "motion_smoothness", SMOOTH.id],
        ["v1", "dynamic_degree", DEGREE.id],
        ["v2", "motion_smoothness", SMOOTH.id],
        ["v2", "dynamic_degree", DEGREE.id],
    ]
    assert long["value"].tolist()[:2] == [0.1 + 0.2, 1.0]
    assert long["value"].isna().tolist() == [False, False, True, True]
    assert long["failure"].tolist()[2:] == ["refused", "refused"]
    assert long["message"].tolist()[2:] == ["no, said the model"] * 2
    assert long["text"].tolist()[2] == 'says "no", twice'
    assert wide["video_id"].tolist() == ["v1", "v2", "v3"], "videos without scores stay"
    assert wide["motion_smoothness"].tolist()[0] == 0.1 + 0.2
    assert wide["motion_smoothness"].isna().tolist() == [False, True, True]
    assert wide["dynamic_degree_failure"].fillna("").tolist() == ["", "refused", ""]
    assert wide["failure"].fillna("").tolist() == ["", "refused", ""]
    assert wide["frames"].fillna(0).tolist() == [14, 0, 14]
    prints = json.loads(paths[2].read_text())
    assert list(prints) == [SMOOTH.id, DEGREE.id]
    assert prints[SMOOTH.id]["decoder"] == "pyav"


def test_two_fingerprints_of_a_metric_have_columns_of_their_own(
    ledger: Ledger, tmp_path: Path
) -> None:
    sound = fingerprint("motion_smoothness", "sound")
    ledger.add_fingerprints([sound])
    ledger.record_scores([score(1, 0.5, of=sound)])
    wide = pd.read_csv(export(ledger, tmp_path / "out", ("csv",))[1])
    assert wide[f"motion_smoothness@{SMOOTH.id}"].tolist()[0] == 0.1 + 0.2
    assert wide[f"motion_smoothness@{sound.id}"].tolist()[0] == 0.5
    assert "dynamic_degree" in wide


def test_equal_runs_give_equal_files(ledger: Ledger, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "again", SETTINGS) as other:
        other.add_videos(ledger.videos())
        other.add_fingerprints(ledger.fingerprints())
        for each in reversed(ledger.all_scores()):
            other.record_scores([each.model_copy(update={"seconds": 9.0})])
        for one, two in zip(
            export(ledger, tmp_path / "a"), export(other, tmp_path / "b"), strict=True
        ):
            assert one.read_bytes() == two.read_bytes(), one.name


def test_a_run_without_videos_or_scores(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "run", SETTINGS) as empty:
        long, wide = (pd.read_csv(path) for path in export(empty, tmp_path / "out", ("csv",))[:2])
    assert long.empty
    assert wide.empty
    assert {"video_id", "metric", "value"} <= set(long)
