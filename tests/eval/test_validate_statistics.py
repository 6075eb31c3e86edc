"""The exam's arithmetic against scipy, plain counting, and simulated truth."""

import numpy as np
import pytest
from scipy import stats

from eval.validate import statistics


@pytest.mark.parametrize("seed", range(5))
def test_ranks_and_spearman_are_scipys_with_and_without_ties(seed):
    rng = np.random.default_rng(seed)
    x = rng.permutation(9).astype(float)
    for y in (rng.normal(size=9), rng.integers(0, 4, 9).astype(float)):
        assert statistics.ranks(y) == pytest.approx(stats.rankdata(y))
        assert statistics.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_what_does_not_move_follows_nothing():
    assert statistics.spearman([0, 1, 2], [5, 5, 5]) == 0
    assert statistics.spearman([0, 1, 2], [5, 5 + 1e-9, 5 - 1e-9], resolution=1e-6) == 0
    assert statistics.spearman([0, 1, 2], [5, 5 - 1e-9, 5 - 2e-9]) == -1
    assert statistics.spearman([0, 1], [1, 0]) == -1


def test_the_auc_is_the_share_of_pairs_that_are_won():
    rng = np.random.default_rng(0)
    clean, damaged = rng.integers(3, 9, 11), rng.integers(0, 7, 7)
    found = statistics.beats(clean, damaged).mean()
    won = sum((a > b) + 0.5 * (a == b) for a in clean for b in damaged)
    assert found == pytest.approx(won / 77)
    assert found == pytest.approx(stats.mannwhitneyu(clean, damaged).statistic / 77)
    assert statistics.beats([1.0], [1.0 - 1e-9], resolution=1e-6) == 0.5


def test_an_interval_of_the_auc_draws_a_clip_with_all_that_was_made_of_it():
    rng = np.random.default_rng(1)
    clean = rng.normal(size=9)
    damaged = clean - 0.8 + 0.3 * rng.normal(size=9)
    drawn = statistics.draws(9)
    found = statistics.auc_interval(statistics.beats(clean, damaged), drawn)
    again = []
    for counts in drawn:
        chosen = np.repeat(np.arange(9), counts)
        pairs = [(clean[i] > damaged[j]) for i in chosen for j in chosen if i != j]
        again.append(np.mean(pairs))
    assert found == pytest.approx(np.quantile(again, [0.025, 0.975]))


def test_a_loss_that_is_small_beside_the_difference_of_clips_is_sure_only_within_them():
    clean = np.arange(12.0)
    damaged = clean - 0.01
    drawn = statistics.draws(12)
    compared = statistics.beats(clean, damaged)
    assert statistics.auc(compared) == 0.5
    low, high = statistics.auc_interval(compared, drawn)
    assert low <= 0.5 <= high
    assert statistics.mean_interval(damaged - clean, drawn) == pytest.approx((-0.01, -0.01))


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(2)
    drawn = statistics.draws(20)
    held = 0
    for _ in range(400):
        low, high = statistics.mean_interval(rng.exponential(size=20), drawn)
        held += low <= 1 <= high
    # The percentile bootstrap is a little too sure for few and skewed values; 95 % is its aim.
    assert 0.86 < held / 400 < 0.97


def test_samples_draw_as_many_clusters_as_there_are_and_are_the_same_again():
    drawn = statistics.draws(12, seed=3)
    assert drawn.shape == (statistics.RESAMPLES, 12)
    assert (drawn.sum(1) == 12).all()
    assert (drawn == statistics.draws(12, seed=3)).all()
    assert (drawn != statistics.draws(12, seed=4)).any()
