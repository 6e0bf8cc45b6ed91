"""Arbitrary numbers are rarely called reproduced; the numbers of real protocols are named and, with digits,
reproduced."""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import cycle, islice, product

import pytest
from protocols_of_others import psnr, ssim
from scipy.stats import binom

from srbench.explaining.explanation import Explanation
from srbench.explaining.matching import Candidate, Printed, Window, joint_chance, neighbours
from srbench.explaining.protocols.table import MetricProtocol
from srbench.explaining.search import try_protocols

NUMBERS = 200
HALF = {"psnr": 0.5, "ssim": 0.01, "lpips": 0.02}
Y, Y_UNROUNDED = "Y of BT.601 (16..235), rounded", "Y of BT.601 (16..235), unrounded"
GAUSSIAN, UNIFORM = "11x11 Gaussian window", "7x7 uniform window"
REAL = (
    (psnr, ("RGB", 0), "RGB, no crop"),
    (psnr, ("RGB", 4), "RGB, crop 4"),
    (psnr, (Y, 4), f"{Y}, crop 4"),
    (psnr, (Y, 0), f"{Y}, no crop"),
    (psnr, (Y_UNROUNDED, 0), f"{Y_UNROUNDED}, no crop"),
    (psnr, ("Y of YIQ (0..255), unrounded", 0), "Y of YIQ (0..255), unrounded, no crop"),
    (psnr, ("RGB", 0, "right"), "RGB, no crop, the output moved back, as it lies one pixel right"),
    (psnr, ("RGB", 0, "", True), "RGB, no crop, of the mean squared error over all images"),
    (ssim, ("RGB", 0, UNIFORM), f"RGB, {UNIFORM}, no crop"),
    (ssim, (Y, 4, GAUSSIAN), f"{Y}, {GAUSSIAN}, crop 4"),
    (ssim, ("RGB", 0, GAUSSIAN), f"RGB, {GAUSSIAN}, no crop"),
    (ssim, (Y, 0, f"{UNIFORM}, population covariance"), f"{Y}, {UNIFORM}, population covariance, no crop"),
)
"""Twelve protocols of other programs, in their words and in ours; the first of its metric is the default."""


@pytest.fixture(scope="module")
def tried(folders):
    return try_protocols([*HALF], sr=folders / "sr", hr=folders / "hr", scale=4)


@pytest.fixture(scope="module")
def measured(tried):
    """The values of the default protocols."""
    defaults = (each for metric in HALF for each in tried.candidates[metric] if each.is_default)
    return {each.protocol.metric: each.value for each in defaults}


def drawn(generator, measured, metric, digits):
    """A number near the measured one, as a table prints it."""
    return Printed(f"{measured[metric] + generator.uniform(-1, 1) * HALF[metric]:.{digits}f}")


def evidence(tried, **row):
    """The evidence for the numbers of a row, by metric."""
    numbers = tuple(tried.explained(metric, printed) for metric, printed in row.items())
    return Explanation(numbers).evidence


def reproduced(found):
    return [each is not None and each.result == "reproduced" for each in found]


def test_arbitrary_numbers_are_not_reproduced(tried, measured):
    """One of 20 at most, whatever the metric and the digits."""
    generator = random.Random(0)
    kinds = islice(cycle(product(HALF, (2, 3, 4))), NUMBERS)
    rows = [(metric, drawn(generator, measured, metric, digits)) for metric, digits in kinds]
    found = [reproduced(evidence(tried, **{metric: printed}))[0] for metric, printed in rows]
    matched = [bool(tried.explained(metric, printed).matches) for metric, printed in rows]
    assert sum(matched) > NUMBERS / 4, "many are printed by some protocol"
    assert sum(found) <= NUMBERS / 20


def test_as_many_arbitrary_numbers_are_reproduced_as_are_expected_by_chance(tried, measured):
    """The sum over all claims, not over those that were reproduced."""
    generator = random.Random(5)
    kinds = islice(cycle(product(HALF, (2, 3, 4))), 3 * NUMBERS)
    rows = [
        Explanation((tried.explained(metric, drawn(generator, measured, metric, digits)),)) for metric, digits in kinds
    ]
    found, expected = sum(reproduced(row.evidence)[0] for row in rows), sum(row.by_luck(0) for row in rows)
    assert (
        binom.ppf(0.005, len(rows), expected / len(rows)) <= found <= binom.ppf(0.995, len(rows), expected / len(rows))
    )
    pairs = [
        Explanation(
            tuple(tried.explained(metric, drawn(generator, measured, metric, 3)) for metric in ("psnr", "ssim"))
        )
        for _ in range(NUMBERS)
    ]
    found, expected = (
        sum(sum(reproduced(row.evidence)) for row in pairs),
        sum(row.by_luck(place) for row in pairs for place in (0, 1)),
    )
    assert found <= binom.ppf(0.995, 2 * NUMBERS, expected / (2 * NUMBERS)), "with the other number of a row"


def test_an_arbitrary_number_beside_a_right_one_is_not_reproduced(tried, measured):
    """The right one is, and does not vouch for the other."""
    generator = random.Random(1)
    right = Printed(f"{measured['psnr']:.4f}")
    found = [
        reproduced(evidence(tried, psnr=right, ssim=drawn(generator, measured, "ssim", digits)))
        for digits in (3, 4) * 20
    ]
    assert all(first for first, _ in found)
    assert sum(second for _, second in found) <= 4


def test_the_protocols_of_real_numbers_are_named(tried, arrays):
    """At four digits; PSNR is reproduced, also under an unusual protocol, and SSIM under a protocol of a suite."""
    for metric, arguments, words in REAL:
        [found] = evidence(tried, **{metric.__name__: Printed(f"{metric(arrays, *arguments):.4f}")})
        assert found.match.protocol.words == words
        assert found.result == "reproduced" or metric is ssim, words
        assert found.result == "reproduced" or not found.match.candidate.suites, words


def test_a_common_setting_reproduces_few_digits(tried, arrays):
    """Two digits of PSNR and three of SSIM, which alone are no evidence."""
    values = psnr(arrays, Y_UNROUNDED, 4), ssim(arrays, Y_UNROUNDED, 4, GAUSSIAN)
    row = {"psnr": Printed(f"{values[0]:.2f}"), "ssim": Printed(f"{values[1]:.3f}")}
    together = evidence(tried, **row)
    assert reproduced(together) == [True, True]
    assert all(each.match.protocol.setting == together[0].match.protocol.setting for each in together)
    assert reproduced(evidence(tried, ssim=row["ssim"])) == [False]


def test_chance_is_counted():
    """By hand: 2 of the numbers from 19.9 to 20.1 are printed, one by an unusual protocol."""
    candidates = [
        Candidate(MetricProtocol("psnr", "RGB", parameters=()), 20.04, None, {"suite": None}),
        Candidate(MetricProtocol("psnr", "RGB", border=4), 19.96, None),
        Candidate(MetricProtocol("psnr", "RGB", border=8), 30.0, None),
    ]
    numbers = neighbours(Printed("20.04"), candidates, Window(Decimal("0.1")))
    assert (numbers.count, numbers.chance(0), numbers.chance(4)) == (21, 1 / 21, 2 / 21)
    numbers = neighbours(Printed("0.998"), [], Window(Decimal("0.01"), highest=Decimal(1)))
    assert numbers.count == 13, "from 0.988 to 1"


def test_a_common_setting_is_counted_over_rows_of_numbers():
    """By hand: of 21 x 21 rows, one setting prints 1 x 1 in suites, and another one 2 x 1 by unusual protocols."""
    whole, cut = ({"border": border} for border in (0, 4))
    values = {"psnr": ((whole, 20.04), (cut, 19.96), (cut, 20.06)), "lpips": ((whole, 0.304), (cut, 0.296))}
    windows = {"psnr": ("20.04", Window(Decimal("0.1"))), "lpips": ("0.304", Window(Decimal("0.010")))}
    numbers = []
    for metric, candidates in values.items():
        text, window = windows[metric]
        tried = [
            Candidate(MetricProtocol(metric, "RGB", **more), value, None, {} if more is cut else {"suite": None})
            for more, value in candidates
        ]
        numbers.append(neighbours(Printed(text), tried, window))
    assert [joint_chance(numbers, rank) for rank in (0, 4)] == [1 / 441, 3 / 441]
