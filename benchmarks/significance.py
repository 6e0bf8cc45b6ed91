"""Error, power and coverage of the tests and intervals of a table: python benchmarks/significance.py [--draws N].

Simulates tables of rows (models) with values on images, and prints: how often some row is called worse than the best,
and any row than any other (the letters of ``--pairs``), although all are equally good; how often a row that is worse is
called worse; how often a 95 % interval contains the mean; and the first and the last for frames of clips, counted one
by one or averaged by clip. The tests and intervals are those of a report, with 999 random sign flips instead of 9999.
Takes two minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from srbench.judging import tests as statistics
from srbench.judging.tests import ALPHA, mean_intervals, p_values
from srbench.pages.markdown import table

Draw = Callable[[Generator, int, int], NDArray[np.float64]]
"""Draws the values (images, rows) of a table from a generator, a number of images and a number of rows."""
Judged = Callable[[NDArray[np.float64]], NDArray[np.bool_]]
SHIFT = 0.6
"""How much worse a row is, in standard deviations of its differences from another row."""


def equal(random: Generator, images: int, rows: int) -> NDArray[np.float64]:
    """Draw normal values with equal variances around the ease of each image."""
    return random.normal(0, 3, (images, 1)) + random.normal(0, 1, (images, rows))


def unequal(random: Generator, images: int, rows: int) -> NDArray[np.float64]:
    """Draw normal values whose standard deviation rises from 1 in the first row to 4 in the last."""
    return random.normal(0, 3, (images, 1)) + random.normal(0, np.linspace(1, 4, rows), (images, rows))


def skewed(random: Generator, images: int, rows: int) -> NDArray[np.float64]:
    """Draw normal values for the first row, to which the other rows add strongly skewed differences of mean 0."""
    values = np.repeat(random.normal(0, 3, (images, 1)), rows, axis=1)
    values[:, 1:] += random.exponential(1, (images, rows - 1)) - 1
    return values


NULLS: dict[str, Draw] = {"equal variances": equal, "unequal variances": unequal, "exponential differences": skewed}
"""Tables whose rows are all equally good."""
VALUES: dict[str, tuple[Callable[[Generator, tuple[int, int]], NDArray[np.float64]], float]] = {
    "normal": (lambda random, size: random.normal(0, 1, size), 0.0),
    "exponential": (lambda random, size: random.exponential(1, size), 1.0),
    "lognormal": (lambda random, size: random.lognormal(0, 1, size), float(np.exp(0.5))),
    "half at a bound": (lambda random, size: np.maximum(random.normal(0, 1, size), 0), float(1 / np.sqrt(2 * np.pi))),
}
"""Distributions of values over images, and their means."""


FRAMES = 10
"""Number of frames of a clip."""
FRAME_EFFECT = 0.3
"""Standard deviation of a value over the frames of a clip; that over clips is 1 for a row, and 3 for all rows together."""


def clips(random: Generator, count: int, rows: int, draws: int) -> NDArray[np.float64]:
    """Draw normal values (draws, clips, frames, rows) of tables whose rows are all equally good, with mean 0."""
    ease, effects = random.normal(0, 3, (draws, count, 1, 1)), random.normal(0, 1, (draws, count, 1, rows))
    return ease + effects + random.normal(0, FRAME_EFFECT, (draws, count, FRAMES, rows))


def units(values: NDArray[np.float64], by: str) -> NDArray[np.float64]:
    """Map values of ``clips`` to (draws, units, rows): their ``frames``, or their ``groups``, averaged."""
    return values.mean(axis=2) if by == "groups" else values.reshape(len(values), -1, values.shape[-1])


def called_worse(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which rows are significantly worse than the leader, as ``reporting.ranking.best_rows`` decides."""
    first, second = np.triu_indices(values.shape[1], 1)
    leader, is_worse = np.argmax(values.mean(axis=0)), p_values(values[:, first] - values[:, second]) < ALPHA
    worse = np.zeros(values.shape[1], np.bool_)
    for one, other in ((first, second), (second, first)):
        worse[other[one == leader]] = is_worse[one == leader]
    return worse


