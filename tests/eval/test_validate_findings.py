"""The exam finds out which metric follows a damage, which does not, and which is the wrong way."""

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from validate_specimens import specimen, specimens

from eval.ledger import Ledger
from eval.validate import tables
from eval.validate.damages import DAMAGES
from eval.validate.expectations import NOT_STATED, Expectation, expected, read_table
from eval.validate.findings import Results, find, judge
from eval.validate.outcome import write_outcome
from eval.validate.plot import svg
from eval.validate.trial import CLEAN, Trial, applicable, plan_trial
from metrics.imaging_quality import ImagingQuality
from metrics.networks import Networks
from metrics.protocol import load_protocol
from metrics.registry import make_metrics
from mora.errors import SettingError
from mora.records import Failure, FailureKind, Score

SOUND = load_protocol("sound")
METRIC = ImagingQuality(SOUND)
BLUR = DAMAGES["blur"]
FALLS, RISES = Expectation(direction="falls"), Expectation(direction="rises")
NOISE = np.random.default_rng(0).normal(size=(8, 1))


@dataclass(frozen=True)
class Badness(ImagingQuality):
    """A metric of which less is better."""

    higher_is_better: ClassVar[bool] = False


def following(slope: float) -> np.ndarray:
    """Eight clips whose score changes by `slope` with each strength."""
    return NOISE + slope * np.arange(5.0)


def test_a_metric_that_follows_the_damage_is_as_expected():
    finding = judge(METRIC, BLUR, FALLS, following(-1.0))
    assert (finding.found, finding.verdict, finding.trend) == ("falls", "as expected", -1.0)
    assert (finding.falling, finding.rising) == (1.0, 0.0)
    assert finding.severest.auc == 1.0
    assert finding.severest.worse == 1.0
    assert finding.severest.change == pytest.approx(-4.0)
    assert finding.severest.mean == pytest.approx(NOISE.mean() - 4)
    assert [level.strength for level in finding.levels] == list(BLUR.strengths)
    assert finding.seen_from in BLUR.strengths


def test_a_constant_metric_is_caught():
    finding = judge(METRIC, BLUR, FALLS, np.full((8, 5), 0.7))
    assert (finding.found, finding.verdict, finding.trend) == ("unmoved", "not seen", 0.0)
    assert finding.severest.auc == 0.5
    assert finding.seen_from is None


def test_a_metric_of_chance_alone_is_caught():
    finding = judge(METRIC, BLUR, FALLS, np.random.default_rng(3).normal(size=(12, 5)))
    assert (finding.found, finding.verdict) == ("unclear", "not seen")


def test_a_reversed_metric_is_caught():
    finding = judge(METRIC, BLUR, FALLS, following(+1.0))
    assert (finding.found, finding.verdict) == ("rises", "contrary")
    assert finding.severest.auc == 0.0
    assert judge(METRIC, BLUR, RISES, following(+1.0)).verdict == "as expected"


def test_less_is_better_is_read_as_such():
    goodness = -(NOISE + np.arange(5.0))  # the score grows, and so gets worse
    finding = judge(Badness(SOUND), BLUR, FALLS, goodness)
    assert (finding.found, finding.verdict) == ("falls", "as expected")
    assert finding.severest.change == pytest.approx(4.0)
    assert finding.severest.mean == pytest.approx(NOISE.mean() + 4)


def test_a_difference_within_each_clip_is_seen_though_clips_differ_more():
    finding = judge(METRIC, BLUR, FALLS, 100 * NOISE + 0.01 * -np.arange(5.0))
    assert (finding.found, finding.trend) == ("falls", -1.0)
    assert finding.severest.auc == pytest.approx(0.5)
    assert finding.severest.worse == 1.0
    assert finding.seen_from is None


def test_blind_is_blind_within_its_tolerance():
    narrow, wide = (Expectation(direction="blind", tolerance=each) for each in (0.01, 0.1))
    goodness = following(0.01)
    assert judge(METRIC, BLUR, narrow, goodness).verdict == "moves"
    assert judge(METRIC, BLUR, wide, goodness).verdict == "as expected"
    assert judge(METRIC, BLUR, NOT_STATED, goodness).verdict == "not stated"


def test_rounding_is_no_change():
    finding = judge(METRIC, BLUR, FALLS, following(-1e-8))
    assert (finding.found, finding.severest.auc, finding.falling) == ("unmoved", 0.5, 0.0)


def test_clips_without_a_score_are_counted_and_left_out():
    goodness = following(-1.0)
    goodness[0, 4] = goodness[1, 0] = np.nan
    finding = judge(METRIC, BLUR, FALLS, goodness)
    assert finding.clips == 6
    assert finding.found == "falls"
    assert [(level.clips, level.failed) for level in finding.levels] == [(7, 1)] * 3 + [(6, 2)]
    goodness[2:, 2] = np.nan
    finding = judge(METRIC, BLUR, FALLS, goodness)
    assert (finding.found, finding.verdict) == ("nothing", "open")
    assert finding.levels[1].auc is None
    assert finding.levels[0].auc is not None


