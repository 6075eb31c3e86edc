import csv
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from eval.ledger import Ledger
from eval.rendering import Format, render, row_texts
from eval.selection import MixedFingerprintsError
from eval.tables import Column, TableSpec, load_table_spec, make_table
from metrics.protocol import load_protocol
from mora.records import (
    Failure,
    FailureKind,
    Fingerprint,
    MediaRef,
    Score,
    TaskName,
    Video,
)

GOLDENS = Path(__file__).parents[1] / "goldens" / "vbench_scores"
SPEC = load_table_spec("text_to_video")
REFUSED = Failure(kind=FailureKind.REFUSED, message="no")
SMALL = Failure(kind=FailureKind.TOO_SMALL, message="64 by 64")


def video(id_: str, model: str = "mora", frames: int = 14, fps: float = 7.0) -> Video:
    media = MediaRef(
        sha256=id_, path=f"{id_}.mp4", kind="video", width=8, height=8, frames=frames, fps=fps
    )
    return Video(id=id_, model=model, media=media)


def unmade(id_: str, model: str = "mora") -> Video:
    return Video(id=id_, model=model, failure=REFUSED)


def fingerprint(
    metric: str, protocol: str = "sound", weights: str = "mini", **changes: object
) -> Fingerprint:
    fields = {
        "metric": metric,
        "protocol": protocol,
        "decoder": "pyav",
        "precision": "float32",
        "choices": {"weighting": load_protocol(protocol).weighting(metric)},
        "checkpoints": {"net": "00"},
        "weights": weights,
        "code": "1",
    }
    return Fingerprint.model_validate(fields | changes)


def score(id_: str, of: Fingerprint, value: float | Failure, frames: int = 1) -> Score:
    failed = isinstance(value, Failure)
    return Score(
        video_id=id_,
        metric=of.metric,
        fingerprint=of.id,
        value=None if failed else value,
        per_frame=() if failed else (value,) * frames,
        failure=value if failed else None,
    )


def fill(
    run: Path,
    videos: Sequence[Video],
    prints: Sequence[Fingerprint],
    scores: Sequence[Score],
) -> Ledger:
    ledger = Ledger.open(run, {})
    ledger.add_videos(videos)
    ledger.add_fingerprints(prints)
    ledger.record_scores(scores)
    return ledger


def two_models(run: Path) -> Ledger:
    """Two videos of each of two models; one was refused, and one is too small for two metrics."""
    videos = [video("a"), unmade("b"), video("c", "pan|zoom_1", 25, 10.0), video("d", "pan|zoom_1")]
    prints = [fingerprint(metric) for metric in SPEC.metrics]
    scores = []
    for place, of in enumerate(prints):
        scores.append(score("a", of, 0.5 + place / 16))
        scores.append(score("b", of, REFUSED))
        scores.append(score("c", of, place / 8))
        small = of.metric in ("motion_smoothness", "dynamic_degree")
        scores.append(score("d", of, SMALL if small else 0.25))
    return fill(run, videos, prints, scores)


MARKDOWN = """\
Text-to-video generation, protocol sound (mini weights).

| model                            | videos | Video quality | Object consistency | Background consistency | Motion smoothness | Aesthetic quality | Dynamic degree | Imaging quality | Temporal style | Length (s) |
|----------------------------------|-------:|--------------:|-------------------:|-----------------------:|------------------:|------------------:|---------------:|----------------:|---------------:|-----------:|
| **measured (mini weights)**      |        |               |                    |                        |                   |                   |                |                 |                |            |
| mora                             |      2 |        0.656† |             0.500† |                 0.562† |            0.625† |            0.688† |         0.750† |          0.812† |         0.875† |      2.00† |
| pan\\|zoom_1                      |      2 |        0.302† |              0.125 |                  0.188 |            0.250† |             0.312 |         0.500† |           0.438 |          0.500 |       2.25 |
| **published (arXiv 2403.13248)** |        |               |                    |                        |                   |                   |                |                 |                |            |
| Sora                             |        |         0.797 |               0.95 |                   0.96 |              1.00 |              0.60 |           0.69 |            0.58 |           0.35 |         60 |
"""  # noqa: E501

