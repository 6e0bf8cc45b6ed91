"""Plots as SVG files in one look, legible in print and to the colour-blind; equal plots give equal bytes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE: Any = {
    "svg.hashsalt": "srbench",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito, "Color universal design", 2008, without the yellow that is lost on white paper."""


@contextmanager
def plot_style() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's settings are: figures are made and written inside."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # a letter of a user's name that the font has not is drawn as a box
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def svg(figure: Figure) -> bytes:
    """The figure as SVG; neither the date nor the version of matplotlib is in it."""
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
