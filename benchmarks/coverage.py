"""Do the statistics keep their promises? Intervals and tests on scores whose truth is known.

    OMP_NUM_THREADS=1 python -m benchmarks.coverage            the tables of docs/statistics.md
    OMP_NUM_THREADS=1 python -m benchmarks.coverage runs=500   faster, with more noise

Each cell is a share of simulated experiments. Its standard error is sqrt(p (1 - p) / runs): 0.5 %
for a share of 95 % and 2,000 runs.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np

from eval.statistics import (
    Evidence,
    SignFlips,
    YesNo,
    clusters,
    mcnemar,
    mean_interval,
    power_of_difference,
    power_of_equivalence,
    proportion_interval,
    rank_intervals,
)
from eval.statistics.clusters import Clusters, Interval, Numbers

PROMPTS: Final = (12, 50, 100)
PATTERNS: Final = 1999
"""Patterns of signs in a simulated test; a real one has more."""

World = Callable[[np.random.Generator, int, int], Numbers]
"""Draws scores (N prompts, videos of each) from a generator; their true mean is known."""


def normal(rng: np.random.Generator, prompts: int, videos: int) -> Numbers:
    """Half the variance is the prompt's, half the seed's; mean 0."""
    return np.asarray(rng.normal(size=(prompts, 1)) + rng.normal(size=(prompts, videos)))


def skewed(rng: np.random.Generator, prompts: int, videos: int) -> Numbers:
    """Near 1 with a long tail below, as consistencies are; mean 0 after shifting."""
    drawn = np.exp(0.7 * normal(rng, prompts, videos))
    return np.asarray(np.exp(0.7**2) - drawn)


def steady(rng: np.random.Generator, prompts: int, videos: int) -> Numbers:
    """Normal with little spread; mean 0."""
    return 0.2 * normal(rng, prompts, videos)


def heavy(rng: np.random.Generator, prompts: int, videos: int) -> Numbers:
    """Student's t with 3 degrees of freedom for the prompt and for the seed; mean 0."""
    return np.asarray(rng.standard_t(3, (prompts, 1)) + rng.standard_t(3, (prompts, videos)))


def yes_no(share: float, rng: np.random.Generator, prompts: int, videos: int) -> Numbers:
    """Yes with a mean share; half of the variance of a prompt's share is the prompt's own."""
    own = rng.beta(share, 1 - share, (prompts, 1))
    return (rng.random((prompts, videos)) < own).astype(np.float64)


VALUES: Final[dict[str, World]] = {"normal": normal, "skewed": skewed, "heavy tails": heavy}
SHARES: Final = (0.5, 0.1)


def intervals(runs: int) -> list[list[str]]:
    """Coverage of 95 % intervals of a mean, and their width over that of Student's."""
    methods = ("percentile", "bca", "studentised", "t")
    rows = [["scores", "videos a prompt", "prompts", *methods, "width of studentised to t"]]
    for name, world in VALUES.items():
        for videos in (1, 4):
            for prompts in PROMPTS:
                rng = np.random.default_rng([len(name), videos, prompts])
                held = dict.fromkeys(methods, 0)
                widths = dict.fromkeys(methods, 0.0)
                for _ in range(runs):
                    drawn = _clusters(world(rng, prompts, videos))
                    for method in methods:
                        found = mean_interval(drawn, method=method, resamples=2000)
                        assert found is not None
                        held[method] += 0.0 in found
                        widths[method] += found.high - found.low
                shares = [_percent(held[method] / runs) for method in methods]
                ratio = widths["studentised"] / widths["t"]
                rows.append([name, str(videos), str(prompts), *shares, f"{ratio:.2f}"])
    return rows


def shares(runs: int) -> list[list[str]]:
    """Coverage of 95 % intervals of a share of videos."""
    rows = [["true share", "videos a prompt", "prompts", "Wilson, by prompt", "t", "bca"]]
    for share in SHARES:
        for videos in (1, 4):
            for prompts in PROMPTS:
                rng = np.random.default_rng([int(100 * share), videos, prompts])
                held = [0, 0, 0]
                for _ in range(runs):
                    drawn = _clusters(yes_no(share, rng, prompts, videos))
                    found: list[Interval | None] = [
                        proportion_interval(drawn),
                        mean_interval(drawn, method="t"),
                        mean_interval(drawn, method="bca", resamples=2000),
                    ]
                    for place, each in enumerate(found):
                        held[place] += each is not None and share in each
                cells = [_percent(each / runs) for each in held]
                rows.append([f"{share:g}", str(videos), str(prompts), *cells])
    return rows


