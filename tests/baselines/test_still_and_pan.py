"""The baselines that need no video model: a held picture, and a window moving over it."""

import numpy as np
import pytest

from baselines.pan import PanSettings, pan, window
from baselines.registry import BASELINES, make_baseline
from baselines.still import StillSettings, hold
from mora.agents.binding import Agents
from mora.agents.grammar import GrammarPrompt
from mora.errors import SettingError
from mora.records import TaskName
from mora.tasks.stage import Inputs, prompt_stage, text_to_image_stage

SETTINGS = {"frames": 14, "fps": 7}


class Painter:
    """A text-to-image agent for stages that are only looked at."""

    name, batch_size = "painter", 1

    def recipe(self) -> str:
        return "painter"


AGENTS = Agents(GrammarPrompt(), Painter(), None)


def _ramp(height: int = 96, width: int = 128) -> np.ndarray:
    """Red grows along x, green along y, so that colours tell places."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x * 1.5 + 30, y * 2.0 + 20, np.full_like(x, 90)], axis=-1).astype(np.uint8)


def test_still_holds_the_picture_exactly():
    clip = hold(_ramp(), StillSettings.model_validate(SETTINGS))
    assert clip.frames.shape == (14, 96, 128, 3)
    assert clip.fps == 7
    assert (clip.frames == _ramp()).all()


def test_pan_shows_what_its_window_says():
    settings = PanSettings.model_validate(SETTINGS)
    seed = 4
    clip = pan(_ramp(), settings, seed)
    assert clip.frames.shape == (14, 96, 128, 3)
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    for index in (0, 6, 13):
        left, top, right, bottom = window(settings, index / 13, angle)
        centre = clip.frames[index, 47:49, 63:65].reshape(-1, 3).mean(0)
        assert centre[0] == pytest.approx(((left + right) / 2 * 128 - 0.5) * 1.5 + 30, abs=1.1)
        assert centre[1] == pytest.approx(((top + bottom) / 2 * 96 - 0.5) * 2.0 + 20, abs=1.1)


def test_pan_moves_evenly_by_parts_of_a_pixel():
    clip = pan(_ramp(), PanSettings.model_validate(SETTINGS | {"zoom_to": 1.12}), 1)
    centres = clip.frames[:, 40:56, 56:72].reshape(14, -1, 3).mean(1)
    steps = np.hypot(np.diff(centres[:, 0]) / 1.5, np.diff(centres[:, 1]) / 2.0)
    assert steps.mean() == pytest.approx(0.1 * 113 / 13, rel=0.25)
    assert steps.std() < 0.25


@pytest.mark.parametrize("angle", np.linspace(0, 2 * np.pi, 9))
def test_the_window_stays_within_the_picture(angle):
    settings = PanSettings.model_validate(SETTINGS)
    for progress in np.linspace(0, 1, 11):
        left, top, right, bottom = window(settings, progress, angle)
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1


def test_a_window_that_would_leave_the_picture_is_refused():
    with pytest.raises(SettingError, match=r"model.pan: travel=0.4 leaves the picture"):
        make_baseline("pan", "pan", AGENTS, SETTINGS | {"travel": 0.4})


def test_seeds_give_other_directions_and_the_same_seed_the_same_clip():
    settings = PanSettings.model_validate(SETTINGS)
    one, two, other = (pan(_ramp(), settings, seed).frames for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


@pytest.mark.parametrize("kind", sorted(BASELINES))
def test_baselines_share_moras_stages_up_to_the_picture(kind):
    baseline = make_baseline(kind, "floor", AGENTS, SETTINGS)
    assert baseline.name == "floor"
    *shared, last = baseline.stages(TaskName.TEXT_TO_VIDEO)
    mora = [prompt_stage(AGENTS.prompt), text_to_image_stage(AGENTS.text_to_image)]
    assert [(stage.name, stage.recipe) for stage in shared] == [(s.name, s.recipe) for s in mora]
    assert (last.name, last.takes, last.makes) == (kind, ("image",), "video")
    with last.open("cpu") as work:
        clips = list(work([Inputs("", _ramp(), 1), Inputs("", _ramp(), 2)]))
    assert [len(clip.frames) for clip in clips] == [14, 14]


def test_a_setting_changes_the_recipe_and_only_the_last_stage():
    one, two = (
        make_baseline("pan", "pan", AGENTS, SETTINGS | {"travel": travel})
        for travel in (0.05, 0.06)
    )
    recipes = [
        [stage.recipe for stage in each.stages(TaskName.TEXT_TO_VIDEO)] for each in (one, two)
    ]
    assert recipes[0][:2] == recipes[1][:2]
    assert recipes[0][2] != recipes[1][2]


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("jump", SETTINGS, "model.x.kind=jump: there are still, pan"),
        ("still", {"frames": 0, "fps": 7}, "model.x.frames: "),
        ("still", SETTINGS | {"zoom": 2}, "model.x.zoom: no such setting"),
        ("pan", {"frames": 14}, "model.x.fps: "),
    ],
)
def test_wrong_settings_are_named(kind, settings, said):
    with pytest.raises(SettingError, match=said):
        make_baseline(kind, "x", AGENTS, settings)


def test_other_tasks_are_refused():
    with pytest.raises(SettingError, match="still cannot do task=edit_video"):
        make_baseline("still", "still", AGENTS, SETTINGS).stages(TaskName.EDIT_VIDEO)
