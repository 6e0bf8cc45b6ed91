"""The one rule of significance, as every table and comparison applies it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from builders import metric
from scipy.stats import binom

from srbench.reporting.ranking import best_rows, rank
from srbench.reporting.scores import header

UP, DOWN = metric("m"), metric("m", direction=-1)
SIGMA = metric("sigma")
EASE = np.random.default_rng(0).normal(0, 3, 20)
"""How much easier than the mean every image is: far more than the models differ."""
NOISE = np.random.default_rng(1).normal(0, 0.5, 20)


def rows(*means):
    """Rows whose values differ from image to image, but from each other by the same everywhere."""
    return [pd.Series(mean + EASE, index=range(20)) for mean in means]


def marks(columns, metric):
    return list(rank(columns, metric).marks)


@pytest.mark.parametrize(
    ("means", "metric", "expected"),
    [
        ([1, 3, 2], UP, ["", "best", "second"]),
        ([1, 3, 2], DOWN, ["best", "", "second"]),
        ([-2, 1, 3], DOWN, ["best", "second", ""]),
        ([1, 3], UP, ["", "best"]),
        ([1, 3, 3], UP, ["second", "best", "best"]),
        ([2, 2], UP, ["", ""]),
        ([3, 2, 2, 1], UP, ["best", "second", "second", ""]),
        ([3, 3, 3, 1], UP, ["best", "best", "best", "second"]),
        ([5], UP, [""]),
    ],
)
def test_marks(means, metric, expected):
    assert marks(rows(*means), metric) == expected


def test_a_difference_that_is_noise_is_undecided():
    base = pd.Series(EASE)
    noisy = base + NOISE - NOISE.mean() + 0.1
    assert noisy.mean() > base.mean()
    assert not any(rank([base, noisy], UP).marks)
    assert marks([base, noisy, base - 1], UP) == ["best", "best", "second"]
    assert marks([base, noisy + 0.4], UP) == ["", "best"]


@pytest.mark.parametrize("models", [2, 3, 4, 9])
def test_the_least_number_of_images_at_which_a_verdict_is_possible(models):
    """Holm's correction for all pairs: 2 / 2^n times the number of pairs has to be below 0.05."""
    fewest = rank(rows(*range(models)), UP).fewest
    assert fewest == {2: 6, 3: 7, 4: 8, 9: 11}[models]
    assert not rank([row[: fewest - 1] for row in rows(*range(models))], UP).better.any()
    assert any(rank([row[:fewest] for row in rows(*range(models))], UP).marks)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("metric", [UP, DOWN])
def test_values_that_are_not_finite_never_win(value, metric):
    one, two, three = rows(1, 2, 3)
    best = one if metric is DOWN else three
    partly = best.where(best.index != 4, value)
    assert marks([partly, two], metric) == ["", ""]
    assert rank([partly, two], metric).better[0, 1] == 1, "on the other images it is better, as compare says"
    all_of_them = pd.Series(value, index=range(20))
    expected = ["", "best", ""] if metric is DOWN else ["", "", "best"]
    assert marks([all_of_them, one, two], metric) == expected


def test_diversity_has_no_direction():
    found = rank(rows(1, 3), SIGMA)
    assert (found.marks, found.leader, found.better.any()) == (("", ""), None, False)
    assert found.p_holm[0, 1] < 0.001
    assert (header(SIGMA), header(UP), header(DOWN)) == ("sigma", "M ↑", "M ↓")


def test_rows_are_compared_on_the_images_both_have():
    hard, easy = rows(5, 4)
    assert marks([hard[:12], easy], UP) == ["best", ""]
    assert marks([hard[:12], easy[12:]], UP) == ["", ""]
    hardest = hard.iloc[np.sort(EASE.argsort()[:12])]
    assert hardest.mean() < easy.mean()
    found = rank([hardest, easy], UP)
    assert (found.leader, found.better[0, 1]) == (0, 1), "who is beaten on common images does not lead"


VALUES = [-1.0, 0.0, 0.25, 1.0, 3.0, 3.0, 3.0, math.nan, math.inf]
"""Few, so that there are many ties."""


@pytest.mark.parametrize("odd", [7, 9], ids=["finite", "with holes"])
@pytest.mark.parametrize("n", range(1, 31))
def test_what_holds_for_any_column(n, odd):
    """Ties, holes and any number of images from 1 to 30."""
    random = np.random.default_rng(n)
    for models in range(1, 6):
        shifts = random.choice([0.0, 0.0, 4.0], (models, 1))
        _holds_for((random.choice(VALUES[:odd], (models, n)) + shifts).tolist())


def _holds_for(values):
    columns = [pd.Series(column) for column in values]
    up = rank(columns, UP)
    assert (up.better == -up.better.T).all()
    assert ((up.better != 0) <= (up.p_holm < 0.05)).all()
    down = rank([-column for column in columns], DOWN)
    assert down.marks == up.marks, "lower is better is higher is better of the opposite"
    assert (down.better == up.better).all()
    turned = rank(columns[::-1], UP)
    assert (turned.better == up.better[::-1, ::-1]).all(), "the order of rows decides nothing"
    if len(values[0]) < up.fewest:
        assert not up.better.any()
    finite = [place for place, column in enumerate(values) if np.isfinite(column).all()]
    for place, mark in enumerate(up.marks):
        assert not mark or place in finite
    if any(up.marks):
        for place in finite:
            assert (up.marks[place] == "best") == (up.better[up.leader, place] == 0)
        assert up.marks[up.leader] == "best"
        assert ("second" in up.marks) == (len(finite) > 2)


def test_false_verdicts_are_at_most_one_in_twenty_columns_under_no_difference():
    random, found, tried = np.random.default_rng(7), 0, 0
    for n in range(1, 31):
        for models in (2, 3, 4, 6) * 4:
            ease = random.normal(0, 3, n)
            columns = [pd.Series(ease + random.standard_t(3, n)) for _ in range(models)]
            found += bool(rank(columns, UP).better.any())
            tried += 1
    assert 0 < found <= binom.ppf(0.99, tried, 0.05)


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


@pytest.mark.parametrize("models", [2, 3, 5])
def test_the_least_number_of_images_at_which_a_row_can_be_worse(models):
    columns = rows(*range(models))
    fewest = best_rows(dict(enumerate(columns)), UP).fewest
    assert fewest == {2: 6, 3: 7, 5: 8}[models]
    assert not best_rows({row: values[: fewest - 1] for row, values in enumerate(columns)}, UP).rows
    assert best_rows({row: values[:fewest] for row, values in enumerate(columns)}, UP).rows == [models - 1]


def test_a_row_as_good_as_the_best_is_called_worse_in_at_most_one_column_of_twenty():
    random, worse, tried = np.random.default_rng(7), 0, 400
    for _ in range(tried):
        ease = random.normal(0, 3, 10)
        best = best_rows({row: pd.Series(ease + random.standard_t(3, 10)) for row in range(4)}, UP)
        worse += best.p.get(0, 1) < 0.05
    assert 0 < worse <= binom.ppf(0.99, tried, 0.05)
