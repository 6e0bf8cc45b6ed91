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
    from matplotlib.figure import Figure

INK, SOFT, PALE, GRID = "#1b1b1a", "#595955", "#eeeeee", "#dddddd"
_STYLE: Any = {
    "svg.hashsalt": "srbench",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlesize": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK)
"""Okabe and Ito, "Color universal design", 2008, without yellow, which is hard to see on white paper."""
_DARK = {INK: "#e8e6e1", SOFT: "#a9a79f", PALE: "#2a2d31", GRID: "#36393d", "#0072b2": "#4fa8e0"}
"""Replacements of colours on a dark page."""
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

    return Figure(figsize=(width, height), layout="constrained")


def svg(figure: Figure) -> bytes:
    """Render a figure as SVG that follows the page's light or dark theme, without date and version of matplotlib."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = BytesIO()
    # not savefig, which draws everything twice
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    style = f"<defs><style>@media (prefers-color-scheme: dark){{{_THEME}}}</style></defs>\n</svg>"
    return buffer.getvalue().replace(b"</svg>", style.encode())
