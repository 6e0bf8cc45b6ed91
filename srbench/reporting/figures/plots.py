"""Plots of a report: deterministic SVG, readable in print and with colour blindness.

Panels in which nothing differs are not drawn, and no text is smaller than 11 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srbench.interfaces import MetricInfo
from srbench.judging.sign_flips import FEWEST_UNITS, mean_interval
from srbench.models import ModelInfo
from srbench.pages.plot_style import COLOURS, GRID, GRID_WIDTH, INK, PALE, SOFT, arrange, new_figure, plot_style, svg
from srbench.reporting.generated_folder import Draft
from srbench.reporting.tables.families import run_of
from srbench.reporting.tables.summary import decisive_metrics
from srbench.reporting.tables.table import Cell, Line, Table, header, of_lr
from srbench.reporting.tables.trainings import COMPARED, SELECTION, best_steps, best_table, curves_of
from srbench.run_folder.values import by_unit, differences
from srbench.voting.agreement import agreement_of_columns
from srbench.words import joined

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = "plots"
_MARKERS = "osD^vPX*<>"
_DOTS = 100
"""Largest number of strokes in a distribution; with more images, strokes are quantiles."""
_FEW = "o"
"""Marker of an image if there are too few for an interval."""
_SMALL = 8.5
"""Smallest font size in points: 11.3 pixels."""


@dataclass(frozen=True)
class Plot:
    """A plot of a report."""

    title: str
    file: str
    """File name in the folder of plots."""
    caption: str
    draw: Callable[[], Figure]
    is_wide: bool = False
    """True for a plot as wide as the text, beside which there is room for its caption only."""
    is_folded: bool = False
    """True for a plot of minor interest, which is shown on request."""
    table: Sequence[Sequence[str]] = ()
    """Rows of text below the plot, the header first; empty for no table."""


def write_plots(
    table: Table, models: Sequence[ModelInfo], out: Draft, baseline: int = 0, machines: Sequence[str] = ()
) -> list[Plot]:
    """Write all plots that have values to show into the folder ``plots`` of a report.

    ``baseline`` is the row that the plot of differences subtracts from every row; ``machines`` names the machines that
    measured.
    """
    possible = [
        _trainings(table),
        _differences(table, baseline),
        *_planes(table),
        _costs(table, machines),
        _temperatures(table),
    ]
    possible += [_distributions(table), _agreement(table), _losses(models)]
    return draw_plots([plot for plot in possible if plot is not None], out)


def draw_plots(plots: Sequence[Plot], out: Draft) -> list[Plot]:
    """Write these plots into the folder ``plots`` of a report, and return them."""
    with plot_style():
        for plot in plots:
            out.write(f"{FOLDER}/{plot.file}", svg(plot.draw()))
    return [*plots]


def _trainings(table: Table) -> Plot | None:
    """Plot every metric over the steps of trainings; a cost does not depend on the step."""
    curves = curves_of(table)
    metrics = [
        metric
        for metric in table.columns
        if metric.group != "Cost"
        and any(_differ(np.array([table.column(metric.name)[row].mean for row in curve.rows])) for curve in curves)
    ]

    best = [best_steps(table, curve, metrics) for curve in curves]

    def draw(axes: Axes, panel: int) -> None:
        from matplotlib.ticker import EngFormatter

        cells = table.column(metrics[panel].name)
        for place, curve in enumerate(curves):
            looks = COLOURS[place % len(COLOURS)], "."
            band(axes, [*map(float, curve.steps)], [cells[row] for row in curve.rows], curve.label, looks)
            row = best[place][metrics[panel].name].row
            if row is not None:
                axes.plot(float(curve.step(row)), cells[row].mean, "o", color=INK, markersize=9, markerfacecolor="none")
        axes.set_xlabel("step")
        axes.locator_params(axis="x", nbins=4, integer=True)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if len(curves) > 1 and panel == len(metrics) - 1:
            axes.figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=columns)

    columns, legend_lines = legend_shape([curve.label for curve in curves])
    bands = ", with 95 % intervals of the means, not of differences, as bands" if has_intervals(table) else ""
    compared = COMPARED.format(units=f"{table.unit}s")
    caption = f"Means over the steps of a training{bands}; a ring marks the best step. {SELECTION} {compared}"
    titles = list(map(header, metrics))
    plot = small_plots(
        "Checkpoints", "checkpoints.svg", caption, titles, 2.0, draw, legend_lines if len(curves) > 1 else 0
    )
    return plot and replace(plot, table=best_table(table, curves, metrics, best))


def _differences(table: Table, baseline: int) -> Plot | None:
    others = [row for row in range(len(table.lines)) if row != baseline]
    shown = []
    for metric in (metric for metric in table.columns if metric.direction and metric.permits_test):
        columns = [table.values.means(line.setting, metric) for line in table.lines]
        gaps = [_difference(columns[row], columns[baseline], metric) for row in others]
        of_units = [_finite(by_unit(gap, table.values.units_for(metric))) for gap in gaps]
        if any(map(np.any, of_units)):
            shown.append((metric, of_units))

    def draw(axes: Axes, panel: int) -> None:
        metric, of_units = shown[panel]
        axes.axvline(0, color=SOFT, linewidth=0.8)
        for place, (row, values) in enumerate(zip(others, of_units, strict=True)):
            if len(values):
                colour, marker = looks_of(table.lines)[row]
                mean, (low, high) = float(values.mean()), (math.nan, math.nan)
                if table.values.permits_test(metric):
                    low, high = mean_interval(values)
                fill = colour if low > 0 or high < 0 else "none"
                if len(values) < FEWEST_UNITS:
                    axes.plot(
                        values, np.full(len(values), place), _FEW, color=colour, markersize=3, markerfacecolor="none"
                    )
                _bar(axes, place, (low, mean, high), color=colour, marker=marker, markersize=6, markerfacecolor=fill)
        _name_rows(axes, [table.lines[row].label for row in others], panel)
        axes.set(xlabel="better \u2192")
        axes.margins(x=0.12)
        axes.locator_params(axis="x", nbins=4)
        if metric.direction < 0:
            axes.invert_xaxis()

    name = table.lines[baseline].label
    drawn, filled = f"; a dot is {_a_unit(table)}", ""
    if has_intervals(table):
        drawn, filled = ", with its 95 % interval", "; a filled marker means that the interval excludes 0"
    caption = f"Mean of the paired differences from {name}{drawn}. Further right is better{filled}."
    titles = [header(metric) for metric, _ in shown]
    return small_plots(f"Differences from {name}", "differences.svg", caption, titles, 0.75 + 0.24 * len(others), draw)


def _planes(table: Table) -> Iterator[Plot]:
    leading = {metric.group: metric for metric in reversed(table.columns) if metric.is_primary}
    planes = (
        (
            "Distortion",
            "plane.svg",
            "Perception and distortion",
            "Distortion against perception (Blau and Michaeli, 2018). A model that is better in both lies nearer to "
            "the marked corner; lines join {joined}.",
        ),
        (
            "Consistency",
            "consistency.svg",
            "Consistency and perception",
            "Consistency with the LR image against perception: {across} against {up}.{projected}",
        ),
    )
    lines = table.lines
    projected = joined([line.label for line in lines if line.is_projected])
    projected = f" Not drawn, as outputs are projected onto LR: {projected}." if projected else ""
    for group, file, title, caption in planes:
        drawn = [line for line in lines if not (group == "Consistency" and line.is_projected)]
        if group in leading and "Perception" in leading and len(drawn) > 1:
            across, up = leading[group], leading["Perception"]
            text = caption.format(across=across.title, up=up.title, joined=_what_is_joined(table), projected=projected)
            yield Plot(title, file, f"{text}{_bars(table)}", partial(_plane, table, across, up))


def _costs(table: Table, machines: Sequence[str]) -> Plot | None:
    """Plot the leading metric against the first cost; None for results of different machines,
    which may differ in cost.
    """
    decisive = decisive_metrics(table)
    costs = [metric for metric in table.columns if metric.group == "Cost"]
    if not costs or not decisive or len(machines) > 1:
        return None
    cost, up = costs[0], decisive[0]
    means = {line.label: line.cells[cost.name].mean for line in table.lines}
    if len({mean for mean in means.values() if mean > 0}) < 2:
        return None
    free = joined([label for label, mean in means.items() if mean == 0])
    caption = (
        f"{up.title} against {cost.title}: {cost.protocol}. Networks run in float32, with +bf16 in "
        f"bfloat16, on {' and '.join(machines) or 'an unknown machine'}; lines join {_what_is_joined(table)}."
        f"{f' Not drawn, because the axis is logarithmic and the cost is 0: {free}.' if free else ''}{_bars(table)}"
    )
    return Plot("Quality and cost", "cost.svg", caption, partial(_plane, table, cost, up))


def _plane(table: Table, across: MetricInfo, up: MetricInfo) -> Figure:
    """Draw a point per row, without rows projected onto LR beside consistency. The axis of a cost is logarithmic."""
    is_cost = across.group == "Cost"
    figure = new_figure(6.4, 3.8)
    axes = figure.add_axes((0, 0, 1, 1))
    xs, ys = table.column(across.name), table.column(up.name)
    finite = [place for place in range(len(xs)) if math.isfinite(xs[place].mean) and math.isfinite(ys[place].mean)]
    if is_cost:
        finite = [place for place in finite if xs[place].mean > 0]
    if of_lr(across):
        finite = [place for place in finite if not table.lines[place].is_projected]
    strokes: list[tuple[tuple[float, float], tuple[float, float]]] = []
    groups = _joined(table)
    rows = [places for _, places in groups]
    for label, places in groups:
        if places := [place for place in places if place in finite]:
            colour, marker = looks_of(table.lines)[places[0]]
            (x, *x_ends), (y, *y_ends) = (_intervals([cells[place] for place in places]) for cells in (xs, ys))
            axes.errorbar(
                x,
                y,
                xerr=_reach(x, *x_ends),
                yerr=_reach(y, *y_ends),
                color=colour,
                fmt="none",
                elinewidth=0.9,
                alpha=0.5,
            )
            axes.plot(x, y, label=label, color=colour, marker=marker, markersize=7, linewidth=1)
            strokes += [((low, level), (high, level)) for low, high, level in zip(*x_ends, y, strict=True)]
            strokes += [((level, low), (level, high)) for low, high, level in zip(*y_ends, x, strict=True)]
            strokes += pairwise(zip(x, y, strict=True))
    axes.margins(0.12)
    axes.set(xlabel=f"{across.title} (logarithmic)" if is_cost else _axis(across), ylabel=_axis(up))
    if is_cost:
        _logarithmic(axes)
    arrange(figure)
    corner = 0.97 if across.direction > 0 else 0.03, 0.95 if up.direction > 0 else 0.05
    axes.text(
        *corner,
        "better",
        transform=axes.transAxes,
        ha="right" if corner[0] > 0.5 else "left",
        va="center",
        color=SOFT,
        style="italic",
        bbox={"boxstyle": "round", "fc": PALE, "ec": "none"},
    )
    _label(
        figure,
        axes,
        [(xs[place].mean, ys[place].mean, _short(table.lines, place, rows)) for place in finite],
        strokes,
    )
    return figure


def _logarithmic(axes: Axes) -> None:
    """Make the horizontal axis logarithmic, with ticks in numbers at 1, 2 and 5 of every decade."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))


