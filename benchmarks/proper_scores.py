"""Proper scores and calibration of samples whose posterior is known: python benchmarks/proper_scores.py [--sets N].

Simulates data sets of 22 images. HR of an image is its mean plus Gaussian noise that is correlated between pixels, with
a standard deviation of 10 grey levels, rounded to 8 bits; samples are the same with noise times a temperature. So
samples are calibrated at temperature 1. Prints: at which temperature scores are lowest, and what calibration measures
there; how scores depend on the number of samples; how often a 95 % interval of spread/skill contains the true ratio;
and what the scores cost. Takes ten minutes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from srbench.metrics.calibration import outside, psnr_of_mean, spread_and_error, spread_skill, spread_skill_interval
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.proper_scores import fair_crps, lpips_energy, pairwise_lpips
from srbench.pages.markdown import table

IMAGES = 22
TEMPERATURES = (0.5, 0.8, 1.0, 1.25)
SAMPLES = (2, 5, 10, 50)
DEVIATION = 10
"""Standard deviation of the posterior of a value, in grey levels."""
LOWEST_FREQUENCY = 4
"""Cycles per image above which the amplitude of the noise falls with the frequency."""

POPULATIONS = ("equal images", "unequal widths", "few degrees of freedom, too", "uneven calibration, too")
"""Images whose posteriors differ in more and more respects."""


def posterior(generator: torch.Generator, side: int, n: int) -> tuple[Tensor, Tensor]:
    """Draw the mean of an image (3, side, side), and the noise of HR and n samples (n + 1, 3, side, side), float64."""
    rows, columns = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)
    amplitudes = 1 / (1 + side / LOWEST_FREQUENCY * torch.sqrt(rows**2 + columns**2)).double()
    power = torch.fft.irfft2(amplitudes**2, s=(side, side))[0, 0]  # variance of white noise of these amplitudes
    white = torch.randn((n + 2, 3, side, side), generator=generator, dtype=torch.float64)
    noise = torch.fft.irfft2(torch.fft.rfft2(white) * amplitudes, s=(side, side)) / power.sqrt()
    return 128 + 25 * noise[0].clamp(-2, 2), DEVIATION * noise[1:]


def drawn(mean: Tensor, noise: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return samples (n, 3, H, W) at a temperature, and HR (3, H, W), both uint8."""
    samples, hr = mean + temperature * noise[1:], mean + noise[0]
    return samples.round().clamp(0, 255).to(torch.uint8), hr.round().clamp(0, 255).to(torch.uint8)


def plain_crps(samples: Tensor, hr: Tensor) -> float:
    """CRPS with the divisor n^2 in place of n(n-1): the distribution that has these n values only."""
    values = samples.double()
    n, centred = len(values), torch.arange(len(values), dtype=torch.float64) * 2 - len(values) + 1
    between = 2 * torch.einsum("n,nchw->", centred, values.sort(dim=0).values) / hr.numel()
    return float((values - hr).abs().mean() - between / (2 * n**2))


def plain_energy(distances: Tensor) -> float:
    """LPIPS energy with the divisor n^2 in place of n(n-1)."""
    roots = distances.sqrt()
    return float(roots[0, 1:].mean() - roots[1:, 1:].mean() / 2)


def lowest(sets: int) -> list[list[str]]:
    """Return a row per temperature: shares of sets whose scores are lowest there, and calibration."""
    generator, n = torch.Generator().manual_seed(0), 8
    best: dict[str, list[int]] = {"crps": [], "energy": []}
    measured: list[list[list[float]]] = [[] for _ in TEMPERATURES]
    for _ in range(sets):
        posteriors = [posterior(generator, 64, n) for _ in range(IMAGES)]
        crps, energy = [], []
        for index, temperature in enumerate(TEMPERATURES):
            images = [drawn(*each, temperature) for each in posteriors]
            crps.append(statistics.mean(fair_crps(*each) for each in images))
            energy.append(statistics.mean(lpips_energy(pairwise_lpips(*each)) for each in images))
            spreads, errors = zip(*(spread_and_error(*each) for each in images), strict=True)
            ratio = spread_skill(spreads, errors, n)
            gain = statistics.mean(psnr_of_mean(*each) - psnr_of_mean(each[0][:1], each[1]) for each in images)
            ends = statistics.mean(outside(*each) for each in images)
            measured[index].append([crps[-1], energy[-1], ratio, ends, gain])
        best["crps"].append(int(np.argmin(crps)))
        best["energy"].append(int(np.argmin(energy)))
    return [
        [
            f"{temperature:g}",
            *(f"{np.mean(np.array(found) == index):.0%}" for found in best.values()),
            *(f"{value:.3f}" for value in np.mean(measured[index], axis=0)),
        ]
        for index, temperature in enumerate(TEMPERATURES)
    ]


