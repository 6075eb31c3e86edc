"""`mora validate` from clips to files, with metric networks of random weights."""

from pathlib import Path

import pytest
from goldens import golden
from killed import kill_at

from eval.ledger import Ledger
from eval.validate.findings import Results
from metrics.features import sizes
from mora.cli import main
from mora.media import write_video


@pytest.fixture
def weights(metric_weights: Path) -> str:
    return f"weights_folder={metric_weights}"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Five videos; four have prompts, two of which are alike."""
    folder = tmp_path / "clips"
    for number in range(5):
        frames = golden.clip(f"validate {number}", 6, 128, 128, 3.0)
        write_video(folder / f"{number}.mp4", frames, 8)
    rows = ["0.mp4,a star", "1.mp4,a star", "2.mp4,a ring", "3.mp4,a cross"]
    (tmp_path / "prompts.csv").write_text("\n".join(["file,prompt", *rows]))
    return folder


def _files(run: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in run.iterdir()
        if not path.name.startswith("ledger.")
    }


def test_a_killed_exam_goes_on_where_it_was_and_ends_the_same(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["clips=4", "metrics=temporal_style", "damages=freeze,wrong_colour"]
    settings = ["validate", weights, *few]
    # 4 clips under 4 strengths of freezing and undamaged; then with a wrong word.
    asked = [*settings, f"out={tmp_path / 'killed'}"]
    kill_at("eval.ledger:Ledger.record_scores", 8, asked, tmp_path)
    with Ledger.read(tmp_path / "killed") as ledger:
        assert len({score.video_id for score in ledger.all_scores()}) == 7
    assert main([*settings, f"out={tmp_path / 'killed'}"]) == 0
    told = capsys.readouterr()
    assert "7/24, 7 from before" in told.err
    assert main([*settings, f"out={tmp_path / 'whole'}"]) == 0
    assert capsys.readouterr().out.splitlines()[:4] == told.out.splitlines()[:4]
    killed, whole = _files(tmp_path / "killed"), _files(tmp_path / "whole")
    assert killed == whole
    assert set(whole) == {
        "index.html",
        "validate.md",
        "validate.csv",
        "validate.json",
        "validate.svg",
        "damages.png",
    }
    results = Results.model_validate_json(whole["validate.json"])
    assert results.damages == ("freeze", "wrong_colour")
    assert results.finding("temporal_style", "wrong_colour").clips == 4
    assert main([*settings, "seed=1", f"out={tmp_path / 'whole'}"]) == 2
    assert "Go on with the same settings, or name another folder" in capsys.readouterr().err


def test_videos_of_your_own(
    weights: str,
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sizes, "FORWARD_FRAMES", 6)
    own = ["validate", weights, f"videos={clips}", "metrics=appearance_style"]
    prompts = f"prompts={tmp_path / 'prompts.csv'}"
    wanted = "damages=wrong_caption,cut,speed_up"
    assert main([*own, prompts, wanted, f"out={tmp_path / 'run'}"]) == 1
    told = capsys.readouterr()
    assert "failed: appearance_style, clean: " in told.err, "the fifth clip has no prompt"
    results = Results.model_validate_json((tmp_path / "run" / "validate.json").read_text())
    assert results.clips == ("0.mp4", "1.mp4", "2.mp4", "3.mp4", "4.mp4")
    assert [level.clips for level in results.finding("appearance_style", "cut").levels] == [4] * 4
    with Ledger.read(tmp_path / "run") as ledger:
        wrong = {v.prompt_id: v.text for v in ledger.videos() if v.model == "wrong_caption 1"}
    assert wrong == {
        "0.mp4": "a ring",
        "1.mp4": "a ring",
        "2.mp4": "a cross",
        "3.mp4": "a star",
    }
    spread = [*own[:3], "metrics=object_consistency", "damages=freeze", "clips=4"]
    assert main([*spread, f"out={tmp_path / 'spread'}"]) == 0
    results = Results.model_validate_json((tmp_path / "spread" / "validate.json").read_text())
    assert results.clips == ("0.mp4", "1.mp4", "3.mp4", "4.mp4")
    freeze = results.finding("object_consistency", "freeze")
    assert freeze.found == "rises", "what stands still is consistent, whatever the weights"
    assert freeze.severest.mean == pytest.approx(1)


def test_without_prompts_only_pixels_are_examined(
    weights: str, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["validate", weights, f"videos={clips}", f"out={tmp_path / 'run'}"]
    for wrong, said in {
        "metrics=temporal_style": "metrics=temporal_style: temporal_style needs each clip's prompt",
        "damages=object_swap": "damages=object_swap: no clip can be damaged so.",
        "clips=3": "clips=3: expected at least 4",
    }.items():
        assert main([*own, wrong]) == 2
        told = capsys.readouterr().err.splitlines()[-1]
        assert told.startswith(f"mora validate: {said}")
    (clips / "4.mp4").unlink()
    (clips / "3.mp4").write_text("this is no video")
    assert main(own) == 2
    assert "3.mp4" in capsys.readouterr().err
    (clips / "3.mp4").unlink()
    assert main(own) == 2
    assert "clips: found 3, expected at least 4" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["clips=2"], "clips=2: expected at least 4"),
        (["clips=many"], "clips=many: expected at least 4"),
        (["seed=-1"], "seed=-1: expected a whole number from 0."),
        (["damages=blur,smear"], "damages=blur,smear: expected each name once, of object_swap,"),
        (["damages=blur,blur"], "damages=blur,blur: expected each name once"),
        (["metrics=beauty"], "metrics=beauty: expected each name once"),
        (["metrics=tcon"], "metrics=tcon: tcon needs"),
        (
            ["metrics=dynamic_degree", "damages=blur,word_order"],
            "damages=word_order: none of the metrics reads what they change",
        ),
        (["prompts=x.csv"], "prompts= goes with videos="),
        (["videos=a,b"], "videos=a,b: expected one folder."),
        (["videos=none/such"], "none/such: "),
        (["weights=tiny"], "weights=tiny: expected mini or official."),
        (["strengths=3"], "strengths: no such setting."),
    ],
)
def test_what_cannot_be_examined_is_told_in_one_line(
    settings: list[str],
    said: str,
    weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["validate", weights, *settings]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"mora validate: {said}")
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []
