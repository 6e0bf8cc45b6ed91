"""Intervals and p values against independent computations: by hand, by enumeration, by published values."""

from __future__ import annotations

import math
import runpy
from itertools import combinations, product
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from scipy.stats import binom, permutation_test

from srbench.judging import sign_flips as statistics
from srbench.judging.sign_flips import FEWEST_UNITS, mean_interval, mean_intervals, p_values

DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Heights of cross-fertilised minus self-fertilised maize in eighths of an inch: Fisher 1935, section 17 and 21."""
AIR = [3, 5, 7, 18, 43, 85, 91, 98, 100, 130, 230, 487]
"""Hours between failures of air conditioning: Davison and Hinkley, "Bootstrap methods", 1997, example 1.1."""
RATES = 0.001
"""A simulated share is allowed what a correct procedure exceeds once in a thousand seeds; the seeds are fixed."""


@pytest.fixture
def simulation(monkeypatch):
    """The benchmark's functions, with 999 flips."""
    monkeypatch.setattr(statistics, "FLIPS", 999)
    return runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "significance.py"))


def p_of_two(differences):
    """p of one pair of rows."""
    return p_values(np.reshape(differences, (-1, 1)))[0]


def differences_of(rows):
    """Differences of all pairs of rows (n, k): the first against each other, then the second, ..."""
    first, second = np.triu_indices(rows.shape[1], 1)
    return rows[:, first] - rows[:, second]


@pytest.mark.parametrize("values", [AIR[:6], AIR, DARWIN[:9]])
def test_interval_by_all_subsets(values):
    """Hartigan 1969: 2^n - 1 means of subsets cut the line into 2^n pieces, each with the true mean equally often."""
    means = sorted(
        fmean(subset) for size in range(1, len(values) + 1) for subset in combinations(values, size)
    )  # 2.5 % of the pieces, at most, lie outside on each side
    outside = math.floor(0.025 * (len(means) + 1))
    assert mean_interval(values) == pytest.approx((means[max(outside, 1) - 1], means[-max(outside, 1)]))


def test_interval_is_skewed_as_its_values_are_and_within_their_range():
    low, high = mean_interval(AIR)
    assert high - fmean(AIR) > 1.2 * (fmean(AIR) - low)
    assert mean_interval(AIR[:6]) == pytest.approx((min(AIR[:6]), max(AIR[:6])))
    half_at_a_bound = [0.0] * 11 + [5.0, 9.0, 30.0]
    low, high = mean_interval(half_at_a_bound)
    assert 0 <= low < high <= 30


@pytest.mark.parametrize("images", [6, 7, 12, 16, 22, 60])
def test_interval_excludes_0_exactly_if_p_is_below_5_percent(images):
    random, found = np.random.default_rng(images), set()
    for shift in np.linspace(0, 1.2, 40):
        rows = random.normal(0, 3, (images, 1)) + random.exponential(1, (images, 2)) + [shift, 0]
        low, high = mean_interval(rows[:, 0] - rows[:, 1])
        is_significant = p_of_two(rows[:, 0] - rows[:, 1]) < 0.05
        assert (low > 0 or high < 0) == is_significant
        found.add(is_significant)
    assert found == {True, False}


@pytest.mark.parametrize("images", [6, 8, 22])
def test_interval_covers_the_mean_as_often_as_it_says(simulation, images):
    """The bias-corrected bootstrap covers .86, .89 and .94."""
    draws = 1000
    assert binom.ppf(RATES, draws, 0.95) <= draws * simulation["coverage"]("normal", images, draws)
    assert simulation["coverage"]("lognormal", images, draws) > 0.8, "strong skew: docs/protocols.md"


def test_degenerate_intervals():
    assert all(map(math.isnan, [*mean_interval([]), *mean_interval([1.5]), *mean_interval([1.5, math.inf])]))
    assert all(map(math.isnan, mean_interval([1, 2, 4, 8, math.inf, 16]))), "five values are no base for 95 %"
    assert mean_interval([0.7] * 6) == mean_interval([0.7] * 40) == (0.7, 0.7)
    assert mean_interval([1, math.inf, 2, math.nan, 4, 8, 9, 9]) == mean_interval([1, 2, 4, 8, 9, 9])
    assert not any(map(math.isnan, mean_interval([1, 2, 4, 8, 9, 9])))


def test_intervals_of_several_columns_are_those_of_each():
    """Also of columns with other numbers of values, too few or equal ones."""
    columns = [AIR, DARWIN, [*reversed(AIR)], [1.5], [0.7] * 6, [*DARWIN[:-1], math.inf], DARWIN[:-1], AIR + DARWIN]
    for together, column in zip(mean_intervals(columns), columns, strict=True):
        assert together == pytest.approx(mean_interval(column), rel=1e-12, nan_ok=True)


def test_numbers_do_not_depend_on_what_was_computed_before():
    alone = mean_interval(AIR), p_of_two(AIR + DARWIN)
    mean_interval(DARWIN)
    assert (mean_interval(AIR), p_of_two(AIR + DARWIN)) == alone


def exact_p_value(differences):
    """Every sign of every difference, counted one by one in whole numbers."""
    observed = abs(sum(differences))
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return sum(abs(total) >= observed for total in sums) / len(sums)