def test_the_table_of_expectations_is_whole_and_closed():
    assert expected("motion_smoothness", "blur") == RISES
    assert expected("imaging_quality", "blur") == FALLS
    assert expected("imaging_quality", "shuffle").tolerance == 1e-5
    assert expected("temporal_style", "word_order") == NOT_STATED
    rest = "\n".join(f"{name}: {{}}" for name in DAMAGES if name != "blur")
    for entry, said in {
        "blur: {falls: [sharpness]}": "blur: sharpness",
        "blur: {falls: [tcon], rises: [tcon]}": "blur: tcon",
        "blurr: {}": "each of them once",
        "blur: {fall: [tcon]}": "fall",
        "blur: {blind: {tcon: -1}}": "greater than or equal",
    }.items():
        with pytest.raises(ValueError, match=said):
            read_table(f"{rest}\n{entry}")


def test_the_documentation_names_every_damage():
    told = (Path(__file__).parents[2] / "docs" / "validate.md").read_text("utf-8")
    assert [name for name in DAMAGES if f"`{name}`" not in told] == []


def test_what_makes_no_trial_is_refused():
    four = specimens()
    blur = [BLUR]
    with pytest.raises(SettingError, match="clips: found 3, expected at least 4"):
        plan_trial(four[:3], blur, 0)
    twin = replace(four[0], name="red again")
    with pytest.raises(SettingError, match="red and red again have the same content"):
        plan_trial([*four, twin], blur, 0)
    alike = [specimen(each.name, "a square") for each in four]
    with pytest.raises(SettingError, match="damages=wrong_caption: no clip can be damaged so"):
        plan_trial(alike, [DAMAGES["wrong_caption"]], 0)
    assert applicable(alike, [DAMAGES["wrong_caption"], BLUR]) == blur


def test_a_case_is_what_decides_its_pixels_and_its_words():
    four = specimens()
    damages = [DAMAGES["noise"], DAMAGES["wrong_caption"]]
    trial = plan_trial(four, damages, 0)
    assert len(trial.cases) == 4 * (1 + 4 + 1)
    assert trial.cases.keys() == plan_trial(four, damages, 0).cases.keys()
    assert not trial.cases.keys() & plan_trial(four, damages, 1).cases.keys()
    by_model = {case.model: case for case in trial.cases.values() if case.specimen.name == "blue"}
    assert by_model["wrong_caption 1"].video.text == "a green square moves right"
    assert by_model["wrong_caption 1"].video.model == "wrong_caption 1"
    assert by_model["noise 40"].video.text == "a blue square moves right"
    assert by_model["noise 40"].request.prompt.tags == {"style": "plain"}
    clean, weak, strong = (
        by_model[name].frames().astype(float) for name in (CLEAN, "noise 10", "noise 40")
    )
    middle = (clean > 60) & (clean < 200)  # where nothing is cut off at black or white
    correlation = np.corrcoef((weak - clean)[middle], (strong - clean)[middle])[0, 1]
    assert correlation > 0.9, "a stronger damage is more of the same"


def test_wrong_prompts_are_scored_on_metrics_that_read_them():
    trial = plan_trial(specimens(), [BLUR, DAMAGES["wrong_colour"], DAMAGES["wrong_style"]], 0)

    def stages(protocol: str) -> dict[tuple[str, ...], set[str]]:
        names = ("imaging_quality", "temporal_style", "appearance_style")
        found = trial.stages(make_metrics(names, load_protocol(protocol)))
        return {
            key: {trial.cases[id_].model.split()[0] for id_ in ids} for key, ids in found.items()
        }

    everything = ("imaging_quality", "temporal_style", "appearance_style")
    assert stages("sound") == {
        everything: {CLEAN, "blur"},
        everything[1:]: {"wrong_colour", "wrong_style"},
    }
    assert stages("vbench") == {
        everything: {CLEAN, "blur"},
        ("temporal_style",): {"wrong_colour"},
        everything[1:]: {"wrong_style"},
    }
    assert list(trial.stages(make_metrics(["imaging_quality"], SOUND))) == [("imaging_quality",)]


def sharpness(trial: Trial, id_: str) -> float:
    frames = trial.cases[id_].frames().astype(float)
    return float(np.abs(np.diff(frames, axis=2)).mean())


