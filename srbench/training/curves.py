"""Plot of loss and validation curves, one panel each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from srbench.pages.plot_style import COLOURS, arrange, new_figure, plot_style, svg

POINTS = 400
"""Largest number of points of a drawn curve."""

Step = Mapping[str, float]
"""A line of a training log: the step, and values by name."""


def loss_names(row: Step) -> list[str]:
    """Return the names of the losses in a line, which also holds the learning rate and the norms of gradients."""
    return [name for name in row if name != "step" and not name.startswith(("learning_rate", "gradient"))]


def curves(losses: Sequence[Step], metrics: Sequence[Step], units: Mapping[str, str]) -> bytes:
    """Plot the curves as SVG; equal trainings give equal bytes. ``units`` are the metrics' units by name."""
    names = loss_names(losses[0])
    panels = {name: thinned([(row["step"], row[name]) for row in losses], POINTS) for name in names}
    labels = dict.fromkeys(names, "loss") | {"bits_per_dim": "bits per dimension"}
    for name, unit in units.items():
        points = [(row["step"], row[name]) for row in metrics if math.isfinite(row.get(name, math.nan))]
        if points:
            panels[f"validation {name}"] = points
            labels[f"validation {name}"] = unit
    with plot_style():
        figure = new_figure(3.2 * len(panels), 2.4)
        for number, (name, points) in enumerate(panels.items()):
            axis = figure.add_axes((0, 0, 1, 1))
            steps = [step for step, _ in points]
            values = [value for _, value in points]
            marker = "." if len(points) < 30 else ""
            axis.plot(steps, values, color=COLOURS[number % len(COLOURS)], linewidth=1.0, marker=marker)
            axis.set_title(name, fontsize=9)
            axis.set_xlabel("step")
            axis.set_ylabel(labels[name], fontsize=8)
        arrange(figure, len(panels))
        return svg(figure)


def thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Average a curve over at most so many intervals, each of as many finite points (step, value)."""
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    parts = min(len(finite), most)
    pieces = (finite[part * len(finite) // parts : (part + 1) * len(finite) // parts] for part in range(parts))
    return [(fmean(step for step, _ in piece), fmean(value for _, value in piece)) for piece in pieces]