NOTES = """\

- † Not of all videos.
- mora: 1 of 2 videos failed (refused 1) in all columns.
- pan|zoom_1: 1 of 2 videos failed (too_small 1) in motion smoothness, dynamic degree.
"""


def test_the_markdown_table_to_the_letter(tmp_path: Path) -> None:
    with two_models(tmp_path) as ledger:
        text = render(make_table([ledger], SPEC), "markdown")
    lines = text.splitlines(keepends=True)
    assert "".join(lines[: MARKDOWN.count("\n")]) == MARKDOWN
    assert text.endswith(NOTES)
    published = [line.split("|")[1].strip() for line in lines[8:23]]
    assert published[0] == "Sora"
    assert published[-1] == "Mora (Open-Sora-Plan tuned)"
    assert len(published) == 15


def test_the_latex_table(tmp_path: Path) -> None:
    with two_models(tmp_path) as ledger:
        text = render(make_table([ledger], SPEC), "latex")
    lines = text.splitlines()
    assert lines[:6] == [
        r"\begin{table}",
        r"\centering",
        r"\caption{Text-to-video generation, protocol sound (mini weights).}",
        r"\begin{tabular}{lrrrrrrrrrr}",
        r"\toprule",
        r"Model & Videos & " + " & ".join(column.title for column in SPEC.columns) + r" \\",
    ]
    dag = r"\textsuperscript{\dag}"
    assert lines[9] == (
        rf"pan\textbar{{}}zoom\_1 & 2 & 0.302{dag} & 0.125 & 0.188 & 0.250{dag} & 0.312 & "
        rf"0.500{dag} & 0.438 & 0.500 & 2.25 \\"
    )
    assert lines[10:12] == [
        r"\midrule",
        r"\multicolumn{11}{l}{\emph{published (arXiv 2403.13248)}} \\",
    ]
    assert lines[12] == r"Sora &  & 0.797 & 0.95 & 0.96 & 1.00 & 0.60 & 0.69 & 0.58 & 0.35 & 60 \\"
    assert lines[-1] == r"\end{table}"
    assert rf"\\[2pt] {{\footnotesize {dag} Not of all videos.}}" in lines


def test_latex_escapes_what_it_would_read_as_commands(tmp_path: Path) -> None:
    prints = [fingerprint("motion_smoothness")]
    with fill(
        tmp_path, [video("a", r"50% #1 {x}_y^2 ~ $ & \z")], prints, [score("a", prints[0], 1.0)]
    ) as ledger:
        text = render(make_table([ledger], SPEC), "latex")
    escaped = (
        r"50\% \#1 \{x\}\_y\textasciicircum{}2 \textasciitilde{} \$ \& \textbackslash{}z & 1 & -- &"
    )
    assert escaped in text


def test_the_csv_table_has_failures_in_columns(tmp_path: Path) -> None:
    with two_models(tmp_path) as ledger:
        rows = list(csv.DictReader(io.StringIO(render(make_table([ledger], SPEC), "csv"))))
    mora, pan, sora, *_ = rows
    assert (mora["source"], mora["weights"], mora["model"]) == ("measured", "mini", "mora")
    assert (pan["dynamic_degree"], pan["dynamic_degree_failed"]) == ("0.500", "1")
    assert (pan["object_consistency"], pan["object_consistency_failed"]) == ("0.125", "0")
    assert (pan["video_quality_failed"], pan["video_length_s"]) == ("1", "2.25")
    assert sora["source"] == "published (arXiv 2403.13248)"
    assert (sora["video_quality"], sora["videos"], sora["video_quality_failed"]) == (
        "0.797",
        "",
        "",
    )


