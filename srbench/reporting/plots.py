"""The plots of a report: SVG that is the same for the same values, readable in print and without colour vision."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from srbench.facts import MetricFacts, ModelFacts, setting_label
from srbench.reporting.files import ReportFolder
from srbench.reporting.scores import Cell, Line, Scores, header
from srbench.results import ResultTable, Row
from srbench.svg import COLOURS, new_figure, plot_style, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = "plots"
_MARKERS = "osD^vPX*<>"
_DOTS = 100
"""How many dots show a distribution; of more pictures, as many quantiles."""

_SHORTEST = 1e-4
"""Seconds are kept with four decimals: less is drawn as this."""


@dataclass(frozen=True)
class Plot:
    """A plot that was written."""

    title: str
    file: str
    """Its name in the folder of plots."""
    caption: str


def write_plots(
    scores: Scores, table: ResultTable, rows: Sequence[Row], models: Sequence[ModelFacts], out: ReportFolder
) -> list[Plot]:
    """Write all plots for which there are values into the folder ``plots`` of a report."""
    with plot_style():
        made = [*_planes(scores), *_temperatures(scores), *_distributions(scores, table)]
        made += [*_speed(scores, rows), *_losses(models)]
        for plot, figure in made:
            out.write(f"{FOLDER}/{plot.file}", svg(figure))
    return [plot for plot, _ in made]


def _planes(scores: Scores) -> Iterator[tuple[Plot, Figure]]:
    """PSNR and LR-PSNR against LPIPS."""
    measured = {metric.name: metric for metric in scores.metrics}
    planes = (
        ("psnr", "plane.svg", "Perception and distortion",
         "The plane of Blau and Michaeli (2018): distortion against perception. A model that is better in both than "
         "another lies nearer to the marked corner. Bars are 95 % intervals; lines join the temperatures of a model."),
        ("lr_psnr", "consistency.svg", "Consistency and perception",
         "Does the answer fit the LR picture it was made from? LR-PSNR against LPIPS."),
    )  # fmt: skip
    for name, file, title, caption in planes:
        if name in measured and "lpips" in measured and len(scores.lines) > 1:
            figure = new_figure(6.4, 3.8)
            axes = figure.subplots()
            _plane(axes, scores, measured[name], measured["lpips"])
            figure.legend(loc="outside right upper")
            yield Plot(title, file, caption), figure


def _plane(axes: Axes, scores: Scores, across: MetricFacts, up: MetricFacts) -> None:
    xs, ys = scores.column(across.name), scores.column(up.name)
    for model, places in _by_model(scores.lines).items():
        points = [(xs[place], ys[place]) for place in sorted(places, key=lambda place: scores.lines[place].temperature)]
        points = [(x, y) for x, y in points if math.isfinite(x.mean) and math.isfinite(y.mean)]
        if points:
            _errorbar(axes, scores, model, [x for x, _ in points], [y for _, y in points])
    for place, line in enumerate(scores.lines):
        if not math.isnan(line.temperature) and math.isfinite(xs[place].mean) and math.isfinite(ys[place].mean):
            spot = xs[place].mean, ys[place].mean
            axes.annotate(f"{line.temperature:g}", spot, (5, 4), textcoords="offset points", fontsize=7)
    axes.set(xlabel=_axis(across), ylabel=_axis(up))
    corner = 0.97 if across.higher_is_better else 0.03, 0.95 if up.higher_is_better else 0.05
    axes.text(*corner, "better", transform=axes.transAxes, ha="right" if corner[0] > 0.5 else "left", va="center",
              color="#555555", style="italic", bbox={"boxstyle": "round", "fc": "#eeeeee", "ec": "none"})  # fmt: skip


def _errorbar(axes: Axes, scores: Scores, model: str, xs: Sequence[Cell], ys: Sequence[Cell]) -> None:
    colour, marker = _look(scores.lines, model)
    means = [x.mean for x in xs], [y.mean for y in ys]
    axes.errorbar(*means, xerr=_reach(xs), yerr=_reach(ys), color=colour, fmt="none", elinewidth=0.9, alpha=0.5)
    axes.plot(*means, label=model, color=colour, marker=marker, markersize=7, linewidth=1)


def _temperatures(scores: Scores) -> Iterator[tuple[Plot, Figure]]:
    """Every metric against temperature, for the models that have several."""
    models = {model: places for model, places in _by_model(scores.lines).items() if len(places) > 1}
    if not models:
        return
    figure, panels = _panels(len(scores.metrics), 2.0)
    for axes, metric in zip(panels, scores.metrics, strict=True):
        for model, places in models.items():
            places = sorted(places, key=lambda place: scores.lines[place].temperature)
            cells = [scores.column(metric.name)[place] for place in places]
            colour, marker = _look(scores.lines, model)
            temperatures = [scores.lines[place].temperature for place in places]
            axes.plot(temperatures, [_finite(cell.mean) for cell in cells], color=colour, marker=marker, markersize=4,
                      linewidth=1, label=model)  # fmt: skip
            axes.fill_between(temperatures, [cell.low for cell in cells], [cell.high for cell in cells], color=colour,
                              alpha=0.15, linewidth=0)  # fmt: skip
        axes.set_title(header(metric), fontsize=9)
        axes.set_xlabel("temperature")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    caption = "What the temperature trades: means, and their 95 % intervals as bands."
    yield Plot("Temperature", "temperature.svg", caption), figure


def _distributions(scores: Scores, table: ResultTable) -> Iterator[tuple[Plot, Figure]]:
    """The values of all pictures, a line a setting."""
    count = len(scores.lines)
    figure, panels = _panels(len(scores.metrics), 0.7 + 0.22 * count)
    for axes, metric in zip(panels, scores.metrics, strict=True):
        cells = scores.column(metric.name)
        for place, values in enumerate(table.columns(metric.name)):
            finite = values[np.isfinite(values)].to_numpy()
            colour, marker = _look(scores.lines, scores.lines[place].model)
            if len(finite):
                dots = np.quantile(finite, np.linspace(0, 1, min(len(finite), _DOTS)))
                axes.plot(dots, np.full(len(dots), place), "|", color=colour, alpha=0.55, markersize=7)
                axes.errorbar([cells[place].mean], [place], xerr=_reach([cells[place]]), color="black", marker=marker,
                              markersize=4, markerfacecolor=colour, elinewidth=1.2)  # fmt: skip
        labels = [line.label for line in scores.lines] if axes in panels[::_COLUMNS] else []
        axes.set_yticks(range(count), labels or [""] * count, fontsize=8)
        axes.set_ylim(count - 0.5, -0.5)
        axes.set_title(header(metric), fontsize=9)
    caption = "A stroke is a picture; the marker is the mean with its 95 % interval."
    if max(line.images for line in scores.lines) > _DOTS:
        caption = f"{_DOTS} strokes are quantiles of the pictures; the marker is the mean with its 95 % interval."
    yield Plot("All pictures", "distributions.svg", caption), figure


def _speed(scores: Scores, rows: Sequence[Row]) -> Iterator[tuple[Plot, Figure]]:
    """Seconds an answer against PSNR and LPIPS."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    seconds: dict[str, list[float]] = {}
    for row in rows:
        seconds.setdefault(setting_label(row.model, row.temperature), []).append(row.sample.seconds / row.samples)
    times = [max(fmean(seconds[line.label]), _SHORTEST) for line in scores.lines]
    metrics = [metric for metric in scores.metrics if metric.name in ("psnr", "lpips")]
    if not metrics or len(times) < 2:
        return
    figure = new_figure(7.2, 3.2)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        cells = scores.column(metric.name)
        for model, places in _by_model(scores.lines).items():
            colour, marker = _look(scores.lines, model)
            axes.errorbar([times[place] for place in places], [_finite(cells[place].mean) for place in places],
                          yerr=_reach([cells[place] for place in places]), linestyle="none", label=model, color=colour,
                          marker=marker, markersize=6, elinewidth=0.9)  # fmt: skip
        axes.set(xscale="log", xlabel="seconds an answer (lower is better)", ylabel=_axis(metric))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    caption = "Time of the model for one answer or sample, mean over pictures, on the machine named below."
    yield Plot("Speed and quality", "speed.svg", caption), figure


