"""The losses of trainings as curves, one panel a loss: ``loss.svg``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from srbench.images import write_whole
from srbench.training.config import TrainingError
from srbench.training.folder import LOSSES, METRICS
from srbench.training.journal import Journal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 400
"""Of a curve; of more steps, each is the mean of several."""
_STYLE: Any = {
    "svg.hashsalt": "srbench",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_NO_LOSS = ("learning_rate", "gradient")


def write_curves(runs: Sequence[Path], out: Path) -> None:
    """Draw the losses and validation metrics of the folders of trainings, a row each, into an SVG file.

    Equal trainings give equal bytes. Raises TrainingError for a folder without losses.
    """
    rows = [_panels(run) for run in runs]
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        columns = max(map(len, rows))
        figure = Figure(figsize=(3.2 * columns, 2.4 * len(rows)), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for run, panels, axes in zip(runs, rows, grid, strict=True):
            for axis in axes[len(panels) :]:
                axis.set_axis_off()
            for number, ((name, points), axis) in enumerate(zip(panels.items(), axes, strict=False)):
                _draw(axis, name, points, _COLOURS[number % len(_COLOURS)])
            axes[0].set_ylabel(run.resolve().name)
        buffer = BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    write_whole(out, buffer.getvalue())


def _panels(run: Path) -> dict[str, list[tuple[float, float]]]:
    """Points by name: every loss of the training, every metric of the validation."""
    losses = Journal(run / LOSSES).read()
    if not losses:
        raise TrainingError(f"{run}: holds no losses; name the folder of a training that has begun")
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


def _draw(axis: Axes, name: str, points: Sequence[tuple[float, float]], colour: str) -> None:
    steps, values = zip(*points, strict=True) if points else ((), ())
    axis.plot(steps, values, color=colour, linewidth=1.0, marker="." if len(points) < 30 else "")
    axis.set_title(name, fontsize=9)
    axis.set_xlabel("step")