def test_what_has_no_value_is_a_dash_with_its_failures(tmp_path: Path) -> None:
    of = fingerprint("dynamic_degree")
    videos = [video("a"), video("b"), unmade("c")]
    scores = [score("a", of, SMALL), score("b", of, SMALL), score("c", of, REFUSED)]
    with fill(tmp_path, videos, [of], scores) as ledger:
        table = make_table([ledger], SPEC)
        [row] = csv.DictReader(io.StringIO(render(table, "csv").split("published")[0]))
        [line] = [line for line in render(table, "markdown").splitlines() if "| mora" in line]
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells == ["3", "– (3)", "–", "–", "–", "–", "– (3)", "–", "–", "2.00†"]
    assert row["dynamic_degree"] == ""
    assert row["dynamic_degree_failed"] == "3"
    assert "mora: 3 of 3 videos failed (refused 1, too_small 2) in dynamic degree." in table.notes


@pytest.mark.parametrize(("value", "text"), [(-1e-5, "0.000"), (-0.0123, "-0.012")])
def test_what_rounds_to_zero_has_no_sign(tmp_path: Path, value: float, text: str) -> None:
    of = fingerprint("temporal_style")
    with fill(tmp_path, [video("a")], [of], [score("a", of, value)]) as ledger:
        table = make_table([ledger], SPEC)
    assert row_texts(table)[0][-2] == text
    assert f" {text} |" in render(table, "markdown")
    assert f",{text}," in render(table, "csv")


def test_videos_that_were_not_scored_yet_are_counted(tmp_path: Path) -> None:
    of = fingerprint("motion_smoothness")
    with fill(tmp_path, [video("a"), video("b")], [of], [score("a", of, 0.75)]) as ledger:
        table = make_table([ledger], SPEC)
    assert table.rows[0].cells["motion_smoothness"].value == 0.75
    assert "mora: 1 of 2 videos are not scored in motion smoothness." in table.notes