def _joined(table: Table) -> list[tuple[str, list[int]]]:
    """Return labels and rows that a line joins in a plane:
    the steps of each training, the temperatures of each model.
    """
    curves = [(curve.label, list(curve.rows)) for curve in curves_of(table)]
    rows = {row for _, curve in curves for row in curve}
    return [*curves, *(group for group in by_model(table.lines).items() if rows.isdisjoint(group[1]))]


def _what_is_joined(table: Table) -> str:
    return "the temperatures of a model" + (", and the steps of a training" if curves_of(table) else "")


def _short(lines: Sequence[Line], place: int, groups: Sequence[Sequence[int]]) -> str:
    """Return the label of a row; for further rows that a line joins to it, only the temperature or the step."""
    line = lines[place]
    [group] = [group for group in groups if place in group]
    if line.checkpoint and len({lines[row].setting.model for row in group}) > 1:
        return line.label if place == group[0] else str(line.checkpoint.step)
    return line.label if place == min(group) or line.setting.temperature is None else f"{line.setting.temperature:g}"


def _label(
    figure: Figure,
    axes: Axes,
    spots: Sequence[tuple[float, float, str]],
    strokes: Sequence[tuple[tuple[float, float], tuple[float, float]]],
) -> None:
    """Label points, avoiding overlaps with other labels, points, and strokes between two points, if there is room."""
    from matplotlib.transforms import Bbox

    points = [axes.transData.transform(spot[:2]) * 72 / figure.dpi for spot in spots]
    frame = Bbox.from_extents(*(side * 72 / figure.dpi for side in axes.bbox.extents))
    taken = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    for start, end in (stroke for stroke in strokes if np.isfinite(stroke).all()):
        ends = axes.transData.transform([start, end]) * 72 / figure.dpi
        dots = np.linspace(ends[0], ends[1], 2 + int(np.ptp(ends, axis=0).max() / 3))
        taken += [Bbox.from_extents(x, y, x + 0.1, y + 0.1) for x, y in dots]
    for (x, y), spot in zip(points, spots, strict=True):
        width, height = 0.58 * _SMALL * len(spot[2]), 1.1 * _SMALL
        offsets = [
            (across * (6 + far) - width * (1 - across) / 2, up * (6 + far) - height * (1 - up) / 2)
            for far in (0, 10, 20)
            for across, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
        ]
        boxes = [Bbox.from_bounds(x + right, y + up, width, height) for right, up in offsets]
        is_inside = [frame.contains(*box.min) and frame.contains(*box.max) for box in boxes]
        faults = [box.count_overlaps(taken) + 20 * (not fits) for box, fits in zip(boxes, is_inside, strict=True)]
        best = faults.index(min(faults))
        taken.append(boxes[best])
        axes.annotate(spot[2], spot[:2], offsets[best], textcoords="offset points", fontsize=_SMALL, va="bottom")


def _temperatures(table: Table) -> Plot | None:
    models = {model: places for model, places in by_model(table.lines).items() if len(places) > 1}
    means = {metric.name: np.array([cell.mean for cell in table.column(metric.name)]) for metric in table.columns}
    metrics = [
        metric
        for metric in table.columns
        if metric.group != "Cost" and any(_differ(means[metric.name][places]) for places in models.values())
    ]

    def draw(axes: Axes, panel: int) -> None:
        for model, places in models.items():
            cells = [table.column(metrics[panel].name)[place] for place in places]
            temperatures = [_temperature(table.lines[place]) for place in places]
            band(axes, temperatures, cells, model, looks_of(table.lines)[places[0]])
        axes.set_xlabel("temperature")
        if panel == len(metrics) - 1:
            axes.figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=columns)

    columns, legend_lines = legend_shape([*models])
    bands = ", and their 95 % intervals as bands" if has_intervals(table) else ""
    caption = f"The trade-off set by the temperature: means{bands}."
    return small_plots("Temperature", "temperature.svg", caption, list(map(header, metrics)), 2.0, draw, legend_lines)


def band(axes: Axes, places: Sequence[float], cells: Sequence[Cell], label: str, looks: tuple[str, str]) -> None:
    """Draw means at some places of the horizontal axis, joined by a line, and their intervals as a band."""
    colour, marker = looks
    mean, low, high = _intervals(cells)
    means = np.where(np.isfinite(mean), mean, np.nan)
    axes.plot(places, means, label=label, color=colour, marker=marker, markersize=4, linewidth=1)
    axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)