def tests(runs: int) -> list[list[str]]:
    """False alarms of tests at 5 % on paired prompts, and coverage of their intervals.

    In the last three columns the candidate's true loss is just the margin (a third to a half of
    the standard deviation of a difference, for shares 0.2), where to call it worse is still wrong,
    and to call it equivalent is, too. `lopsided` compares normal scores with skewed ones, so that
    the differences are not symmetric, which the sign-flip test supposes.
    """
    rows = [
        [
            "scores",
            "videos a prompt",
            "prompts",
            "different, though equal",
            "worse, at the margin",
            "equivalent, at the margin",
            "90 % interval holds",
        ]
    ]
    for name, world, margin in (
        ("normal", normal, 0.7),
        ("skewed", skewed, 0.6),
        ("heavy tails", heavy, 1.2),
        ("lopsided", skewed, 0.4),
        ("yes or no, 0.5", partial(yes_no, 0.5), 0.2),
        ("yes or no, 0.9", partial(yes_no, 0.9), 0.2),
    ):
        binary = isinstance(world, partial)
        for videos in (1, 4):
            for prompts in PROMPTS:
                rng = np.random.default_rng([len(name), videos, prompts, 1])
                wrong = np.zeros(4)
                for _ in range(runs):
                    other = steady if name == "lopsided" else world
                    first = other(rng, prompts, videos).mean(axis=1)
                    second = world(rng, prompts, videos).mean(axis=1)
                    equal = _evidence(second - first, binary)
                    wrong[0] += equal.p_equal() <= 0.05
                    if binary:
                        lost = np.asarray(world.args[0] - margin)
                        second = yes_no(float(lost), rng, prompts, videos).mean(axis=1)
                        less = _evidence(second - first, binary)
                    else:
                        less = _evidence(second - first - margin, binary)
                    wrong[1] += less.p_below(-margin) <= 0.05
                    wrong[2] += less.p_equivalent(margin) <= 0.05
                    wrong[3] += -margin in less.interval(0.9)
                cells = [_percent(each / runs) for each in wrong]
                rows.append([name, str(videos), str(prompts), *cells])
    return rows


def powers(runs: int) -> list[list[str]]:
    """Simulated power of the sign-flip tests at 5 % beside what the formulas say."""
    rows = [["question", "prompts", "simulated", "formula"]]
    for prompts in PROMPTS:
        size = 2.6 / np.sqrt(prompts)
        rng = np.random.default_rng([prompts, 2])
        found = 0
        alike = 0
        for _ in range(runs):
            drawn = rng.normal(size=prompts)
            found += _evidence(drawn + size, False).p_above(0.0) <= 0.05
            alike += _evidence(drawn, False).p_equivalent(3 / np.sqrt(prompts)) <= 0.05
        said = power_of_difference(size, 1.0, prompts, 0.05)
        rows.append(["a difference", str(prompts), _percent(found / runs), _percent(said)])
        said = power_of_equivalence(3 / np.sqrt(prompts), 0.0, 1.0, prompts, 0.05)
        rows.append(["equivalence", str(prompts), _percent(alike / runs), _percent(said)])
    return rows


def places(runs: int) -> list[list[str]]:
    """How often the rank intervals of all models hold the true places together."""
    rows = [["models", "prompts", "all places held", "mean places left open"]]
    for models in (4, 10):
        # Pairs of neighbours are equal: such ties are the hardest to hold.
        truth = np.repeat(np.arange(models // 2), 2) * 0.4
        best = np.array([1 + int((truth > value).sum()) for value in truth])
        worst = np.array([models - int((truth < value).sum()) for value in truth])
        for prompts in PROMPTS:
            rng = np.random.default_rng([models, prompts, 3])
            held, opened = 0, 0.0
            for _ in range(runs):
                noise = skewed(rng, prompts, models)
                found = rank_intervals(noise + truth)
                # Equal models share all their places, so that each interval has to hold them all.
                held += all(
                    each.best <= low and high <= each.worst
                    for each, low, high in zip(found, best, worst, strict=True)
                )
                opened += float(np.mean([each.worst - each.best + 1 for each in found]))
            cells = [_percent(held / runs), f"{opened / runs:.1f}"]
            rows.append([str(models), str(prompts), *cells])
    return rows


def mcnemars(runs: int) -> list[list[str]]:
    """False alarms at 5 % of McNemar's test, exact and mid-p, one video a prompt."""
    rows = [["true share", "prompts", "mid-p", "exact"]]
    for share in SHARES:
        for prompts in PROMPTS:
            rng = np.random.default_rng([int(100 * share), prompts, 4])
            first = rng.random((runs, prompts)) < share
            second = rng.random((runs, prompts)) < share
            up = (second & ~first).sum(axis=1)
            down = (first & ~second).sum(axis=1)
            cells = [
                _percent(
                    float(
                        np.mean(
                            [
                                mcnemar(int(a), int(b), mid=mid) <= 0.05
                                for a, b in zip(up, down, strict=True)
                            ]
                        )
                    )
                )
                for mid in (True, False)
            ]
            rows.append([f"{share:g}", str(prompts), *cells])
    return rows


def _clusters(scores: Numbers) -> Clusters:
    prompts, videos = scores.shape
    return clusters(scores.ravel(), np.repeat(np.arange(prompts), videos).tolist())


def _evidence(differences: Numbers, binary: bool) -> Evidence:
    return YesNo(differences) if binary else SignFlips(differences, patterns=PATTERNS)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *rest])


def main(arguments: Sequence[str]) -> None:
    """Prints all tables, in percent."""
    runs = 2000
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name != "runs" or not value.isdecimal() or int(value) < 1:
            raise SystemExit(f"{argument}: expected runs=N.")
        runs = int(value)
    for about in (intervals, shares, tests, mcnemars, powers, places):
        first = (about.__doc__ or "").splitlines()[0]
        print(f"\n{first} {runs} runs, in percent.\n\n{_table(about(runs))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
