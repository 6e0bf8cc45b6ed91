"""Error, power and coverage of the verdicts of tables, gates, votes and spread: python benchmarks/significance.py
[--draws N].

Simulates tables of rows (models) with values on images, by the project's own verdicts, and prints: how often some row
is not bold, and some pair has a letter, although all are equally good; where half of the rows are worse, how often a
row that is truly best is called worse, how often it loses its mark by standing below one, and how often a row is bold
below one that is not; how often a row that is worse is called worse; how often a 95 % interval contains the mean; both
for frames of clips, counted one by one or averaged by clip; how often a gate fails equally good models, and one that is
far worse in one of 500 tests; how often one of equally good models is ahead in votes; how often one of ten calibrated
rows is said to spread less or more than its error; and how often the interval of a metric's agreement with ratings
contains the true agreement, the metric with the least noise comes first, and one of three equally noisy metrics is
ahead. Tests have 999 random sign flips instead of 9999. Takes ten minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from srbench.interfaces import MetricInfo
from srbench.judging import sign_flips as statistics
from srbench.judging.sign_flips import ALPHA, mean_intervals
from srbench.judging.units import Units
from srbench.judging.verdicts import BestRows, Difference, best_of, calibrations, difference_of, losses
from srbench.pages.markdown import table
from srbench.run_folder.protocol import Setting
from srbench.run_folder.values import Values
from srbench.voting.agreement import Agreements, agreements_with_ratings
from srbench.voting.tally import VoteArrays, lead_of

Draw = Callable[[Generator, int, int], NDArray[np.float64]]
"""Draws the values (images, rows) of a table from a generator, a number of images and a number of rows."""
METRIC = MetricInfo(name="psnr", title="PSNR", direction=1, protocol="simulated")
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
"""Standard deviation of a value over the frames of a clip;
that over clips is 1 for a row, and 3 for all rows together."""


def clips(random: Generator, count: int, rows: int, draws: int) -> NDArray[np.float64]:
    """Draw normal values (draws, clips, frames, rows) of tables whose rows are all equally good, with mean 0."""
    ease, effects = random.normal(0, 3, (draws, count, 1, 1)), random.normal(0, 1, (draws, count, 1, rows))
    return ease + effects + random.normal(0, FRAME_EFFECT, (draws, count, FRAMES, rows))


def units(values: NDArray[np.float64], by: str) -> NDArray[np.float64]:
    """Map values of ``clips`` to (draws, units, rows): their ``frames``, or their ``groups``, averaged."""
    return values.mean(axis=2) if by == "groups" else values.reshape(len(values), -1, values.shape[-1])


def best(values: NDArray[np.float64]) -> BestRows:
    """Return the best rows of a table (images, rows), as a report finds them."""
    names = tuple(f"{image:04}" for image in range(len(values)))
    rows = tuple(range(values.shape[1]))
    return best_of(Units(METRIC, "image", True, rows, (), names, (), names, values))


def error(draw: Draw, images: int, rows: int, draws: int) -> float:
    """Return the share of tables of equally good rows in which some row is not bold;
    no pair has a letter in any other.
    """
    random = np.random.default_rng(0)
    return float(np.mean([bool(best(draw(random, images, rows)).rows) for _ in range(draws)]))


def half_worse(draw: Draw, images: int, rows: int, draws: int) -> tuple[float, float, float]:
    """Return shares of tables whose first half of rows is worse by 1: verdicts on the rows that are truly best.

    The share in which one of them is significantly worse than another row; that in which one is not bold for standing
    below such a row or a worse row; and that in which a row is bold below one that is not.
    """
    random, called, below, inverted = np.random.default_rng(0), 0, 0, 0
    truly = range(rows // 2, rows)
    for _ in range(draws):
        values = draw(random, images, rows)
        values[:, : rows // 2] -= 1  # of unequal variances, the rows that scatter least
        found = best(values)
        is_beaten = any(row in worse for worse in found.beaten.values() for row in truly)
        called += is_beaten
        below += bool(found.rows) and not is_beaten and not set(truly) <= set(found.rows)
        marks = [row in found.rows for row in sorted(found.means, key=lambda row: -found.means[row])]
        inverted += marks != sorted(marks, reverse=True)
    return called / draws, below / draws, inverted / draws


def power(images: int, rows: int, draws: int) -> float:
    """Return the share of tables with one worse row in which this row is called worse."""
    random, found = np.random.default_rng(0), 0
    for _ in range(draws):
        values = equal(random, images, rows)
        values[:, 0] -= SHIFT * np.sqrt(2)  # the standard deviation of a difference
        ranked = best(values)
        found += ranked.leader != 0 and ranked.p(0, ranked.leader or 0) < ALPHA
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
    return float(np.mean([bool(best(values).rows) for values in tables]))


def row_of(values: NDArray[np.float64]) -> dict[str, float]:
    """Return values by image."""
    return {f"{image:04}": float(value) for image, value in enumerate(values)}


def gate(images: int, tests: int, draws: int, shift: float = 0.0) -> float:
    """Return the share of gates of so many independent tests that fail; in the first test, B is worse by ``shift``."""
    random, failed, none = np.random.default_rng(0), 0, Values({}, {})
    for _ in range(draws):
        gaps = random.normal(0, 1, (tests, images))
        gaps[0] += shift
        differences: list[Difference] = [
            difference_of(row_of(each), row_of(np.zeros(images)), METRIC, none) for each in gaps
        ]
        failed += bool(losses(differences, tests))
    return failed / draws


def ahead(models: int, images: int, draws: int) -> float:
    """Return the share of votes on equally good models in which one is ahead;
    six votes on an image, and its own looks.
    """
    random, found = np.random.default_rng(0), 0
    for _ in range(draws):
        looks, image = random.normal(0, 2, (models, images)), np.repeat(np.arange(images), 6)
        left, right = np.array([random.permutation(models)[:2] for _ in image]).T
        chance = 1 / (1 + np.exp(looks[right, image] - looks[left, image]))
        choice = np.where(random.random(len(image)) < chance, 1, -1)
        found += lead_of(VoteArrays(models, left, right, image, choice)) == "decided"
    return found / draws


def calibrated(random: Generator, images: int, rows: int, n: int, *, is_uneven: bool) -> NDArray[np.float64]:
    """Draw spread and error (2, rows, images) of n samples of calibrated rows, which share HR, and so most of the
    error.

    Posteriors of images differ in width, and have few independent directions. If uneven, samples spread too little on
    some images and too much on others.
    """
    freedom, width = 8, random.lognormal(0, 1, images)
    uneven = random.lognormal(-0.18, 0.6, images) if is_uneven else np.ones(images)  # of mean 1
    hr = random.normal(0, 1, (images, freedom))
    means = random.normal(0, 1 / np.sqrt(n), (rows, images, freedom))
    spreads = random.chisquare(freedom * (n - 1), (rows, images)) / (n - 1)
    drawn: NDArray[np.float64] = width * np.stack([spreads, uneven * ((hr - means) ** 2).sum(axis=-1)])
    return drawn


def spread_error(images: int, n: int, draws: int, rows: int, *, is_uneven: bool) -> float:
    """Return the share of tables of calibrated rows with a sentence that one spreads less or more than its error."""
    random, wrong, none = np.random.default_rng(0), 0, Values({}, {})
    for _ in range(draws):
        drawn = calibrated(random, images, rows, n, is_uneven=is_uneven)
        of_row = {
            str(row): ({str(k): (float(s), float(e)) for k, (s, e) in enumerate(each.T)}, n)
            for row, each in enumerate(drawn.swapaxes(0, 1))
        }
        wrong += any(each.verdict == "decided" for each in calibrations(of_row, none))
    return wrong / draws


def rated(random: Generator, images: int, rows: int, noises: Sequence[float]) -> Agreements:
    """Compare metrics, which are ratings plus normal noise of these standard deviations, with the ratings."""
    settings = [Setting(f"row{row}", None) for row in range(rows)]
    metrics = [replace(METRIC, name=f"metric{place}") for place in range(len(noises))]
    ratings = random.normal(size=(rows, images))
    columns = [ratings + noise * random.normal(size=ratings.shape) for noise in noises]
    values = {
        (setting, metric.name): {str(image): float(value) for image, value in enumerate(column[row])}
        for metric, column in zip([METRIC, *metrics], [ratings, *columns], strict=True)
        for row, setting in enumerate(settings)
    }
    names = tuple(map(str, range(images)))
    return agreements_with_ratings(Values(values, dict.fromkeys(settings, names)), METRIC, metrics)


def agreement(images: int, rows: int, draws: int) -> tuple[float, float, float]:
    """Return how often an interval contains the true agreement, the best metric comes first, and an equal one is ahead.

    The true agreement of normal values of correlation r is 1/2 + arcsin(r)/pi (Sheppard, 1899).
    """
    random, noises = np.random.default_rng(0), (0.5, 1.0, 2.0)
    contained = first = ahead = 0
    for _ in range(draws):
        found = rated(random, images, rows, noises)
        for row in found.rows:
            noise = noises[int(row.metric.name[-1])]
            contained += row.low <= 0.5 + np.arcsin((1 + noise**2) ** -0.5) / np.pi <= row.high
        first += found.rows[0].metric.name == "metric0"
        ahead += rated(random, images, rows, (1.0, 1.0, 1.0)).best.verdict == "decided"
    return contained / draws / len(noises), first / draws, ahead / draws


def lines(names: Iterable[str], rows: Iterable[Iterable[float]]) -> list[list[str]]:
    """Format rows of shares: ``.050``."""
    return [[name, *(f"{share:.3f}".lstrip("0") for share in row)] for name, row in zip(names, rows, strict=True)]


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000, help="simulated tables, or columns, of each share")
    draws = parser.parse_args().draws
    statistics.FLIPS = 999
    models, counts = (2, 3, 5, 8, 16), (6, 8, 22, 100)
    header = ["all rows equal: some row is not bold", *(f"k = {rows}" for rows in models)]
    names = [f"{name}, n = {images}" for name in NULLS for images in counts]
    errors = [[error(draw, images, rows, draws) for rows in models] for draw in NULLS.values() for images in counts]
    print(table(header, lines(names, errors)), end="\n\n")
    parts = ("a best row has p < .05", "a best row not bold, below such a row", "a row bold below one that is not")
    found = [[half_worse(NULLS[name], n, k, draws) for k in models] for name in list(NULLS)[:2] for n in counts]
    for part, words in enumerate(parts):
        header[0] = f"half of the rows worse by 1: {words}"
        names = [f"{name}, n = {images}" for name in list(NULLS)[:2] for images in counts]
        print(table(header, lines(names, [[shares[part] for shares in row] for row in found])), end="\n\n")
    header = [f"one row worse by {SHIFT:g} sd: called worse", *header[1:]]
    names = [f"n = {images}" for images in (8, 22, 100)]
    powers = [[power(images, rows, draws) for rows in models] for images in (8, 22, 100)]
    print(table(header, lines(names, powers)), end="\n\n")
    header = ["95 % intervals: contain the mean", *(f"n = {images}" for images in counts)]
    covered = [[coverage(name, images, draws) for images in counts] for name in VALUES]
    print(table(header, lines(VALUES, covered)), end="\n\n")
    clip_counts = (6, 12, 30)
    header = [f"clips of {FRAMES} frames", *(f"{count} clips" for count in clip_counts)]
    measures = {"intervals: contain the mean": coverage_of_clips, "two equal rows: one called worse": error_of_clips}
    names = [f"{name}, by {by}" for name in measures for by in ("frames", "groups")]
    shares = [
        [share(by, count, draws) for count in clip_counts] for share in measures.values() for by in ("frames", "groups")
    ]
    print(table(header, lines(names, shares)), end="\n\n")
    header = ["gates of equally good models that fail", *(f"n = {images}" for images in (8, 22, 100))]
    gates = [[gate(images, tests, draws // 10) for images in (8, 22, 100)] for tests in (1, 3)]
    print(table(header, lines(["1 test", "3 tests"], gates)), end="\n\n")
    header = ["500 tests, in one of which B is worse by 6 sd: fails", "n = 16", "n = 100"]
    print(table(header, lines(["gate"], [[gate(images, 500, 5, 6.0) for images in (16, 100)]])), end="\n\n")
    header = ["votes: one of equally good models is ahead", *(f"{images} images" for images in (2, 6, 8, 22, 100))]
    votes = [[ahead(rows, images, draws // 4) for images in (2, 6, 8, 22, 100)] for rows in (2, 3, 5)]
    print(table(header, lines(["2 models", "3 models", "5 models"], votes)), end="\n\n")
    header = ["calibrated rows: one said to spread less or more", *(f"{images} images" for images in counts)]
    kinds = [(rows, n, is_uneven) for is_uneven in (False, True) for rows in (1, 10) for n in (5, 10)]
    names = [f"{k} rows, {n} samples{', uneven' if is_uneven else ''}" for k, n, is_uneven in kinds]
    wrong = [[spread_error(i, n, draws // 4, k, is_uneven=is_uneven) for i in counts] for k, n, is_uneven in kinds]
    print(table(header, lines(names, wrong)), end="\n\n")
    parts = ("the interval contains the truth", "the least noisy metric is first", "an equally noisy metric is ahead")
    header = ["agreement with ratings", *(f"{images} images" for images in counts)]
    agreed = [[agreement(images, rows, draws // 4) for images in counts] for rows in (3, 5)]
    names = [f"{rows} rows: {words}" for rows in (3, 5) for words in parts]
    print(table(header, lines(names, [[own[part] for own in row] for row in agreed for part in range(len(parts))])))


if __name__ == "__main__":
    main()
