"""Plots of samples as a distribution: proper scores by temperature, rank histograms,
curves over the number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from srbench.interfaces import MetricInfo
from srbench.pages.plot_style import COLOURS, SOFT
from srbench.reporting.figures.plots import Plot, band, by_model, has_intervals, legend_shape, looks_of, small_plots
from srbench.reporting.figures.saved_samples import Curves, Sampler
from srbench.reporting.tables.table import Table, header
from srbench.words import joined, number_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "osD^vP"


def plots_of_samples(table: Table, scores: Sequence[MetricInfo], samplers: Sequence[Sampler]) -> list[Plot]:
    """Return the plots that have something to show. Samplers are those whose samples are saved."""
    possible = [_scores(table, scores), _ranks(samplers), _curves(samplers)]
    return [plot for plot in possible if plot is not None]


def _scores(table: Table, scores: Sequence[MetricInfo]) -> Plot | None:
    """Plot scores over the temperature; a model without a temperature is a horizontal line."""
    models = by_model(table.lines)
    if all(line.setting.temperature is None for line in table.lines):
        return None

    def draw(axes: Axes, panel: int) -> None:
        cells = table.column(scores[panel].name)
        for model, places in models.items():
            shown = [place for place in places if math.isfinite(cells[place].mean)]
            looks = looks_of(table.lines)[places[0]]
            temperatures = [(table.lines[place].setting.temperature, cells[place]) for place in shown]
            measured = [(temperature, cell) for temperature, cell in temperatures if temperature is not None]
            if measured:
                band(axes, [temperature for temperature, _ in measured], [cell for _, cell in measured], model, looks)
            elif shown:
                axes.axhline(cells[shown[0]].mean, label=model, color=looks[0], linewidth=1, linestyle=_dashes(places))
        axes.set_xlabel("temperature")
        if panel == len(scores) - 1:
            axes.figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=columns)

    columns, legend_lines = legend_shape([*models])
    bands = ", with their 95 % intervals as bands" if has_intervals(table) else ""
    caption = (
        f"Means over the temperature{bands}. Horizontal lines are models without a temperature. Of one output, CRPS is "
        "the mean absolute error, and LPIPS energy the square root of LPIPS."
    )
    titles = list(map(header, scores))
    return small_plots(
        "Scores of samples", "scores.svg", caption, titles, 2.4, draw, legend_lines, columns=max(2, len(titles))
    )


def _dashes(places: Sequence[int]) -> tuple[int, tuple[int, int]]:
    """Return a line style by the place of a model, so that lines of equal height are seen."""
    return 3 * places[0], (6, 2)


def _ranks(samplers: Sequence[Sampler]) -> Plot | None:
    histograms = [np.mean([image.ranks for image in sampler.images.values()], axis=0) for sampler in samplers]
    highest = max((float(shares.max()) for shares in histograms), default=0.0)

    def draw(axes: Axes, panel: int) -> None:
        shares = histograms[panel]
        axes.bar(range(len(shares)), 100 * shares, width=0.9, color=COLOURS[panel % len(COLOURS)])
        axes.axhline(100 / len(shares), color=SOFT, linewidth=1)
        axes.set(xlabel="samples below HR", ylim=(0, 105 * highest))
        axes.grid(visible=False, axis="x")
        axes.locator_params(axis="x", nbins=6, integer=True)

    caption = (
        "Share of HR values, in percent, that are above 0, 1, ... all of the samples. The line is 1/(n+1), where all "
        "bars of calibrated samples end. Bars that are too high at both ends show samples that vary too little, bars "
        f"too high in the middle samples that vary too much. {_of_images(samplers)}"
    )
    titles = [fill(sampler.setting.label, 28) for sampler in samplers]
    return small_plots("Rank histograms", "ranks.svg", caption, titles, 1.6, draw)


def _curves(samplers: Sequence[Sampler]) -> Plot | None:
    """Plot values over the number of samples; LPIPS energy from two samples on, as it is no estimate for one."""
    panels: tuple[tuple[str, Callable[[Curves], Sequence[float | None]], int], ...] = (
        ("PSNR of the mean in dB \u2191", lambda curves: curves.psnr, 1),
        ("diversity S_n in % \u2191", lambda curves: curves.diversity, 1),
        ("LPIPS energy \u2193", lambda curves: curves.energy, 2),
    )
    shown = []
    for title, choose, first in panels:
        lines = [_mean_curve(sampler, choose) for sampler in samplers]
        if any(len(line) > first for line in lines):
            shown.append((title, lines, first))

    def draw(axes: Axes, panel: int) -> None:
        title, lines, first = shown[panel]
        for place, (sampler, line) in enumerate(zip(samplers, lines, strict=True)):
            numbers = range(1, len(line) + 1)
            colour, marker = COLOURS[place % len(COLOURS)], _MARKERS[place % len(_MARKERS)]
            if line and title.startswith("PSNR"):
                calibrated = [line[0] + 10 * math.log10(2 * n / (n + 1)) for n in numbers]
                axes.plot(numbers, calibrated, color=colour, linewidth=1, linestyle=(0, (2, 2)))
            axes.plot(
                numbers[first - 1 :],
                line[first - 1 :],
                label=sampler.setting.label,
                color=colour,
                marker=marker,
                markersize=4,
                linewidth=1,
            )
        axes.set_xlabel("samples")
        axes.locator_params(axis="x", nbins=6, integer=True)
        if panel == len(shown) - 1:
            axes.figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=columns)

    columns, legend_lines = legend_shape([sampler.setting.label for sampler in samplers])
    others = "" if len(shown) == 1 else " LPIPS energy begins at two samples, and does not depend on n in expectation."
    counts = sorted({len(list(_with_curves(sampler))) for sampler in samplers})
    caption = (
        "Means over images for the first n samples. Dotted lines are 10 log10(2n/(n+1)) dB above the first sample, "
        f"where the PSNR of the mean of calibrated samples lies.{others} From "
        f"{joined([number_of(count, 'image') for count in counts])}."
    )
    titles = [title for title, _, _ in shown]
    return small_plots(
        "Number of samples", "numbers.svg", caption, titles, 2.4, draw, legend_lines, columns=max(2, len(titles))
    )


def _with_curves(sampler: Sampler) -> Iterator[Curves]:
    return (image.curves for image in sampler.images.values() if image.curves is not None)


def _mean_curve(sampler: Sampler, choose: Callable[[Curves], Sequence[float | None]]) -> list[float]:
    """Return the means over the images that have a value for every number of samples; empty if there are none."""
    lines = []
    for curves in _with_curves(sampler):
        values = [value for value in choose(curves) if value is not None]
        if len(values) == sampler.n:
            lines.append(values)
    return [fmean(column) for column in zip(*lines, strict=True)]


def _of_images(samplers: Sequence[Sampler]) -> str:
    counts = sorted({len(sampler.images) for sampler in samplers})
    return f"From {joined([number_of(count, 'image') for count in counts])}."