def _losses(models: Sequence[ModelFacts]) -> Iterator[tuple[Plot, Figure]]:
    """How the losses of every model fell, where its weights carry them."""
    curves = [
        (model.label, name, values)
        for model in models
        if model.weights is not None
        for name, values in model.weights.losses.items()
    ]
    if not curves:
        return
    figure, panels = _panels(len(curves), 1.9)
    for axes, (label, name, values) in zip(panels, curves, strict=True):
        axes.plot(np.linspace(0, 100, len(values)), values, color=COLOURS[0], linewidth=1.2)
        axes.set_title(f"{label}: {name}", fontsize=9)
        axes.set_xlabel("% of the training")
    caption = "Losses while the models were trained, as their weights carry them; a point is the mean over some steps."
    yield Plot("Training", "training.svg", caption), figure


_COLUMNS = 4


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of small plots, four in a row."""
    rows = -(-count // _COLUMNS)
    figure = new_figure(9.0, rows * height + 0.3)
    grid = figure.subplots(rows, _COLUMNS, squeeze=False)
    panels = list(grid.flat)
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count]


def _by_model(lines: Sequence[Line]) -> dict[str, list[int]]:
    """The places of a model's lines."""
    places: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        places.setdefault(line.model, []).append(place)
    return places


def _look(lines: Sequence[Line], model: str) -> tuple[str, str]:
    """Colour and marker of a model: with 7 and 10 of them the first 70 models look different."""
    place = list(_by_model(lines)).index(model)
    return COLOURS[place % len(COLOURS)], _MARKERS[place % len(_MARKERS)]


def _reach(cells: Sequence[Cell]) -> list[list[float]]:
    """How far the intervals reach below and above the means; 0 where there is none."""
    below = [0 if math.isnan(cell.low) else max(cell.mean - cell.low, 0) for cell in cells]
    above = [0 if math.isnan(cell.high) else max(cell.high - cell.mean, 0) for cell in cells]
    return [below, above]


def _axis(metric: MetricFacts) -> str:
    unit = f" in {metric.unit}" if metric.unit else ""
    return f"{metric.title}{unit} ({'higher' if metric.higher_is_better else 'lower'} is better)"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan
