"""Intervals and p values against independent computations: by hand, by enumeration, by published values."""

from __future__ import annotations

import math
from itertools import product
from statistics import NormalDist, fmean

import numpy as np
import pytest
from scipy.stats import permutation_test

from srbench.run_folder.statistics import (
    fewest_images,
    holm,
    mean_interval,
    mean_intervals,
    paired_p_values,
)

DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Heights of cross-fertilised minus self-fertilised maize in eighths of an inch: Fisher 1935, section 17 and 21."""
AIR = [3, 5, 7, 18, 43, 85, 91, 98, 100, 130, 230, 487]
"""Hours between failures of air conditioning: Davison and Hinkley, "Bootstrap methods", 1997, example 1.1."""


def paired_p_value(differences):
    return paired_p_values(np.array(differences, dtype=float)[:, None])[0]


def bca_by_hand(values, resamples, seed):
    """Efron 1987, eqs. 2.3 to 2.5 and 6.6, for the mean; written without SciPy."""
    x, normal = np.asarray(values, dtype=float), NormalDist()
    random = np.random.default_rng(seed)
    means = np.sort(x[random.integers(0, len(x), (resamples, len(x)))].mean(axis=1))
    bias = normal.inv_cdf(((means < x.mean()).mean() + (means <= x.mean()).mean()) / 2)
    left_out = (x.sum() - x) / (len(x) - 1)
    deviation = left_out.mean() - left_out
    acceleration = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)
    ends = []
    for level in (0.025, 0.975):
        z = bias + normal.inv_cdf(level)
        ends.append(float(np.quantile(means, normal.cdf(bias + z / (1 - acceleration * z)))))
    return ends


@pytest.mark.parametrize("values", [AIR, DARWIN, list(np.random.default_rng(5).lognormal(size=22))])
def test_interval_by_hand(values):
    low, high = mean_interval(values)
    expected = bca_by_hand(values, resamples=200_000, seed=3)
    assert [low, high] == pytest.approx(expected, abs=0.04 * (high - low))
    assert low < fmean(values) < high


def test_interval_is_skewed_as_its_values_are():
    low, high = mean_interval(AIR)
    assert high - fmean(AIR) > 1.3 * (fmean(AIR) - low)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    inside = [low < 3 < high for low, high in (mean_interval(random.normal(3, 2, 22)) for _ in range(200))]
    assert 0.88 < np.mean(inside) < 0.98


def test_degenerate_intervals():
    assert all(map(math.isnan, [*mean_interval([]), *mean_interval([1.5]), *mean_interval([1.5, math.inf])]))
    assert all(map(math.isnan, mean_interval([1, 2, 4, 8, math.inf, 16]))), "five values are no base for 95 %"
    assert mean_interval([0.7] * 6) == (0.7, 0.7)
    assert mean_interval([1, math.inf, 2, math.nan, 4, 8, 9, 9]) == mean_interval([1, 2, 4, 8, 9, 9])
    assert not any(map(math.isnan, mean_interval([1, 2, 4, 8, 9, 9])))


def test_intervals_of_several_columns_are_those_of_each():
    """Also of columns with other numbers of values, too few or equal ones."""
    columns = [AIR, DARWIN, [*reversed(AIR)], [1.5], [0.7] * 6, [*DARWIN[:-1], math.inf], DARWIN[:-1]]
    for together, column in zip(mean_intervals(columns), columns, strict=True):
        assert together == pytest.approx(mean_interval(column), rel=1e-12, nan_ok=True)


def test_numbers_do_not_depend_on_what_was_computed_before():
    alone = mean_interval(AIR), paired_p_value(AIR + DARWIN)
    mean_interval(DARWIN)
    assert (mean_interval(AIR), paired_p_value(AIR + DARWIN)) == alone


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
    assert paired_p_value(differences) == pytest.approx(exact_p_value(differences), abs=1e-12)


def test_fishers_own_example():
    """Among the 32768 sums of Darwin's 15 differences 1726 are as large: p = 0.0527 (Fisher 1935, section 21)."""
    assert exact_p_value(DARWIN) == 1726 / 32768
    assert paired_p_value(DARWIN) == pytest.approx(1726 / 32768, abs=1e-12)


@pytest.mark.parametrize("n", [9, 15, 40])
def test_many_columns_at_once_are_those_of_scipy_one_by_one(n):
    random = np.random.default_rng(n)
    differences = random.normal(0.3, 1, (n, 3))
    holes = np.where(random.random((n, 3)) < 0.1, np.nan, differences)
    for table in (differences, holes):
        for column, p in zip(table.T, paired_p_values(table), strict=True):
            column = column[np.isfinite(column)]
            found = permutation_test((column,), np.mean, permutation_type="samples", n_resamples=40_000, rng=1)
            scatter = 4 * math.sqrt(1.25 * p * (1 - p) / 9999)
            assert p == pytest.approx(found.pvalue, abs=1e-12 if n <= 15 else scatter)


def test_no_difference_and_too_few():
    assert paired_p_value([0.0] * 20) == 1
    assert paired_p_value([]) == paired_p_value([3.0]) == paired_p_value([3.0, math.inf]) == 1
    for tests in (1, 3, 36):
        smallest = [tests * paired_p_value([1.0] * n) < 0.05 for n in range(1, 16)]
        assert smallest.index(True) + 1 == fewest_images(tests)


def test_p_is_the_rate_of_false_findings():
    random = np.random.default_rng(1)
    found = [paired_p_value(random.normal(size=20)) < 0.05 for _ in range(200)]
    assert 0.01 < np.mean(found) < 0.09


def test_holm_by_hand():
    """The worked example of Holm's procedure with four tests, and its monotony."""
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]).tolist() == [1, 1]
    assert holm([0.02]).tolist() == [0.02]
    assert holm([]).tolist() == []


@pytest.mark.parametrize("tests", [1, 3, 6])
def test_fewest_images_by_enumerated_signs(tests):
    """One difference is alike on every image, the others are zero."""
    for images in range(2, 13):
        values = np.zeros((images, tests))
        values[:, 0] = np.random.default_rng(images).uniform(1, 2, images)
        signs = np.array(list(product((-1, 1), repeat=images)))
        as_large = np.abs(signs @ values) >= np.abs(values.sum(axis=0)) - 1e-9
        least = min(as_large.mean(axis=0).min() * tests, 1)
        assert holm(paired_p_values(values)).min() == pytest.approx(least)
        assert (images >= fewest_images(tests)) == (least < 0.05)