def by_number(images: int) -> list[list[str]]:
    """Return a row per number of samples: means of scores, and of their differences from those of all samples."""
    generator = torch.Generator().manual_seed(1)
    scores: dict[int, list[list[float]]] = {n: [] for n in SAMPLES}
    for _ in range(images):
        samples, hr = drawn(*posterior(generator, 64, max(SAMPLES)), 1)
        distances = pairwise_lpips(samples, hr)
        for n in SAMPLES:
            few, part = samples[:n], distances[: n + 1, : n + 1]
            scores[n].append([fair_crps(few, hr), plain_crps(few, hr), lpips_energy(part), plain_energy(part)])
    values = {n: np.array(rows) for n, rows in scores.items()}
    noise = {n: (rows - values[max(SAMPLES)]).std(axis=0, ddof=1) / np.sqrt(images) for n, rows in values.items()}
    return [
        [str(n), *(f"{mean:.4f} ± {error:.4f}" for mean, error in zip(rows.mean(axis=0), noise[n], strict=True))]
        for n, rows in values.items()
    ]


def sums(random: Generator, images: int, population: str, n: int = 8) -> tuple[NDArray[np.float64], ...]:
    """Draw spreads and errors (images,) of n samples with a spread/skill of 1 over the population."""
    kind = POPULATIONS.index(population)
    freedom = 4 if kind >= 2 else 20  # independent directions of a posterior, of equal variances
    width = random.lognormal(0, 1, images) if kind >= 1 else np.ones(images)
    uneven = random.lognormal(-0.18, 0.6, images) if kind >= 3 else np.ones(images)  # of mean 1
    spreads = width * random.chisquare(freedom * (n - 1), images) / (n - 1)
    return spreads, width * uneven * random.chisquare(freedom, images) * (n + 1) / n


def resampled(spreads: NDArray[np.float64], errors: NDArray[np.float64], n: int) -> tuple[float, float]:
    """Interval of the percentiles of 999 means of resampled images, for comparison."""
    chosen = np.random.default_rng(0).integers(0, len(spreads), (999, len(spreads)))
    ratios = np.sqrt((n + 1) / n * spreads[chosen].sum(axis=1) / errors[chosen].sum(axis=1))
    return float(np.quantile(ratios, 0.025)), float(np.quantile(ratios, 0.975))


def coverage(interval: Callable[..., tuple[float, float]], population: str, images: int, draws: int) -> float:
    """Return the share of intervals that contain the true spread/skill, 1."""
    random, n = np.random.default_rng(0), 8
    intervals = [interval(*sums(random, images, population, n), n) for _ in range(draws)]
    return float(np.mean([low <= 1 <= high for low, high in intervals]))


def costs() -> list[list[str]]:
    """Return medians of five processor times in milliseconds, for 10 samples of 512 x 512 pixels with one thread."""
    torch.set_num_threads(1)
    images = drawn(*posterior(torch.Generator().manual_seed(2), 512, 10), 1)
    works: dict[str, Callable[[], object]] = {
        "fair CRPS": lambda: fair_crps(*images),
        "spread and error": lambda: spread_and_error(*images),
        "PSNR of the mean": lambda: psnr_of_mean(*images),
        "outside": lambda: outside(*images),
        "LPIPS of all samples": lambda: LPIPS().distances(*images),
        "LPIPS and LPIPS energy": lambda: lpips_energy(pairwise_lpips(*images)),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(6):
        for name, work in works.items():  # by turns, as another process slows down all alike
            start = time.process_time()
            work()
            times[name].append(1000 * (time.process_time() - start))
    return [[name, f"{statistics.median(values[1:]):.1f}"] for name, values in times.items()]


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=100, help="simulated data sets of 22 images")
    parser.add_argument("--draws", type=int, default=4000, help="simulated intervals of each share")
    options = parser.parse_args()
    print(table(["10 samples of 512 x 512 pixels", "ms"], costs()), end="\n\n")
    header = [f"95 % intervals of spread/skill, {IMAGES} images", "spread_skill_interval", "percentiles"]
    shares = [
        [f"{coverage(interval, name, IMAGES, options.draws):.3f}" for interval in (spread_skill_interval, resampled)]
        for name in POPULATIONS
    ]
    print(table(header, [[name, *row] for name, row in zip(POPULATIONS, shares, strict=True)]), end="\n\n")
    header = ["samples (± of the difference from the last)", "fair CRPS", "CRPS", "LPIPS energy", "not fair"]
    print(table(header, by_number(options.sets)), end="\n\n")
    header = ["temperature", "CRPS lowest", "LPIPS energy lowest", "CRPS", "LPIPS energy"]
    header += ["spread/skill", "outside (calibrated: 22.222)", "gain of the mean (2.499)"]
    print(table(header, lowest(options.sets)))


if __name__ == "__main__":
    main()