def lettered(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which pairs of rows differ significantly, as the letters of ``srbench report --pairs`` state."""
    first, second = np.triu_indices(values.shape[1], 1)
    return p_values(values[:, first] - values[:, second]) < ALPHA


def error(draw: Draw, images: int, rows: int, draws: int, judged: Judged = called_worse) -> float:
    """Return the share of tables of equally good rows in which some row, or pair, is ``judged`` worse."""
    random = np.random.default_rng(0)
    return float(np.mean([judged(draw(random, images, rows)).any() for _ in range(draws)]))


def power(images: int, rows: int, draws: int) -> float:
    """Return the share of tables with one worse row in which this row is called worse."""
    random, found = np.random.default_rng(0), 0
    for _ in range(draws):
        values = equal(random, images, rows)
        values[:, 0] -= SHIFT * np.sqrt(2)  # the standard deviation of a difference
        found += bool(called_worse(values)[0])
    return found / draws


def coverage(values: str, images: int, draws: int) -> float:
    """Return the share of 95 % intervals that contain the mean of a distribution of ``VALUES``."""
    draw, mean = VALUES[values]
    columns = draw(np.random.default_rng(0), (draws, images))
    parts = (columns[start : start + 500] for start in range(0, draws, 500))
    return float(np.mean([low <= mean <= high for part in parts for low, high in mean_intervals(part)]))


def coverage_of_clips(by: str, count: int, draws: int) -> float:
    """Return the share of 95 % intervals, by frames or by groups, that contain the mean of a row."""
    columns = units(clips(np.random.default_rng(0), count, 1, draws), by)[..., 0]
    parts = (columns[start : start + 500] for start in range(0, draws, 500))
    return float(np.mean([low <= 0 <= high for part in parts for low, high in mean_intervals(part)]))


def error_of_clips(by: str, count: int, draws: int) -> float:
    """Return the share of tables of two equally good rows in which one is called worse, by frames or by groups."""
    tables = units(clips(np.random.default_rng(0), count, 2, draws), by)
    return float(np.mean([called_worse(values).any() for values in tables]))


def lines(names: Iterable[str], rows: Iterable[Iterable[float]]) -> list[list[str]]:
    """Format rows of shares: ``.050``."""
    return [[name, *(f"{share:.3f}".lstrip("0") for share in row)] for name, row in zip(names, rows, strict=True)]


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=4000, help="simulated tables, or columns, of each share")
    draws = parser.parse_args().draws
    statistics.FLIPS = 999
    models = (2, 3, 5, 8, 16)
    header = ["all rows equal: some row called worse", *(f"k = {rows}" for rows in models)]
    names = [f"{name}, n = {images}" for name in NULLS for images in (8, 22, 100)]
    errors = [
        [error(draw, images, rows, draws) for rows in models] for draw in NULLS.values() for images in (8, 22, 100)
    ]
    print(table(header, lines(names, errors)), end="\n\n")
    header[0] = "all rows equal: some pair has a letter"
    letters = [[error(draw, 22, rows, draws, lettered) for rows in models] for draw in NULLS.values()]
    print(table(header, lines([f"{name}, n = 22" for name in NULLS], letters)), end="\n\n")
    header = [f"one row worse by {SHIFT:g} sd: called worse", *header[1:]]
    names = [f"n = {images}" for images in (8, 22, 100)]
    powers = [[power(images, rows, draws) for rows in models] for images in (8, 22, 100)]
    print(table(header, lines(names, powers)), end="\n\n")
    header = ["95 % intervals: contain the mean", *(f"n = {images}" for images in (6, 8, 22, 100))]
    covered = [[coverage(name, images, draws) for images in (6, 8, 22, 100)] for name in VALUES]
    print(table(header, lines(VALUES, covered)), end="\n\n")
    counts = (6, 12, 30)
    header = [f"clips of {FRAMES} frames", *(f"{count} clips" for count in counts)]
    measures = {"intervals: contain the mean": coverage_of_clips, "two equal rows: one called worse": error_of_clips}
    names = [f"{name}, by {by}" for name in measures for by in ("frames", "groups")]
    shares = [
        [share(by, count, draws) for count in counts] for share in measures.values() for by in ("frames", "groups")
    ]
    print(table(header, lines(names, shares)))


if __name__ == "__main__":
    main()