@pytest.fixture(scope="module")
def results(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Trial]:
    """Scores of three metrics: one of sharpness, one that never moves, and one that is reversed."""
    from eval.plan import fingerprint

    names = ("imaging_quality", "aesthetic_quality", "motion_smoothness", "temporal_style")
    metrics = make_metrics(names, SOUND)
    trial = plan_trial(specimens(), [BLUR, DAMAGES["shuffle"], DAMAGES["wrong_caption"]], 0)
    prints = {metric.name: fingerprint(metric, networks) for metric in metrics}
    refused = Failure(kind=FailureKind.NO_PROMPT, message="no prompt")
    with Ledger.open(tmp_path_factory.mktemp("run"), {}) as ledger:
        trial.record(ledger)
        ledger.add_fingerprints(prints.values())
        for id_, case in trial.cases.items():
            sharp = sharpness(trial, id_)
            told = {"imaging_quality": sharp, "aesthetic_quality": 0.5, "motion_smoothness": sharp}
            scores = [
                Score(video_id=id_, metric=name, fingerprint=prints[name].id, value=value)
                for name, value in told.items()
                if case.touches(next(each for each in metrics if each.name == name))
            ]
            scores.append(
                Score(
                    video_id=id_,
                    metric="temporal_style",
                    fingerprint=prints["temporal_style"].id,
                    failure=refused,
                )
            )
            ledger.record_scores(scores)
        found = find(ledger, trial, metrics, networks, source="squares", seed=0, notes=["a & b"])
    return found, trial


def test_a_trial_tells_the_true_the_constant_and_the_reversed_metric_apart(results):
    found, _ = results
    assert found.finding("imaging_quality", "blur").verdict == "as expected"
    assert found.finding("imaging_quality", "shuffle").verdict == "as expected"
    assert found.finding("aesthetic_quality", "blur").verdict == "not seen"
    assert found.finding("aesthetic_quality", "blur").found == "unmoved"
    reversed_ = found.finding("motion_smoothness", "blur")
    assert (reversed_.found, reversed_.verdict) == ("falls", "contrary")
    assert found.finding("imaging_quality", "wrong_caption") is None
    assert found.finding("temporal_style", "wrong_caption").verdict == "open"
    assert found.failures["temporal_style, blur 0.004: no prompt"] == 4
    assert tables.counts(found, "falls", "rises") == (1, 4)
    assert tables.counts(found, "blind") == (2, 2)
    [clean] = [each for each in found.clean if each.metric == "aesthetic_quality"]
    assert (clean.mean, clean.deviation, clean.clips) == (0.5, 0.0, 4)


def test_what_was_found_is_told_in_words_and_numbers(results):
    found, _ = results
    text = tables.markdown(found)
    assert "Of 4 trends that were expected 1 were shown" in text
    assert "of 2 scores that were expected to stay 2 did." in text
    assert "| Blur " in text
    assert "**= 0.50** (falls)" in text
    assert "| ↓ 1.00 ✓ " in text
    assert "a & b" in text
    assert "- was expected otherwise: blur (trend -1.00; expected that it rises)" in text
    assert "- temporal_style, clean: no prompt (4 clips)" in text
    rows = list(csv.DictReader(io.StringIO(tables.to_csv(found))))
    assert len(rows) == 4 * 8 + 1
    [row] = [
        each
        for each in rows
        if (each["metric"], each["damage"]) == ("imaging_quality", "blur")
        and each["strength"] == "0.032"
    ]
    assert (row["found"], row["verdict"], row["trend"]) == ("falls", "as expected", "-1")
    assert float(row["change"]) < 0
    assert Results.model_validate_json(found.model_dump_json()) == found


def test_the_picture_has_a_panel_for_each_finding(results):
    found, _ = results
    root = ET.fromstring(svg(found))  # noqa: S314 - made here
    space = "{http://www.w3.org/2000/svg}"
    panels = root.findall(f"{space}g")
    assert len(panels) == len(found.findings) == 4 * 2 + 1
    told = [panel.find(f"{space}title").text for panel in panels]
    assert told[0].startswith("imaging_quality, frame shuffle: expected blind, found unmoved")
    assert "imaging_quality, blur: expected falls, found falls (trend -1.00)." in "".join(told)
    for panel, words in zip(panels, told, strict=True):
        curves = len(panel.findall(f"{space}circle"))
        assert curves == (0 if words.startswith("temporal_style") else 1), "no score, no curve"
    assert "nan" not in svg(found)


def test_all_files_are_written_and_the_page_needs_nothing_else(results, tmp_path: Path):
    found, trial = results
    files = write_outcome(found, trial, tmp_path)
    assert all(path.stat().st_size for path in files.values())
    page = files["page"].read_text()
    assert "a &amp; b" in page
    assert page.count('class="missed"') == 3
    assert 'src="damages.png"' in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    before = {path: path.read_bytes() for path in files.values()}
    assert {
        path: path.read_bytes() for path in write_outcome(found, trial, tmp_path).values()
    } == before