@pytest.mark.parametrize("differences", [[1, 2], [5, -1, 3], [1, 1, 1, 1, 1, 1], [4, -4, 3, 0, 7, -2, 5], DARWIN[:13]])
def test_exact_test_by_enumeration(differences):
    assert p_of_two(differences) == pytest.approx(exact_p_value(differences), abs=1e-12)


def test_fishers_own_example():
    """Among the 32768 sums of Darwin's 15 differences 1726 are as large: p = 0.0527 (Fisher 1935, section 21)."""
    assert exact_p_value(DARWIN) == 1726 / 32768
    assert p_of_two(DARWIN) == pytest.approx(1726 / 32768, abs=1e-12)


def test_p_of_many_images_is_scipys():
    differences = np.random.default_rng(40).normal(0.3, 1, 40)
    p = p_of_two(differences)
    expected = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=40_000, rng=1)
    assert p == pytest.approx(expected.pvalue, abs=4 * math.sqrt(1.25 * p * (1 - p) / 9999))


def t_statistics(differences):
    """|t| of each column, as in a textbook."""
    n = len(differences)
    with np.errstate(divide="ignore"):
        return np.abs(differences.mean(axis=0)) / (differences.std(axis=0, ddof=1) / math.sqrt(n))


def test_p_of_all_pairs_by_hand():
    """Every flip of whole images, and the largest |t| of the six pairs of four rows."""
    rows = np.random.default_rng(3).normal([0, 0.3, 0.6, 3], 1, (8, 4))
    differences = np.stack([rows[:, i] - rows[:, j] for i, j in combinations(range(4), 2)], axis=1)
    largest = [t_statistics(np.array(signs)[:, None] * differences).max() for signs in product((1, -1), repeat=8)]
    p = p_values(differences)
    for own, t in zip(p, t_statistics(differences), strict=True):
        assert own == np.mean(np.array(largest) >= t - 1e-9)
    assert 0 < p.min() < 0.05 < p[0] < 1


def test_no_difference_and_too_few():
    assert p_of_two([0.0] * 20) == 1
    assert p_of_two([]) == p_of_two([3.0]) == 1
    assert p_values(np.zeros((9, 0))).shape == (0,)
    assert p_values(np.eye(9)[:, :1] * [1, 0]).tolist() == [1, 1], "a difference on one image, and none"


@pytest.mark.parametrize("rows", [2, 3, 9, 25])
def test_six_images_are_the_fewest_for_any_number_of_rows(rows):
    """One row differs by the same on every image, so no other flip and no other pair can reach it."""
    values = np.random.default_rng(0).normal(0, 3, (FEWEST_UNITS, 1)) + np.eye(rows)[0]
    assert p_values(differences_of(values))[0] == 2 / 2**FEWEST_UNITS < 0.05
    assert p_values(differences_of(values[:-1]))[0] == 2 / 2 ** (FEWEST_UNITS - 1) > 0.05


def test_a_row_with_absurd_values_hides_no_difference_of_the_others():
    random = np.random.default_rng(0)
    row = random.normal(25, 3, 22)
    p = p_values(differences_of(np.stack([row, row - 0.001, random.normal(0, 1e12, 22)], axis=1)))
    assert p[0] < 0.05


@pytest.mark.parametrize("images", [7, 22])
def test_p_of_many_pairs_does_not_depend_on_the_blocks_they_are_tested_in(monkeypatch, images):
    rows = np.random.default_rng(1).normal(np.linspace(0, 1, 14), 1, (images, 14))
    p = p_values(differences_of(rows))
    monkeypatch.setattr(statistics, "_PAIRS", 1000)
    assert p.shape == (91,)
    assert p.tolist() == p_values(differences_of(rows)).tolist()


@pytest.mark.parametrize(("kind", "rows"), [("equal variances", 2), ("equal variances", 16), ("unequal variances", 5)])
def test_some_row_is_called_worse_in_at_most_one_of_twenty_tables_of_equal_rows(simulation, kind, rows):
    """With the leader tested against each other row by Holm's correction, it was one of seven for 16 rows."""
    draws = 600
    errors = draws * simulation["error"](simulation["NULLS"][kind], 22, rows, draws)
    assert 0 < errors <= binom.ppf(1 - RATES, draws, 0.05)


def test_a_worse_row_is_called_worse(simulation):
    assert simulation["power"](22, 2, 200) > 0.65, "docs/protocols.md: 76 %"
    assert simulation["power"](22, 16, 200) > 0.4, "docs/protocols.md: 52 %"


def test_intervals_and_tests_of_clips_hold_by_group_and_not_by_frame(simulation):
    """Six clips of ten frames, which are much alike: 500 draws."""
    draws = 500
    assert simulation["coverage_of_clips"]("groups", 6, draws) >= 0.9
    assert simulation["coverage_of_clips"]("frames", 6, draws) < 0.6, "docs/protocols.md: 43 %"
    assert draws * simulation["error_of_clips"]("groups", 6, draws) <= binom.ppf(1 - RATES, draws, 0.05)
    assert simulation["error_of_clips"]("frames", 6, draws) > 0.4, "docs/protocols.md: 55 %"