def legend_shape(labels: Sequence[str]) -> tuple[int, int]:
    """Return the numbers of columns and of lines of a legend below a plot, in text of 9 points."""
    columns = max(1, min(4, int(9 / (0.6 + 0.58 / 8 * max(map(len, labels), default=0)))))
    return columns, -(-len(labels) // columns)


def _distributions(table: Table) -> Plot | None:
    columns = {
        metric.name: [_finite(table.values.of_units(line.setting, metric)) for line in table.lines]
        for metric in table.columns
        if metric.permits_test
    }
    metrics = [metric for metric in table.columns if metric.permits_test and any(map(_differ, columns[metric.name]))]

    def draw(axes: Axes, panel: int) -> None:
        metric = metrics[panel]
        for place, values in enumerate(columns[metric.name]):
            if len(values):
                colour, marker = looks_of(table.lines)[place]
                dots = np.quantile(values, np.linspace(0, 1, min(len(values), _DOTS)))
                axes.plot(
                    dots,
                    np.full(len(dots), place),
                    "|" if len(values) >= FEWEST_UNITS else _FEW,
                    color=colour,
                    alpha=0.55,
                    markersize=7 if len(values) >= FEWEST_UNITS else 4,
                )
                cell = table.lines[place].cells[metric.name]
                ends = cell.low, cell.mean, cell.high
                _bar(axes, place, ends, color=INK, marker=marker, markersize=4, markerfacecolor=colour)
        _name_rows(axes, [line.label for line in table.lines], panel)

    most = max(line.n for line in table.lines)
    mark = "stroke" if most >= FEWEST_UNITS else "dot"
    strokes = (
        f"The {_DOTS} strokes are quantiles over {table.unit}s" if most > _DOTS else f"A {mark} is {_a_unit(table)}"
    )
    interval = ", with its 95 % interval" if has_intervals(table) else ""
    caption = f"{strokes}; the marker is the mean{interval}."
    height = 0.7 + 0.22 * len(table.lines)
    return small_plots(f"All {table.unit}s", "distributions.svg", caption, list(map(header, metrics)), height, draw)


def _agreement(table: Table) -> Plot | None:
    """Plot how alike columns order the rows of an image, as a matrix."""
    metrics, taus = agreement_of_columns(table.values, table.columns)
    shown = [place for place in range(len(metrics)) if np.isfinite(taus[place]).any()]
    if len(shown) < 2:
        return None
    titles, taus = [metrics[place].title for place in shown], taus[np.ix_(shown, shown)]

    def draw() -> Figure:
        figure = new_figure(0.55 * len(titles) + 1.4, 0.4 * len(titles) + 0.5)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(taus, cmap="PuOr_r", vmin=-1.3, vmax=1.3, aspect="auto")  # without ends too dark for black
        for (row, column), tau in np.ndenumerate(taus):
            if np.isfinite(tau):
                axes.text(column, row, f"{tau:.2f}", ha="center", va="center", fontsize=_SMALL)
        numbers = [str(number) for number in range(1, len(titles) + 1)]
        axes.set_xticks(range(len(titles)), numbers)
        axes.set_yticks(range(len(titles)), list(map(" ".join, zip(titles, numbers, strict=True))), fontsize=_SMALL)
        axes.grid(visible=False)
        arrange(figure, 1)
        return figure

    caption = (
        "How alike two columns order the rows on an image: Kendall's tau-b, mean over images. 1: the same order, 0: no "
        "relation, -1: the opposite order; a higher rank is a better one in both."
    )
    return Plot("Columns that agree", "agreement.svg", caption, draw, is_folded=True)


def _losses(models: Sequence[ModelInfo]) -> Plot | None:
    """Plot the training losses stored in the models' weights, of a training in those of its last checkpoint.

    Weights that two models share are plotted once.
    """
    models = [*{(model.joint_label, run_of(model.label)): model for model in models}.values()]
    weights = {model.weights.sha256: (model.label, model.weights) for model in reversed(models) if model.weights}
    curves = [
        (label, name, values) for label, facts in reversed(weights.values()) for name, values in facts.losses.items()
    ]

    def draw(axes: Axes, panel: int) -> None:
        values = curves[panel][2]
        axes.plot(np.linspace(0, 100, len(values)), values, color=COLOURS[0], linewidth=1.2)
        axes.set_xlabel("% of the training")

    caption = "Training losses, as stored in the models' weights; a point is the mean over several steps."
    titles = [f"{fill(label, 28)}\n{name}" for label, name, _ in curves]
    plot = small_plots("Training", "training.svg", caption, titles, 2.1, draw)
    return plot and replace(plot, is_folded=True)


_COLUMNS = 4


def small_plots(
    title: str,
    file: str,
    caption: str,
    titles: Sequence[str],
    height: float,
    draw: Callable[[Axes, int], None],
    legend_lines: int = 0,
    columns: int = _COLUMNS,
) -> Plot | None:
    """Return a plot of small panels in rows, where ``draw`` draws a panel by its index; None without panels."""

    def draw_all() -> Figure:
        figure = new_figure(9.0, -(-len(titles) // columns) * height + 0.1 + 0.2 * max(legend_lines, 1))
        for panel, name in enumerate(titles):
            axes = figure.add_axes((0, 0, 1, 1))
            draw(axes, panel)
            axes.set_title(name)
        arrange(figure, columns, below=0.1 + 0.2 * legend_lines if legend_lines else 0.0)
        return figure

    return Plot(title, file, caption, draw_all, is_wide=True) if titles else None


def _name_rows(axes: Axes, labels: Sequence[str], panel: int) -> None:
    """Place rows from top to bottom, and label them in the first panel of each line."""
    axes.set_ylim(len(labels) - 0.5, -0.5)
    if panel % _COLUMNS == 0:
        axes.set_yticks(range(len(labels)), labels, fontsize=_SMALL)
    else:  # a grid without ticks, which matplotlib draws slowly
        axes.set_yticks([])
        rows, across = range(len(labels)), axes.get_yaxis_transform()
        axes.hlines(rows, 0, 1, GRID, transform=across, linewidth=GRID_WIDTH, zorder=0.5)


def _bar(axes: Axes, row: int, ends: tuple[float, float, float], **style: Any) -> None:  # noqa: ANN401 - matplotlib's
    """Draw a mean with its interval, if it has one: (low, mean, high). ``errorbar`` is slower."""
    axes.plot(ends, [row] * 3, linewidth=1.2, markevery=[1], solid_capstyle="butt", **style)


def by_model(lines: Sequence[Line]) -> dict[str, list[int]]:
    """Return the indices of the rows of every model, by rising temperature."""
    places: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        places.setdefault(line.setting.model, []).append(place)
    return {model: sorted(own, key=lambda place: _temperature(lines[place])) for model, own in places.items()}


def _temperature(line: Line) -> float:
    return line.setting.temperature or 0.0


def looks_of(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Return colour and marker of every row. Rows of a model or training share both;
    the first 70 combinations differ.
    """
    models = list(dict.fromkeys(line.joint_label for line in lines))
    places = [models.index(line.joint_label) for line in lines]
    return [(COLOURS[place % len(COLOURS)], _MARKERS[place % len(_MARKERS)]) for place in places]


def _intervals(cells: Sequence[Cell]) -> tuple[list[float], list[float], list[float]]:
    """Return the means of cells, and the lower and upper ends of their intervals."""
    return [cell.mean for cell in cells], [cell.low for cell in cells], [cell.high for cell in cells]


def _reach(means: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> list[NDArray[np.floating]]:
    """Return the distances from means to the ends of their intervals; 0 without an interval."""
    return [np.fmax(np.subtract(means, lows), 0), np.fmax(np.subtract(highs, means), 0)]


def has_intervals(table: Table) -> bool:
    """Return whether a row has enough independent images, or groups, for intervals."""
    return any(map(table.values.permits_test, table.columns)) and any(line.n >= FEWEST_UNITS for line in table.lines)


def _a_unit(table: Table) -> str:
    return "the mean of a group" if table.values.unit_of else f"a{'n' if table.unit == 'image' else ''} {table.unit}"


def _bars(table: Table) -> str:
    """Return the sentence of a caption on the bars of means, if there are any."""
    return " Bars are 95 % intervals of the means, not of differences." if has_intervals(table) else ""


def _axis(metric: MetricInfo) -> str:
    unit = f" in {metric.unit}" if metric.unit else ""
    return f"{metric.title}{unit} ({'higher' if metric.direction > 0 else 'lower'} is better)"


def _difference(values: Mapping[str, float], baseline: Mapping[str, float], metric: MetricInfo) -> dict[str, float]:
    images = [name for name in values if math.isfinite(values[name]) and math.isfinite(baseline.get(name, math.nan))]
    gaps = differences([values[name] for name in images], [baseline[name] for name in images], metric)
    return dict(zip(images, gaps.tolist(), strict=True))


def _finite(values: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the finite values, in the order of the names of images or groups."""
    return np.array([values[name] for name in sorted(values) if math.isfinite(values[name])])


def _differ(values: NDArray[np.float64]) -> bool:
    return len(np.unique(values[np.isfinite(values)])) > 1