def test_video_quality_is_the_plain_mean_of_its_six(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    prints = [fingerprint(metric) for metric in SPEC.metrics]
    values = rng.random((5, len(prints)))
    scores = [score(str(i), of, values[i, j]) for i in range(5) for j, of in enumerate(prints)]
    with fill(tmp_path, [video(str(i)) for i in range(5)], prints, scores) as ledger:
        [row] = make_table([ledger], SPEC).rows
    assert row.cells["video_quality"].value == pytest.approx(values[:, :6].mean(), abs=1e-15)
    assert row.cells["temporal_style"].value == pytest.approx(values[:, 6].mean(), abs=1e-15)


@pytest.mark.parametrize(
    ("protocol", "expected"), [("vbench", (3 * 1.0 + 1 * 0.0) / 4), ("sound", 0.5)]
)
def test_means_weigh_what_the_protocol_says(tmp_path: Path, protocol: str, expected: float) -> None:
    consistency = fingerprint("object_consistency", protocol)
    smoothness = fingerprint("motion_smoothness", protocol)
    scores = [
        score(id_, of, value, frames)
        for of in (consistency, smoothness)
        for id_, value, frames in (("a", 1.0, 3), ("b", 0.0, 1))
    ]
    with fill(tmp_path, [video("a"), video("b")], [consistency, smoothness], scores) as ledger:
        [row] = make_table([ledger], SPEC).rows
    assert row.cells["object_consistency"].value == expected
    assert row.cells["motion_smoothness"].value == 0.5


REFERENCE_NAMES = {
    "object_consistency": "subject_consistency",
    "background_consistency": "background_consistency",
    "motion_smoothness": "motion_smoothness",
    "aesthetic_quality": "aesthetic_quality",
    "dynamic_degree": "dynamic_degree",
    "imaging_quality": "imaging_quality",
    "temporal_style": "temporal_style",
    "appearance_style": "appearance_style",
}


@pytest.mark.parametrize("metric", REFERENCE_NAMES)
def test_sets_of_the_reference_have_its_overall_score(tmp_path: Path, metric: str) -> None:
    case = json.loads((GOLDENS / "cases.json").read_text())["dimensions"][REFERENCE_NAMES[metric]]
    scale = 100 if metric == "imaging_quality" else 1
    results = {
        name: float(found["video_results"]) / scale for name, found in case["videos"].items()
    }
    frames = {name: int(name.split("_")[1].removesuffix("f")) for name in results}
    pairs = 1 if metric.endswith("_consistency") else 0
    spec = SPEC.model_copy(update={"columns": (Column(name="m", title="m", metric=metric),)})

    def mean(protocol: str) -> float | None:
        of = fingerprint(metric, protocol)
        scores = [score(name, of, results[name], frames[name] - pairs) for name in results]
        with fill(tmp_path / protocol, [video(name) for name in results], [of], scores) as ledger:
            return make_table([ledger], spec).rows[0].cells["m"].value

    assert mean("vbench") == pytest.approx(case["overall_one_process"], abs=2e-8)
    plain = sum(results.values()) / len(results)
    assert mean("sound") == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize("form", ["markdown", "csv", "latex"])
def test_the_order_of_scoring_does_not_show(tmp_path: Path, form: Format) -> None:
    prints = [fingerprint(metric) for metric in SPEC.metrics]
    values = np.random.default_rng(1).random((7, len(prints)))
    scores = [score(str(i), of, values[i, j]) for i in range(7) for j, of in enumerate(prints)]
    texts = set()
    for place, shuffled in enumerate((scores, scores[::-1], scores[5:] + scores[:5])):
        videos = [video(str(i)) for i in range(7)]
        with fill(tmp_path / str(place), videos, prints, shuffled) as ledger:
            texts.add(render(make_table([ledger], SPEC), form))
    assert len(texts) == 1


def test_runs_stand_below_each_other_and_equal_models_are_told_apart(tmp_path: Path) -> None:
    of = fingerprint("motion_smoothness")
    first = fill(tmp_path / "x" / "one", [video("a")], [of], [score("a", of, 0.25)])
    second = fill(
        tmp_path / "two",
        [video("a"), video("b", "pan")],
        [of],
        [score("a", of, 0.5), score("b", of, 0.75)],
    )
    third = fill(tmp_path / "y" / "one", [video("a")], [of], [score("a", of, 1.0)])
    with first, second, third:
        rows = make_table([first, second], SPEC).rows
        assert [row.label for row in rows] == ["mora [one]", "mora [two]", "pan"]
        assert [row.cells["motion_smoothness"].value for row in rows] == [0.25, 0.5, 0.75]
        labels = [row.label for row in make_table([first, second, third], SPEC).rows]
        assert labels == ["mora [x/one]", "mora [two]", "pan", "mora [y/one]"]


def test_videos_of_other_tasks_do_not_count(tmp_path: Path) -> None:
    of = fingerprint("motion_smoothness")
    other = video("b").model_copy(update={"task": TaskName.EXTEND_VIDEO})
    scores = [score("a", of, 0.25), score("b", of, 0.75)]
    with fill(tmp_path, [video("a"), other], [of], scores) as ledger:
        [row] = make_table([ledger], SPEC).rows
    assert (row.videos, row.cells["motion_smoothness"].value) == (1, 0.25)


# -- what may share a column ----------------------------------------------------------------------


def runs_with(
    folder: Path, prints: Sequence[Fingerprint], weights: Sequence[float]
) -> list[Ledger]:
    """One run for each fingerprint, of one video."""
    return [
        fill(folder / str(place), [video("a")], [of], [score("a", of, value)])
        for place, (of, value) in enumerate(zip(prints, weights, strict=True))
    ]


def test_other_fingerprints_are_refused_in_a_column_unless_told(tmp_path: Path) -> None:
    old = fingerprint("motion_smoothness")
    new = fingerprint("motion_smoothness", decoder="opencv", checkpoints={"net": "11"})
    ledgers = runs_with(tmp_path, [old, new], [0.25, 0.75])
    with pytest.raises(MixedFingerprintsError) as caught:
        make_table(ledgers, SPEC)
    assert str(caught.value).startswith(
        'motion_smoothness: the runs\' scores differ in decoder ("pyav" or "opencv"), '
        'checkpoints.net ("00" or "11"), and numbers'
    )
    table = make_table(ledgers, SPEC, mix=True)
    assert [row.cells["motion_smoothness"].value for row in table.rows] == [0.25, 0.75]
    [note] = table.notes
    assert note == (
        "motion_smoothness: mixed fingerprints, the numbers do not compare; they differ in "
        'decoder ("pyav" or "opencv"), checkpoints.net ("00" or "11").'
    )
    for form in ("markdown", "latex"):
        assert "mixed fingerprints" in render(table, form)
    for ledger in ledgers:
        ledger.close()


def test_of_fingerprints_that_cover_all_videos_the_last_counts(tmp_path: Path) -> None:
    old, new = (fingerprint("motion_smoothness", code=code) for code in ("1", "2"))
    videos = [video("a"), video("b")]
    scores = [score(id_, old, 0.25) for id_ in "ab"] + [score("a", new, 0.75)]
    with fill(tmp_path, videos, [old, new], scores) as ledger:
        [row] = make_table([ledger], SPEC).rows
        assert row.cells["motion_smoothness"].value == 0.25, "half of a new evaluation was shown"
        ledger.record_scores([score("b", new, 0.75)])
        [row] = make_table([ledger], SPEC).rows
        assert row.cells["motion_smoothness"].value == 0.75


def test_protocols_and_weights_have_to_be_named_where_there_are_several(tmp_path: Path) -> None:
    prints = {
        (protocol, weights): fingerprint("motion_smoothness", protocol, weights)
        for protocol, weights in itertools.product(("paper", "sound"), ("mini", "official"))
    }
    scores = [score("a", of, place / 8) for place, of in enumerate(prints.values())]
    with fill(tmp_path, [video("a")], list(prints.values()), scores) as ledger:
        with pytest.raises(MixedFingerprintsError, match=r"several protocol: paper, sound.*=paper"):
            make_table([ledger], SPEC)
        with pytest.raises(MixedFingerprintsError, match="several weights: mini, official"):
            make_table([ledger], SPEC, protocol="sound")
        for place, (protocol, weights) in enumerate(prints):
            table = make_table([ledger], SPEC, protocol=protocol, weights=weights)
            assert table.rows[0].cells["motion_smoothness"].value == place / 8
            said = f"protocol {protocol}" + (" (mini weights)." if weights == "mini" else ".")
            assert table.caption.endswith(said)


def test_mini_numbers_are_labelled_wherever_they_stand(tmp_path: Path) -> None:
    prints = [fingerprint("motion_smoothness", weights=each) for each in ("mini", "official")]
    ledgers = runs_with(tmp_path, prints, [0.25, 0.75])
    for form in ("markdown", "latex"):
        text = render(make_table(ledgers[:1], SPEC), form)
        assert text.count("(mini weights)") == 2, "caption and heading"
        assert "weights)" not in render(make_table(ledgers[1:], SPEC), form)
    mixed = render(make_table(ledgers, SPEC, mix=True), "markdown")
    assert "mora [0] (mini weights)" in mixed
    assert "| mora [1] " in mixed
    [first, second, *_] = csv.DictReader(
        io.StringIO(render(make_table(ledgers, SPEC, mix=True), "csv"))
    )
    assert (first["weights"], second["weights"]) == ("mini", "official")
    for ledger in ledgers:
        ledger.close()


def test_a_run_without_scores_still_has_its_row(tmp_path: Path) -> None:
    with fill(tmp_path, [video("a")], [], []) as ledger:
        table = make_table([ledger], SPEC)
    assert table.rows[0].cells["video_quality"].value is None
    assert "| mora" in render(table, "markdown")


def test_layouts_that_are_wrong() -> None:
    with pytest.raises(ValueError, match="table=image is not known; there are: text_to_video"):
        load_table_spec("image")
    with pytest.raises(ValidationError, match="give one of metric, fact, mean_of"):
        Column(name="x", title="X")
    with pytest.raises(ValidationError, match="no column quality to take the mean of"):
        TableSpec(
            name="t",
            task=TaskName.TEXT_TO_VIDEO,
            caption="T",
            decimals=3,
            columns=(Column(name="x", title="X", mean_of=("quality",)),),
        )
