"""The statistics against independent computations, and what must not change them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eval.statistics import (
    SignFlips,
    YesNo,
    clusters,
    effect,
    effective_videos,
    holm,
    mcnemar,
    mean_interval,
    power_of_difference,
    power_of_equivalence,
    prompts_for_difference,
    prompts_for_equivalence,
    proportion_interval,
    rank_intervals,
    smallest_detectable,
)
from eval.statistics.mean import Method

METHODS: tuple[Method, ...] = ("percentile", "bca", "studentised", "t")
RNG = np.random.default_rng(8)
DIFFERENCES = RNG.normal(0.3, 1.0, 11)

numbers = st.lists(st.floats(-5, 5).map(lambda x: round(x, 3)), min_size=5, max_size=9)


def test_mean_and_error_of_clusters() -> None:
    found = clusters([1.0, 3.0, 5.0, 4.0, 8.0], ["a", "b", "a", "b", "c"])
    assert (found.prompts, found.videos) == (3, 5)
    assert found.mean == pytest.approx(21 / 5)
    assert found.spread == pytest.approx(np.std([1, 3, 5, 4, 8], ddof=1))


def test_error_with_one_video_a_prompt_is_that_of_a_mean() -> None:
    found = clusters(DIFFERENCES, range(11))
    assert found.standard_error == pytest.approx(stats.sem(DIFFERENCES))


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf]])
def test_what_is_no_score_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"expected one prompt|not finite"):
        clusters(values, range(len(values)))


@pytest.mark.parametrize("method", METHODS)
def test_copies_of_a_video_tell_nothing_new(method: Method) -> None:
    once = mean_interval(clusters(DIFFERENCES, range(11)), method=method)
    thrice = mean_interval(
        clusters(np.repeat(DIFFERENCES, 3), np.repeat(range(11), 3).tolist()), method=method
    )
    assert once is not None
    assert thrice is not None
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize("method", METHODS)
def test_interval_moves_and_stretches_with_the_values(method: Method) -> None:
    plain = mean_interval(clusters(DIFFERENCES, range(11)), method=method)
    moved = mean_interval(clusters(100 + 10 * DIFFERENCES, range(11)), method=method)
    assert plain is not None
    assert moved is not None
    assert (moved.low, moved.high) == pytest.approx((100 + 10 * plain.low, 100 + 10 * plain.high))


def test_t_and_bca_agree_with_scipy() -> None:
    values = clusters(DIFFERENCES, range(11))
    t = mean_interval(values, method="t")
    expected = stats.ttest_1samp(DIFFERENCES, 0).confidence_interval(0.95)
    assert t is not None
    assert (t.low, t.high) == pytest.approx(tuple(expected))
    bca = mean_interval(values, method="bca", resamples=20_000)
    theirs = stats.bootstrap((DIFFERENCES,), np.mean, n_resamples=20_000, rng=1).confidence_interval
    assert bca is not None
    width = theirs.high - theirs.low
    assert (bca.low, bca.high) == pytest.approx(tuple(theirs), abs=0.03 * width)


def test_interval_is_cut_at_what_is_possible() -> None:
    found = mean_interval(clusters([0.9, 1.0, 1.0, 0.97], range(4)), bounds=(0, 1))
    assert found is not None
    assert found.high == 1.0


def test_one_prompt_has_no_interval_and_equal_prompts_have_a_point() -> None:
    assert mean_interval(clusters([1.0, 2.0], ["a", "a"])) is None
    point = mean_interval(clusters([0.1] * 7, range(7)))
    assert point is not None
    assert (point.low, point.high) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize("yes", [0, 1, 5, 12])
def test_share_with_one_video_a_prompt_is_wilsons(yes: int) -> None:
    found = proportion_interval(clusters([1.0] * yes + [0.0] * (12 - yes), range(12)))
    theirs = stats.binomtest(yes, 12).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=1e-12)


def test_videos_that_agree_within_a_prompt_are_worth_one() -> None:
    shares = RNG.random(40) < 0.4
    prompts = np.repeat(range(40), 5).tolist()
    assert effective_videos(clusters(np.repeat(shares, 5), prompts)) == pytest.approx(40)
    apart = RNG.random(200) < 0.4
    assert effective_videos(clusters(apart, prompts)) > 120


def test_signs_are_flipped_as_in_scipy() -> None:
    theirs = stats.permutation_test(
        (DIFFERENCES, np.zeros(11)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert SignFlips(DIFFERENCES).p_equal() == pytest.approx(theirs.pvalue)


def test_drawn_signs_come_near_all_signs() -> None:
    differences = RNG.normal(0.4, 1.0, 16)
    found = SignFlips(differences)
    theirs = stats.permutation_test(
        (differences, np.zeros(16)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
        alternative="greater",
    ).pvalue
    assert not found.exact
    assert found.p_above(0.0) == pytest.approx(theirs, abs=4 * math.sqrt(theirs / 19_999))


def test_drawn_signs_are_the_same_every_time() -> None:
    differences = RNG.normal(size=30)
    assert SignFlips(differences).interval(0.9) == SignFlips(differences).interval(0.9)
    assert SignFlips(differences).interval(0.9) != SignFlips(differences, seed=1).interval(0.9)


@settings(max_examples=60, deadline=None)
@given(numbers, st.sampled_from([0.5, 0.8, 0.9]))
def test_test_rejects_just_what_the_interval_leaves_out(values: list[float], level: float) -> None:
    found = SignFlips(values)
    held = found.interval(level)
    tail = (1 - level) / 2 + 1e-9
    for shift in np.linspace(-6, 6, 41):
        inside = found.p_above(shift) > tail and found.p_below(shift) > tail
        near = min(abs(shift - held.low), abs(shift - held.high)) < 1e-9
        assert near or inside == (shift in held)


@settings(max_examples=40, deadline=None)
@given(numbers)
def test_turning_the_differences_turns_the_answers(values: list[float]) -> None:
    for kind in (SignFlips, YesNo):
        scale = 5.0 if kind is YesNo else 1.0
        one, other = kind(np.array(values) / scale), kind(-np.array(values) / scale)
        assert one.p_below(0.2) == pytest.approx(other.p_above(-0.2))
        assert one.p_equal() == pytest.approx(other.p_equal())
        assert one.p_equivalent(0.5) == pytest.approx(other.p_equivalent(0.5))


def test_sums_in_another_order_do_not_break_ties() -> None:
    # 0.1 + 0.2 - 0.3 is not 0 in binary, yet these signs are balanced.
    tied = SignFlips([0.1, 0.2, -0.3, 0.3, -0.2, -0.1])
    assert tied.p_above(0.0) == pytest.approx(tied.p_below(0.0))
    assert tied.p_above(0.0) > 0.5


def test_too_few_prompts_bound_nothing() -> None:
    few = SignFlips([1.0, 1.1, 0.9, 1.0])
    assert few.interval(0.9).low == -math.inf
    assert few.p_above(0.0) == pytest.approx(1 / 16)


def test_mcnemar_of_a_published_example() -> None:
    # Fagerland, Lydersen and Laake (2013), airway hyper-responsiveness: 1 and 7 of 21 changed.
    assert mcnemar(1, 7, mid=False) == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar(1, 7) == pytest.approx(0.0391, abs=5e-5)
    assert mcnemar(7, 1) == mcnemar(1, 7)
    assert mcnemar(0, 0) == 1.0
    assert YesNo([1.0] + [-1.0] * 7 + [0.0] * 13).p_equal() == pytest.approx(0.0391, abs=5e-5)


def test_adjusted_wald_interval() -> None:
    found = YesNo([1.0] + [-1.0] * 7 + [0.0] * 13).interval(0.95)
    # (1 + 1) and (7 + 1) changes of 21 + 2 pairs, by the formula of Bonett and Price.
    up, down, n = 2 / 23, 8 / 23, 23
    reach = 1.959964 * math.sqrt((up + down - (up - down) ** 2) / n)
    assert (found.low, found.high) == pytest.approx((up - down - reach, up - down + reach))


def test_no_changes_are_no_proof_that_there_are_none() -> None:
    few = YesNo(np.zeros(10))
    assert few.p_equivalent(0.1) > 0.05
    assert YesNo(np.zeros(100)).p_equivalent(0.1) < 0.001


def test_several_seeds_a_prompt_use_shares() -> None:
    shares = np.array([0.5, -0.25, 0.75, 0.5, 0.25, 0.0, 1.0, 0.5])
    assert YesNo(shares).p_equal() == pytest.approx(SignFlips(shares).p_equal())


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_effect_has_hedges_correction_and_counts_prompts() -> None:
    found = effect(DIFFERENCES, level=0.95)
    ratio = DIFFERENCES.mean() / DIFFERENCES.std(ddof=1)
    assert found.size == pytest.approx(ratio * (1 - 3 / (4 * 10 - 1)), rel=1e-3)
    assert found.interval is not None
    assert found.size in found.interval
    assert found.better + found.equal + found.worse == 11
    turned = effect(-DIFFERENCES, level=0.95)
    assert turned.interval is not None
    assert turned.interval.low == pytest.approx(-found.interval.high)
    assert effect([0.5] * 6, level=0.95).size is None


@pytest.mark.parametrize("prompts", [12, 50, 400])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_power_is_that_of_the_t_test(prompts: int, alpha: float) -> None:
    size = 2.8 / math.sqrt(prompts)
    exact = stats.nct.sf(stats.t.isf(alpha, prompts - 1), prompts - 1, 2.8)
    assert power_of_difference(size, 1.0, prompts, alpha) == pytest.approx(exact, abs=0.004)
    smallest = smallest_detectable(1.0, prompts, alpha=alpha)
    assert power_of_difference(smallest, 1.0, prompts, alpha) == pytest.approx(0.8)
    assert smallest_detectable(3.0, prompts, alpha=alpha) == pytest.approx(3 * smallest)


@pytest.mark.parametrize("difference", [0.1, 0.4, 2.0])
def test_needed_prompts_are_the_least_that_do(difference: float) -> None:
    needed = prompts_for_difference(difference, 1.0, alpha=0.05)
    assert needed is not None
    assert power_of_difference(difference, 1.0, needed, 0.05) >= 0.8
    assert power_of_difference(difference, 1.0, needed - 1, 0.05) < 0.8


def test_needed_prompts_for_equivalence() -> None:
    needed = prompts_for_equivalence(0.3, 0.1, 1.0, alpha=0.05)
    assert needed is not None
    assert power_of_equivalence(0.3, 0.1, 1.0, needed, 0.05) >= 0.8
    assert power_of_equivalence(0.3, 0.1, 1.0, needed - 1, 0.05) < 0.8
    assert prompts_for_equivalence(0.3, 0.3, 1.0, alpha=0.05) is None


def test_what_no_number_of_prompts_shows() -> None:
    assert prompts_for_difference(0.0, 1.0, alpha=0.05) is None
    assert prompts_for_difference(1e-6, 1.0, alpha=0.05) is None
    assert smallest_detectable(1.0, 4, alpha=0.05) == math.inf
    assert smallest_detectable(0.0, 40, alpha=0.05) == 0.0
    assert prompts_for_difference(1.0, 0.0, alpha=0.05) == 5


def test_places_of_models_far_apart_are_known() -> None:
    scores = RNG.normal(size=(60, 1)) + 0.1 * RNG.normal(size=(60, 4)) + np.array([3, 1, 2, 0])
    found = rank_intervals(scores)
    assert [(each.best, each.rank, each.worst) for each in found] == [
        (1, 1, 1),
        (3, 3, 3),
        (2, 2, 2),
        (4, 4, 4),
    ]
    lower = rank_intervals(scores, higher_is_better=False)
    assert [each.rank for each in lower] == [4, 2, 3, 1]


def test_places_of_equal_models_are_open() -> None:
    same = np.repeat(RNG.normal(size=(20, 1)), 3, axis=1)
    assert {(each.best, each.rank, each.worst) for each in rank_intervals(same)} == {(1, 1, 3)}
    shifted = same + np.array([0.0, 1.0, 2.0])  # each prompt differs alike: no doubt is left
    assert [(each.best, each.worst) for each in rank_intervals(shifted)] == [(3, 3), (2, 2), (1, 1)]


def test_places_need_all_scores() -> None:
    with pytest.raises(ValueError, match="finite scores"):
        rank_intervals([[1.0, math.nan], [1.0, 2.0]])
