"""Votes of people in a report: a column of the table, lines of text, and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from srbench.interfaces import SRBenchError
from srbench.pages.plot_style import COLOURS, INK, SOFT, new_figure
from srbench.reporting.measurements import Measurements
from srbench.voting.fitting import Interval
from srbench.voting.records import read_votes
from srbench.voting.tally import Tally, tally
from srbench.voting.words import CAPTION, metric_sentence, remarks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT_CAPTION = (
    "Left: how often people prefer one model to another of the vote, with 95 % intervals that hold for all models "
    "together. Right: how often a metric prefers the image that people prefer; 50 % is chance."
)
_ROW = 0.28
"""Height of a row of the plot in inches."""


def votes_of(measurements: Measurements) -> tuple[Tally | None, str]:
    """Tally of the only run of a report, and a note if it has votes that cannot be shown; no tally of several runs."""
    if len(measurements.runs) > 1:
        return None, ""
    path = measurements.runs[0].folder.path
    try:
        return (tally(path), "") if read_votes(path) else (None, "")
    except SRBenchError as error:
        return None, f"Votes are not shown: {error}"


def vote_lines(votes: Tally | None) -> list[str]:
    """Lines of the section on votes: how well every metric agrees with people, and remarks; none without votes."""
    return [] if votes is None else [CAPTION, *map(metric_sentence, votes.metrics), *remarks(votes)]


def draw_votes(votes: Tally) -> Figure:
    """Shares of models, the most preferred first, beside the accuracy of metrics."""
    models = [one for one in votes.strengths if one.answers]
    figure = new_figure(8.0, 0.9 + _ROW * max(len(models), len(votes.metrics)))
    left, right = figure.subplots(1, 2)
    _rows(left, [one.label for one in models], [one.preferred for one in models], "preferred by people, %")
    titles = [one.metric.title for one in votes.metrics]
    _rows(right, titles, [one.accuracy for one in votes.metrics], "agrees with people, %")
    return figure


def _rows(axes: Axes, names: Sequence[str], shares: Sequence[Interval], title: str) -> None:
    axes.axvline(50, color=SOFT, linewidth=0.8)
    for place, one in enumerate(shares):
        ends = np.array([[one.value - one.low], [one.high - one.value]])
        reach = 100 * np.fmax(ends, 0)  # 0 without an interval
        axes.errorbar(
            [100 * one.value],
            [place],
            xerr=reach,
            color=INK,
            marker="o",
            markersize=6,
            markerfacecolor=COLOURS[0],
            elinewidth=1.2,
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel(title)
