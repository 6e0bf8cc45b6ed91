"""The one rule of significance, as every table and comparison applies it."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from builders import metric
from scipy.stats import binom

from srbench.judging.tests import mean_interval, p_values
from srbench.judging.verdicts import BestRows, best_rows, pairs_of

UP, DOWN = metric("m"), metric("m", direction=-1)
SIGMA = metric("sigma")
EASE = np.random.default_rng(0).normal(0, 3, 20)
"""How much easier than the mean every image is: far more than the models differ."""
NOISE = np.random.default_rng(1).normal(0, 0.5, 20)


def rows(*means):
    """Rows whose values differ from image to image, but from each other by the same everywhere."""
    return [pd.Series(mean + EASE, index=range(20)) for mean in means]


@pytest.mark.parametrize(
    ("means", "metric", "expected"),
    [
        ([1, 3, 2], UP, [1]),
        ([1, 3, 2], DOWN, [0]),
        ([1, 3, 3], UP, [1, 2]),
        ([2, 2], UP, []),
        ([5], UP, []),
        ([1, 3], SIGMA, []),
        ([], UP, []),
    ],
)
def test_best_rows(means, metric, expected):
    assert best_rows(dict(enumerate(rows(*means))), metric).rows == expected


def test_rows_are_compared_with_the_best_on_the_images_that_all_have():
    hard, easy, none = *rows(5, 4), pd.Series(math.nan, index=range(20))
    best = best_rows({0: hard.iloc[np.sort(EASE.argsort()[:12])], 3: easy, 4: none}, UP)
    assert (best.leader, best.images, best.rows, list(best.p)) == (0, 12, [0], [3])
    assert best_rows({0: hard[:8], 1: easy[8:]}, UP) == best_rows({}, UP)
    with_hole = easy.where(easy.index != 4, math.inf)
    assert best_rows({0: hard, 1: with_hole}, UP).images == 19


@pytest.mark.parametrize("models", [2, 3, 16])
def test_a_row_can_be_worse_from_six_images_on(models):
    columns = rows(*[1] * (models - 1), 2)
    assert not best_rows({row: values[:5] for row, values in enumerate(columns)}, UP).rows
    assert best_rows({row: values[:6] for row, values in enumerate(columns)}, UP).rows == [models - 1]


def test_the_order_of_the_images_changes_nothing():
    names = [f"image {k}" for k in range(20)]
    columns = {row: pd.Series(EASE + NOISE * row + 0.1 * row, index=names) for row in range(3)}
    shuffled = {row: values.iloc[np.random.default_rng(2).permutation(20)] for row, values in columns.items()}
    assert best_rows(shuffled, UP).p == best_rows(columns, UP).p


def test_a_row_as_good_as_the_best_is_called_worse_in_at_most_one_table_of_twenty():
    random, worse, tried = np.random.default_rng(7), 0, 300
    for _ in range(tried):
        ease = random.normal(0, 3, 10)
        best = best_rows({row: pd.Series(ease + random.standard_t(3, 10)) for row in range(16)}, UP)
        worse += bool(best.rows)
    assert 0 < worse <= binom.ppf(0.999, tried, 0.05)


def test_a_row_beats_those_that_are_significantly_worse_although_it_is_not_the_best():
    best = best_rows(dict(zip((5, 2, 9, 4), rows(2, 1, 3, 2), strict=True)), DOWN)
    assert best.beaten(DOWN) == {5: [9], 2: [4, 5, 9], 9: [], 4: [9]}
    assert best.p == {row: best.pairs.get((2, row), best.pairs.get((row, 2))) for row in (5, 9, 4)}


@pytest.mark.parametrize("count", [2, 14])
def test_pairs_have_the_differences_and_intervals_of_two_rows_alone_and_p_of_all(count):
    """Over groups, too, and in blocks of pairs: 14 rows make 91 pairs."""
    random = np.random.default_rng(3)
    columns = {row: pd.Series(EASE + random.normal(row / 20, 1, 20), index=range(20)) for row in range(count)}
    units = {image: f"group {image // 2}" for image in range(20)}
    for unit_of in ({}, units):
        best = best_rows(columns, UP, unit_of)
        found = list(pairs_of(best, columns, UP, unit_of))
        assert [(pair.row, pair.other) for pair in found] == list(combinations(range(count), 2))
        gaps = [columns[pair.row] - columns[pair.other] for pair in found]
        gaps = [gap.groupby(unit_of).mean() if unit_of else gap for gap in gaps]
        assert [pair.p for pair in found] == p_values(np.array(gaps).T).tolist()
        for pair, gap in zip(found, gaps, strict=True):
            assert pair.difference == pytest.approx(gap.mean())
            assert (pair.low, pair.high) == pytest.approx(mean_interval(gap))
            assert pair.n == len(gap)
    assert not list(pairs_of(best_rows(columns, SIGMA), columns, SIGMA))


def test_p_of_exactly_5_percent_is_not_significant():
    assert BestRows(0, {0: 2.0, 1: 1.0}, {(0, 1): 0.05}, 20).alike == [1]
    assert BestRows(0, {0: 2.0, 1: 1.0}, {(0, 1): 0.0499}, 20).alike == []
