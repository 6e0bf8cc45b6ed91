from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from srbench.facts import MetricFacts
from srbench.reporting.ranking import marks

UP, DOWN = (MetricFacts("m", "m", "M", up, "", 2, "", "M", "0") for up in (True, False))
PICTURES = np.random.default_rng(0).normal(0, 3, 20)
"""How much easier than the mean every picture is: far more than the models differ."""
NOISE = np.random.default_rng(1).normal(0, 0.5, 20)


def rows(*means):
    """Rows whose values differ from picture to picture, but from each other by the same everywhere."""
    return [pd.Series(mean + PICTURES, index=range(20)) for mean in means]


@pytest.mark.parametrize(
    ("means", "metric", "expected"),
    [
        ([1, 3, 2], UP, ["", "best", "second"]),
        ([1, 3, 2], DOWN, ["best", "", "second"]),
        ([-2, 1, 3], DOWN, ["best", "second", ""]),
        ([1, 3], UP, ["", "best"]),
        ([1, 3, 3], UP, ["", "second", "second"]),
        ([2, 2], UP, ["", ""]),
        ([3, 2, 2, 1], UP, ["best", "", "", ""]),
        ([3, 3, 3, 1], UP, ["", "", "", ""]),
        ([5], UP, [""]),
    ],
)
def test_marks(means, metric, expected):
    assert marks(rows(*means), metric) == expected


def test_a_difference_that_is_noise_is_no_rank():
    base = pd.Series(PICTURES)
    noisy = base + NOISE - NOISE.mean() + 0.1
    assert noisy.mean() > base.mean()
    assert marks([base, noisy], UP) == ["", ""]
    assert marks([base, noisy, base - 1], UP) == ["second", "second", ""]
    assert marks([base, noisy + 0.4], UP) == ["", "best"]


def test_five_pictures_support_nothing():
    few = [row[:5] for row in rows(1, 9)]
    assert marks(few, UP) == ["", ""]
    assert marks([row[:6] for row in rows(1, 9)], UP) == ["", "best"]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("metric", [UP, DOWN])
def test_values_that_are_not_finite_never_win(value, metric):
    one, two, three = rows(1, 2, 3)
    best = one if metric is DOWN else three
    assert marks([best.where(best.index != 4, value), two], metric) == ["", ""]
    all_of_them = pd.Series(value, index=range(20))
    expected = ["", "best", ""] if metric is DOWN else ["", "", "best"]
    assert marks([all_of_them, one, two], metric) == expected


def test_one_answer_has_no_spread_to_be_ranked_by():
    zero, four, five = rows(0, 4, 5)
    zero = zero * 0
    assert marks([zero, zero, four.abs() + 1], UP) == ["", "", ""], "a single row has nothing to beat"
    assert marks([zero, four, five], UP) == ["", "", "best"]
    assert marks([zero, four + 20, five + 20], DOWN) == ["best", "second", ""], "an error of zero is the best there is"


def test_rows_are_compared_on_the_pictures_both_have():
    hard, easy = rows(5, 4)
    assert marks([hard[:12], easy], UP) == ["best", ""]
    assert marks([hard[:12], easy[12:]], UP) == ["", ""]
