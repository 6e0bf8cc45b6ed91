"""The one rule of significance, as every table and comparison applies it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from builders import metric
from scipy.stats import binom

from srbench.reporting.ranking import BestRows, best_rows

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


def test_p_of_exactly_5_percent_is_not_significant():
    assert BestRows(0, {0: 2.0, 1: 1.0}, {1: 0.05}, 20).alike == [1]
    assert BestRows(0, {0: 2.0, 1: 1.0}, {1: 0.0499}, 20).alike == []
