"""Each damage does what its name says, more strongly at a greater strength, the same each time."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from validate_specimens import clip, specimen

from eval.validate import repaint, retime
from eval.validate.damages import DAMAGES, Damage, Repainted, Retimed, Reworded, Swapped

ONE, OTHER = specimen("red"), specimen("blue")


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def pixels(damage: Damage, strength: float, of=ONE, other=OTHER) -> np.ndarray:
    return damage.pixels(of, other, strength, rng())


def far(frames: np.ndarray) -> float:
    """Mean difference from the clip, frame by frame as far as there are frames."""
    clean = ONE.read()[: len(frames)]
    return np.abs(frames.astype(int) - clean).mean()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_no_strength_is_no_damage(damage):
    assert damage.applies(ONE, OTHER)
    assert (pixels(damage, 0.0) == ONE.read()).all()
    assert damage.length(10, 0.0) == 10
    assert damage.wording(ONE, OTHER, 0.0, rng()) == ONE.wording


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damage_is_the_same_each_time_and_keeps_the_form_of_a_clip(damage):
    assert list(damage.strengths) == sorted(set(damage.strengths))
    assert damage.strengths[0] > 0
    for strength in damage.strengths:
        frames = pixels(damage, strength)
        assert frames.dtype == np.uint8
        assert frames.shape == (damage.length(10, strength), *ONE.read().shape[1:])
        assert (frames == pixels(damage, strength)).all()
        assert damage.wording(ONE, OTHER, strength, rng()) == damage.wording(
            ONE, OTHER, strength, rng()
        )


@pytest.mark.parametrize(
    "damage",
    [each for each in DAMAGES.values() if isinstance(each, (Repainted, Swapped))],
    ids=lambda each: each.name,
)
def test_a_greater_strength_changes_more(damage):
    distances = [far(pixels(damage, strength)) for strength in (0.0, *damage.strengths)]
    assert (np.diff(distances) > 0).all(), distances


@pytest.mark.parametrize(
    "damage",
    [each for each in DAMAGES.values() if isinstance(each, Reworded)],
    ids=lambda e: e.name,
)
def test_wrong_prompts_leave_the_pixels_and_change_the_text(damage):
    assert pixels(damage, damage.strengths[-1]) is ONE.read()
    wrong = damage.wording(ONE, OTHER, damage.strengths[-1], rng())
    assert wrong.text != ONE.wording.text


def test_a_swap_keeps_the_first_frames_and_exchanges_the_last():
    for name, other in {
        "object_swap": ONE.swapped["object"](),
        "background_swap": ONE.swapped["background"](),
        "cut": OTHER.read(),
    }.items():
        frames = pixels(DAMAGES[name], 0.3)
        assert (frames[:7] == ONE.read()[:7]).all()
        assert (frames[7:] == other[7:]).all()
        assert (pixels(DAMAGES[name], 1.0)[0] == ONE.read()[0]).all()


def test_a_cut_fits_the_other_clip_to_the_size_and_the_length():
    other = specimen("green", frames=3, height=30, width=30)
    frames = pixels(DAMAGES["cut"], 0.5, other=other)
    assert frames.shape == ONE.read().shape
    assert (frames[5] != ONE.read()[5]).any()
    assert (frames[6] == frames[9]).all(), "the short clip goes round"


def test_swaps_within_a_clip_need_its_maker():
    bare = replace(specimen("red"), swapped={}, misworded={}, wording=None)
    unable = {name for name, damage in DAMAGES.items() if not damage.applies(bare, OTHER)}
    assert unable == {
        "object_swap",
        "background_swap",
        *(name for name, damage in DAMAGES.items() if isinstance(damage, Reworded)),
    }
    alone = specimen("red", frames=1)
    assert not DAMAGES["freeze"].applies(alone, OTHER)
    assert not DAMAGES["cut"].applies(alone, OTHER)
    assert DAMAGES["blur"].applies(alone, OTHER)


def test_shuffling_moves_the_share_that_was_asked_for_and_loses_no_frame():
    order = retime.shuffled(12, 0.5, rng())
    assert sorted(order) == list(range(12))
    assert (order != np.arange(12)).sum() == 6
    assert (retime.shuffled(12, 1.0, rng()) != np.arange(12)).all()


def test_retiming_by_hand():
    assert retime.frozen(8, 0.5, rng()).tolist() == [0, 1, 2, 3, 3, 3, 3, 3]
    assert retime.frozen(8, 1.0, rng()).tolist() == [0] * 8
    assert retime.faster(8, 1.0, rng()).tolist() == [0, 2, 4, 6]
    assert retime.faster(7, 0.5, rng()).tolist() == [0, 1, 3, 4, 6]
    assert retime.slower(8, 1.0, rng()).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    kept = retime.dropped(12, 0.5, rng())
    assert len(kept) == 6
    assert kept[0] == 0
    assert (np.diff(kept) > 0).all()


@pytest.mark.parametrize(
    "damage", [each for each in DAMAGES.values() if isinstance(each, Retimed)], ids=lambda e: e.name
)
def test_retiming_shows_frames_of_the_clip_only(damage):
    clean = {frame.tobytes() for frame in ONE.read()}
    assert {frame.tobytes() for frame in pixels(damage, damage.strengths[-1])} <= clean


def test_a_stronger_drop_loses_what_a_weaker_one_did_and_more():
    kept = [set(retime.dropped(14, share, rng())) for share in DAMAGES["drop"].strengths]
    assert all(more < fewer for fewer, more in pairwise(kept))


def test_jitter_moves_whole_frames_and_no_farther_than_it_says():
    frames = repaint.jittered(ONE.read(), 0.08, rng())
    most = int(np.ceil(0.08 * 96))
    shifts = set()
    for clean, moved in zip(ONE.read(), frames, strict=True):
        padded = np.pad(clean, ((most, most), (most, most), (0, 0)), mode="edge")
        found = [
            (down, right)
            for down in range(2 * most + 1)
            for right in range(2 * most + 1)
            if (padded[down : down + 96, right : right + 128] == moved).all()
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 5


def test_noise_has_the_deviation_that_it_says_and_is_new_in_each_frame():
    grey = np.full((4, 64, 64, 3), 128, np.uint8)
    noise = repaint.noisy(grey, 10, rng()).astype(float) - 128
    assert noise.std() == pytest.approx(10, rel=0.02)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_flicker_changes_brightness_and_nothing_else():
    grey = np.full((6, 8, 8, 3), 100, np.uint8)
    frames = repaint.flickering(grey, 0.4, rng())
    assert all(len(np.unique(frame)) == 1 for frame in frames)
    assert 60 <= frames.min() < 90 < 110 < frames.max() <= 140


def test_a_blur_is_the_same_at_any_size():
    small = clip("red", frames=1, height=64, width=64)
    large = small.repeat(4, axis=1).repeat(4, axis=2)
    first = repaint.blurred(small, 0.05, rng())[0].astype(float)
    second = repaint.blurred(large, 0.05, rng())[0].reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(first - second).mean() < 0.1 * np.abs(first - small[0]).mean()


def test_downscaling_leaves_no_more_detail_than_the_small_picture_has():
    rows = np.zeros((1, 64, 64, 3), np.uint8)
    rows[:, ::2] = 200
    assert np.ptp(repaint.downscaled(rows, 0.5, rng())) == 0


def test_compression_takes_odd_sizes_and_keeps_what_is_seen():
    odd = clip("red", frames=5, height=49, width=67)
    for change, strength in ((repaint.as_jpeg, 25), (repaint.as_h264, 18)):
        frames = change(odd, strength, rng())
        assert frames.shape == odd.shape
        error = np.abs(frames.astype(int) - odd).mean((1, 2, 3))
        assert (error > 0).all()
        assert (error < 20).all()
