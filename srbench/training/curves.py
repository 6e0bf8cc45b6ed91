"""Curves of losses and validation metrics, one panel each: ``loss.svg``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from srbench.files.atomic import write_whole
from srbench.pages.plot_style import COLOURS, new_figure, plot_style, svg
from srbench.training import TrainingError
from srbench.training.folder import LOSSES, METRICS, Journal

_POINTS = 400
"""Most points of a curve; longer curves show means of equally many steps."""
_NO_LOSS = ("learning_rate", "gradient")
_LOSS_UNITS = {"bits_per_dim": "bits per dimension"}
"""Units of losses; the others are weighted terms without one."""


def write_curves(run: Path, units: Mapping[str, str]) -> None:
    """Draw the losses and validation metrics of a training folder in its ``loss.svg``; equal trainings, equal bytes.

    ``units`` are those of the metrics, by name. Raises TrainingError for a folder without losses.
    """
    units = _LOSS_UNITS | {f"validation {name}": unit for name, unit in units.items()}
    panels = _panels(run)
    with plot_style():
        figure = new_figure(3.2 * len(panels), 2.4)
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for number, ((name, points), axis) in enumerate(zip(panels.items(), grid, strict=True)):
            steps, values = zip(*points, strict=True) if points else ((), ())
            marker = "." if len(points) < 30 else ""
            axis.plot(steps, values, color=COLOURS[number % len(COLOURS)], linewidth=1.0, marker=marker)
            axis.set_title(name, fontsize=9)
            axis.set_xlabel("step")
            axis.set_ylabel(units.get(name, "loss"), fontsize=8)
        write_whole(run / "loss.svg", svg(figure))


def _panels(run: Path) -> dict[str, list[tuple[float, float]]]:
    losses = Journal(run / LOSSES).read()
    if not losses:
        raise TrainingError(f"{run}: holds no losses; name the folder of a training that has started")
    names = [name for name in losses[0] if name != "step" and not name.startswith(_NO_LOSS)]
    panels = {name: list(_thinned([(row["step"], row[name]) for row in losses])) for name in names}
    for row in Journal(run / METRICS).read():
        for name, value in row.items():
            if name != "step" and math.isfinite(value):
                panels.setdefault(f"validation {name}", []).append((row["step"], value))
    return panels


def _thinned(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    width = -(-len(points) // _POINTS)
    for at in range(0, len(points), width):
        finite = [point for point in points[at : at + width] if math.isfinite(point[1])]
        if finite:
            yield fmean(step for step, _ in finite), fmean(value for _, value in finite)
