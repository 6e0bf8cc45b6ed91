"""The style of SVG plots: legible in print, on dark pages and with colour blindness.

Equal plots give equal bytes. The background is transparent, and dark ink becomes light on a dark page.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK, SOFT, PALE, GRID = "#1b1b1a", "#595955", "#eeeeee", "#dddddd"
GRID_WIDTH = 0.6
_STYLE: Any = {
    "svg.hashsalt": "srbench",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "axes.titlesize": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "grid.color": GRID,
    "grid.linewidth": GRID_WIDTH,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK)
"""Okabe and Ito, "Color universal design", 2008, without yellow, which is hard to see on white paper."""
_DARK = {INK: "#e8e6e1", SOFT: "#a9a79f", PALE: "#2a2d31", GRID: "#36393d", "#0072b2": "#4fa8e0"}
"""Replacements of colours on a dark page."""
_LINE = 0.15
"""Height of a line of text in inches."""
_THEME = "".join(
    f'[style*="{attribute}: {colour}"]{{{attribute}:{dark}!important}}'
    for colour, dark in _DARK.items()
    for attribute in ("fill", "stroke")
)


@contextmanager
def plot_style() -> Iterator[None]:
    """Replace the user's matplotlib settings by the defaults and our style; make and write figures inside."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # characters of labels that the font lacks are drawn as boxes, without a warning
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure; width and height are in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def arrange(figure: Figure, columns: int = 1, below: float = 0.0) -> None:
    """Place the panels of a figure in rows, with room for their titles, tick labels and axis labels.

    ``below`` inches stay free at the bottom. matplotlib's layouts would draw everything twice: once to measure it.
    """
    panels = figure.axes
    across, down = figure.get_size_inches()
    row = (down - below) / -(-len(panels) // columns)
    above = max(0.1 + _LINE * len(axes.get_title().splitlines()) for axes in panels)
    height = row - above - max(0.25 + 1.3 * _LINE * bool(axes.get_xlabel()) for axes in panels)
    width = 0.8 * across / columns
    for axes in panels:  # ticks depend on the size
        axes.set_position((0, 0, width / across, height / down))
    lefts = [max(map(_left, panels[column::columns]), default=0.0) for column in range(columns)]
    lefts = [min(left, across / 2) for left in lefts]
    right = 0.06 + max(_overhang(axes.xaxis, width) for axes in panels)
    width = (across - sum(lefts)) / columns - right
    for index, axes in enumerate(panels):
        line, column = divmod(index, columns)
        left = sum(lefts[: column + 1]) + column * (width + right)
        bottom = down - line * row - above - height
        axes.set_position((left / across, bottom / down, width / across, height / down))
        axes.xaxis.set_label_coords(0.5, -0.25 / height)
        if not axes.yaxis.get_major_formatter().get_offset():  # else matplotlib finds the place above the exponent
            axes.set_title(axes.get_title(), y=1)


def _left(axes: Axes) -> float:
    """Return the width of the labels to the left of a panel in inches."""
    widest = max((width for _, width in _ticks(axes.yaxis)), default=0.0)
    return 0.08 + (widest and widest + 0.06) + 1.4 * _LINE * bool(axes.get_ylabel())


def _overhang(axis: Axis, length: float) -> float:
    """Return how far labels reach beyond the ends of a horizontal axis of ``length`` inches."""
    return max([0.0, *(width / 2 - length * min(share, 1 - share) for share, width in _ticks(axis))])


def _ticks(axis: Axis) -> list[tuple[float, float]]:
    """Return the position of every tick as a share of the axis, and the width of its label in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    start, end = axis.get_view_interval()
    shown = [tick for tick in axis.get_majorticklocs() if min(start, end) <= tick <= max(start, end)]
    texts = axis.get_major_formatter().format_ticks(shown)
    sizes = [text_to_path.get_text_width_height_descent(text, FontProperties(), ismath=False) for text in texts]
    return [((tick - start) / (end - start), size[0] / 72) for tick, size in zip(shown, sizes, strict=True)]


def svg(figure: Figure) -> bytes:
    """Render a figure as SVG that follows the page's light or dark theme, without date and version of matplotlib."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = BytesIO()
    # not savefig, which draws everything twice
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    style = f"<defs><style>@media (prefers-color-scheme: dark){{{_THEME}}}</style></defs>\n</svg>"
    return buffer.getvalue().replace(b"</svg>", style.encode())
