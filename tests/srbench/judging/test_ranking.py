"""The one rule of significance, as every table and comparison applies it."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from builders import metric
from scipy.stats import binom

from srbench.judging import verdicts
from srbench.judging.sign_flips import mean_interval, p_values
from srbench.judging.units import shared_units
from srbench.judging.verdicts import BestRows, pairs_of
from srbench.run_folder.values import Values

UP, DOWN = metric("m"), metric("m", direction=-1)
SIGMA = metric("sigma")
IMAGES = Values({}, {})
EASE = np.random.default_rng(0).normal(0, 3, 20)
"""How much easier than the mean every image is: far more than the models differ."""
NOISE = np.random.default_rng(1).normal(0, 0.5, 20)


def rows(*means):
    """Rows whose values differ from image to image, but from each other by the same everywhere."""
    return [pd.Series(mean + EASE, index=range(20)) for mean in means]


def best_rows(columns, metric, values):
    return verdicts.best_rows({row: dict(column) for row, column in columns.items()}, metric, values)


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
    assert best_rows(dict(enumerate(rows(*means))), metric, IMAGES).rows == expected


def test_rows_are_compared_with_the_best_on_the_images_that_all_have():
    hard, easy, none = *rows(5, 4), pd.Series(math.nan, index=range(20))
    best = best_rows({0: hard.iloc[np.sort(EASE.argsort()[:12])], 3: easy, 4: none}, UP, IMAGES)
    assert (best.leader, best.units.n, best.rows, best.ordered) == (0, 12, [0], [0, 3])
    assert best_rows({0: hard.iloc[:8], 1: easy.iloc[8:]}, UP, IMAGES).leader is None
    with_hole = easy.where(easy.index != 4, math.inf)
    assert best_rows({0: hard, 1: with_hole}, UP, IMAGES).units.left_out == (4,)


@pytest.mark.parametrize("models", [2, 3, 16])
def test_a_row_can_be_worse_from_six_images_on(models):
    columns = rows(*[1] * (models - 1), 2)
    assert not best_rows({row: values[:5] for row, values in enumerate(columns)}, UP, IMAGES).rows
    assert best_rows({row: values[:6] for row, values in enumerate(columns)}, UP, IMAGES).rows == [models - 1]


def test_the_order_of_the_images_changes_nothing():
    names = [f"image {k}" for k in range(20)]
    columns = {row: pd.Series(EASE + NOISE * row + 0.1 * row, index=names) for row in range(3)}
    shuffled = {row: values.iloc[np.random.default_rng(2).permutation(20)] for row, values in columns.items()}
    assert best_rows(shuffled, UP, IMAGES).pairs == best_rows(columns, UP, IMAGES).pairs


def test_a_row_as_good_as_the_best_is_called_worse_in_at_most_one_table_of_twenty():
    random, worse, tried = np.random.default_rng(7), 0, 300
    for _ in range(tried):
        ease = random.normal(0, 3, 10)
        best = best_rows({row: pd.Series(ease + random.standard_t(3, 10)) for row in range(16)}, UP, IMAGES)
        worse += bool(best.rows)
    assert 0 < worse <= binom.ppf(0.999, tried, 0.05)


def test_a_row_beats_those_that_are_significantly_worse_although_it_is_not_the_best():
    best = best_rows(dict(zip((5, 2, 9, 4), rows(2, 1, 3, 2), strict=True)), DOWN, IMAGES)
    assert best.beaten == {5: [9], 2: [4, 5, 9], 9: [], 4: [9]}
    assert {best.p(row, other) for row, other in ((2, 5), (5, 2))} == {best.pairs[5, 2]}


@pytest.mark.parametrize("count", [2, 14])
def test_pairs_have_the_differences_and_intervals_of_two_rows_alone_and_p_of_all(count):
    """Over groups, too, and in blocks of pairs: 14 rows make 91 pairs."""
    random = np.random.default_rng(3)
    columns = {row: pd.Series(EASE + random.normal(row / 20, 1, 20), index=range(20)) for row in range(count)}
    units = {image: f"group {image // 2}" for image in range(20)}
    for unit_of in ({}, units):
        found = list(pairs_of(best_rows(columns, UP, Values({}, {}, unit_of))))
        assert [(pair.row, pair.other) for pair in found] == list(combinations(range(count), 2))
        gaps = [columns[pair.row] - columns[pair.other] for pair in found]
        gaps = [gap.groupby(unit_of).mean() if unit_of else gap for gap in gaps]
        assert [pair.p for pair in found] == p_values(np.array(gaps).T).tolist()
        for pair, gap in zip(found, gaps, strict=True):
            assert pair.difference == pytest.approx(gap.mean())
            assert (pair.low, pair.high) == pytest.approx(mean_interval(gap))
            assert pair.n == len(gap)
    assert not list(pairs_of(best_rows(columns, SIGMA, IMAGES)))


def judged(means, p):
    """Best rows of the given means, and p by pair."""
    units = shared_units(dict(enumerate(map(dict, rows(*means)))), UP, IMAGES)
    return BestRows(units, int(np.argmax(means)), dict(enumerate(means)), p)


def test_p_of_exactly_5_percent_is_not_significant():
    assert judged([2.0, 1.0], {(0, 1): 0.05}).top == [0, 1]
    assert judged([2.0, 1.0], {(0, 1): 0.0499}).top == [0]


def test_no_row_below_one_that_is_not_bold_is_bold():
    """SSIM of .641 is significantly worse than .685, but .586, whose differences scatter, is not."""
    best = judged(
        [0.685, 0.641, 0.586, 0.652], {(0, 1): 0.01, (0, 2): 0.3, (0, 3): 0.9, (1, 2): 1, (1, 3): 1, (2, 3): 1}
    )
    assert (best.rows, best.ordered) == ([0, 3], [0, 3, 1, 2])


def test_letters_do_not_contradict_marks():
    """1 beats 2, but 2 is not significantly worse than the best row, so both are bold, or neither is."""
    p = {(0, 1): 0.8, (0, 2): 0.2, (1, 2): 0.01}
    assert (judged([3.0, 2.9, 2.0], p).rows, judged([3.0, 2.9, 2.0], p).beaten) == ([], {0: [], 1: [], 2: []})
    best = judged([3.0, 2.9, 2.0, 1.0], p | {(0, 3): 0.01, (1, 3): 0.01, (2, 3): 0.5})
    assert (best.rows, best.beaten) == ([0, 1, 2], {0: [3], 1: [3], 2: [], 3: []})


def test_images_of_a_group_that_count_one_by_one_are_not_tested():
    clips = {image: f"clip {image // 7}" for image in range(20)}
    columns = dict(enumerate(rows(1, 2)))
    best = best_rows(columns, UP, Values({}, {("m", None): range(20)}, ungrouped=clips))
    assert (best.leader, best.verdict, best.rows, list(pairs_of(best))) == (1, "not judged", [], [])
    alone = Values({}, {("m", None): range(20)}, ungrouped={image: str(image) for image in range(20)})
    assert best_rows(columns, UP, alone).rows == [1], "a group of one image is a unit"
