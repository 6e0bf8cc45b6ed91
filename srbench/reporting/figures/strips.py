"""One layout of a figure: whole images with boxes, and beside each the boxes magnified, by LR, every model and HR.

It is that of the strips of a report, of edited images and of figures for papers. Equal input gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srbench.images.box import Box
from srbench.interfaces import MetricInfo
from srbench.judging.sentences import printed
from srbench.pages.plot_style import INK, new_figure, plot_style
from srbench.reporting import ReportError
from srbench.run_folder.records import Value
from srbench.run_folder.values import mean
from srbench.words import number_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

WINDOW = 80
"""Largest side of the default window in HR pixels."""
MARK = "srbench figure"
"""Creator of a file, by which ``srbench figure`` knows the files that it may replace."""
FRAMES = ("#e8000b", "#1f6fe5", "#12a150", "#f28e00")
"""Colours of the boxes of an image and of the frames of their magnifications."""
_FONTS = ["STIXGeneral", "DejaVu Sans"]
"""Fonts that matplotlib brings: the letters of a paper in Times, and signs that these lack."""
_SIZE, _SMALLEST = 7.5, 5.5
"""Sizes of text in points; the smaller, if names are long for their panels."""
_LINE, _GAP, _ROW = 1.25, 0.04, 0.06
"""Height of a line of text in units of its size; distances in inches between panels, and between images."""
_SMALLEST_SIDE, _MOST_WHOLE, _MOST_LINES = 0.3, 0.4, 8
"""Least side of a window in inches, largest share of the width that the whole image takes, most lines of text below it."""


@dataclass(frozen=True, eq=False)
class Panel:
    """An image, of the size of HR, and the lines below it."""

    image: NDArray[np.uint8]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """An image of a figure: the whole, and the panels of which each window is magnified."""

    whole: Panel
    windows: tuple[Box, ...]
    panels: tuple[Panel, ...]
    has_hr: bool = False
    """Whether the last panel is HR, which stands at the end of the first row."""


def part_of(
    name: str,
    lr: NDArray[np.uint8] | None,
    hr: NDArray[np.uint8] | None,
    outputs: Mapping[str, tuple[NDArray[np.uint8], Sequence[Value | None]]],
    windows: Sequence[Box],
    metrics: Sequence[MetricInfo],
    scale: int,
    lr_title: str = "LR",
) -> Part:
    """Return one image of a figure.

    Args:
        name: Name of the image.
        lr: LR (h, w, 3), or None.
        hr: HR (H, W, 3), or None.
        outputs: An output (H, W, 3) of every model by its name, and its values, of which the first sample's are shown.
        windows: Windows to magnify; without any, the one where the outputs differ most or, for a single output and equal
            outputs, where they differ most from HR (or from bicubic interpolation of LR).
        metrics: The metrics of the values.
        scale: Sides and corners of the default window are multiples of it.
        lr_title: What LR is called.

    Raises:
        ReportError: Images differ in size, or a window reaches beyond them.
    """
    images = [image for image, _ in outputs.values()]
    height, width = images[0].shape[:2]
    if sizes := {image.shape[:2] for image in (*images, *(() if hr is None else (hr,)))} - {(height, width)}:
        other = sizes.pop()
        raise ReportError(
            f"{name}: images of {width} x {height} and {other[1]} x {other[0]} pixels do not share windows"
        )
    reference = hr
    if hr is None and lr is not None:
        reference = np.asarray(Image.fromarray(lr).resize((width, height), Image.Resampling.BICUBIC))
    differ = reference is None or any(not np.array_equal(images[0], other) for other in images[1:])
    differing = images if differ or reference is None else [images[0], reference]
    for box in windows:
        if box.x + box.width > width or box.y + box.height > height:
            raise ReportError(
                f"{name} has {width} x {height} pixels; the window {box.x},{box.y},{box.width} reaches beyond"
            )
    panels = []
    if lr is not None:
        enlarged = Image.fromarray(lr).resize((width, height), Image.Resampling.NEAREST)
        panels.append(Panel(np.asarray(enlarged), (lr_title,)))
    panels += [Panel(image, (model, _words(values, metrics))) for model, (image, values) in outputs.items()]
    panels += [] if hr is None else [Panel(hr, ("HR",))]
    whole = next(image for image in (hr, images[0]) if image is not None)
    return Part(
        Panel(whole, (name, " / ".join(metric.title for metric in metrics))),
        tuple(windows) or (difference_window(differing, scale),),
        tuple(panels),
        hr is not None,
    )


def figure_bytes(parts: Sequence[Part], width: float, rows: int, dots: int, kind: str = "png") -> bytes:
    """Draw the parts of a figure below each other.

    Args:
        parts: What to draw.
        width: Width in inches.
        rows: Number of rows over which the panels of a window are spread.
        dots: Dots per inch of PNG, and least number of pixels per inch of images.
        kind: ``png`` or ``pdf``, in which text is text in a TrueType font.

    Raises:
        ReportError: Panels would be too small to see.
    """
    import matplotlib as mpl

    with plot_style():
        mpl.rcParams.update({"font.family": _FONTS, "pdf.fonttype": 42, "figure.dpi": dots})
        figure = _drawn(parts, width, rows)
        buffer = BytesIO()
        metadata = {"Software": MARK} if kind == "png" else {"Creator": MARK, "Producer": None, "CreationDate": None}
        figure.savefig(buffer, format=kind, dpi=dots, facecolor="white", metadata=metadata)
    return buffer.getvalue()


def difference_window(images: list[NDArray[np.uint8]], step: int) -> Box:
    """Return the square window with the largest sum of the variance over images (H, W, 3); ties go to the first.

    Sides and corners are multiples of ``step`` (the scale), so that no LR pixel is cut.
    """
    total, squares = sums(images)
    variance = (len(images) * squares - total**2).sum(axis=2)  # times a constant: integers, whose sums are exact
    side = min(WINDOW, *variance.shape)
    side = max(side - side % step, 1)
    scores = _box_sums(variance, side)[::step, ::step]
    top, left = np.unravel_index(np.argmax(scores), scores.shape)
    return Box(int(left) * step, int(top) * step, side, side)


def sums(images: list[NDArray[np.uint8]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums over images (h, w, 3) of their levels, and of the squares of their levels; both are exact."""
    total = np.zeros(images[0].shape, np.int32)
    squares = np.zeros_like(total)
    for image in images:
        levels = image.astype(np.int32)
        total += levels
        squares += levels * levels
    return total.astype(np.float64), squares.astype(np.float64)


def _box_sums(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Sum (h, w) over every side x side square -> (h-side+1, w-side+1)."""
    table: NDArray[np.float64] = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    bands = table[side:] - table[:-side]
    return bands[:, side:] - bands[:, :-side]


def _words(values: Sequence[Value | None], metrics: Sequence[MetricInfo]) -> str:
    """Return the values of a first output: ``23.10 / 0.432``."""
    first = [value[0] if isinstance(value, list) else mean(value) for value in values]
    return " / ".join(printed(value, metric) for value, metric in zip(first, metrics, strict=True))


@dataclass(frozen=True)
class _Grid:
    """Layout of a part, in inches: the whole image on the left, and a grid of magnified windows on the right.

    The whole image is the first cell of the grid instead, if the grid had an empty cell.
    """

    left: float
    """Width of the column of the whole image; 0 if it is a cell of the grid."""
    side: float
    """Width of a cell, and its height unless a window is wide."""
    columns: int
    texts: tuple[float, ...]
    """Height of the text below each row of cells; 0 where the names stand below a later row."""
    part: Part
    """The part, its panels in order of the cells, with lines broken where they are longer than a cell."""

    @property
    def rows(self) -> int:
        """Number of rows of a window."""
        return len(self.texts) // len(self.part.windows)

    @property
    def windows(self) -> float:
        """Height of all rows and of the text between them."""
        sides = sum(self.side * min(1.0, box.height / box.width) for box in self.part.windows)
        return self.rows * sides + sum(self.texts[:-1]) + _GAP * (len(self.texts) - 1)

    @property
    def whole(self) -> tuple[float, float]:
        """Width and height of the whole image."""
        height, width = self.part.whole.image.shape[:2]
        scale = min((self.left or self.side) / width, (self.windows if self.left else self.side) / height)
        return scale * width, scale * height


def _grid(part: Part, width: float, rows: int, size: float) -> _Grid:
    """Lay a part out in text of ``size`` points. Raises ReportError."""
    count, last = len(part.panels), len(part.windows) - 1
    is_cell = rows > 1 and last == 0 and (count + 1) % rows == 0
    columns = -(-(count + is_cell) // rows)
    rows = -(-(count + is_cell) // columns)
    panels = list(part.panels)
    if part.has_hr:
        panels.insert(columns - 1 - is_cell, panels.pop())
    aspect = part.whole.image.shape[1] / part.whole.image.shape[0]
    tall = rows * sum(min(1.0, box.height / box.width) for box in part.windows)
    for number in range(2, _MOST_LINES + 1):
        text = _LINE * size / 72 * number + _GAP
        texts = tuple(text if rows > 1 or box == last else 0.0 for box in range(last + 1) for _ in range(rows))
        between = sum(texts[:-1]) + _GAP * (len(texts) - 1)
        side, left = (width + _GAP) / columns - _GAP, 0.0
        if not is_cell:
            side = (width - aspect * between - _GAP * columns) / (aspect * tall + columns)
            least = (width - _GAP * columns) / (columns + 1)
            left = min(max(width - columns * (side + _GAP), least), _MOST_WHOLE * width)
            side = (width - left) / columns - _GAP
        if side < _SMALLEST_SIDE:
            break
        name, *titles = part.whole.lines
        whole = (_shortened(name, size, left or side), *_broken(titles, size, left or side))
        broken = tuple(replace(panel, lines=_broken(panel.lines, size, side)) for panel in panels)
        if max(len(whole), *(len(panel.lines) for panel in broken)) <= number:
            return _Grid(
                left, side, columns, texts, replace(part, whole=replace(part.whole, lines=whole), panels=broken)
            )
    raise ReportError(
        f"{number_of(count, 'panel')} do not fit into {width:g} inches; raise --rows or --width, or choose fewer --models"
    )


def _drawn(parts: Sequence[Part], width: float, rows: int) -> Figure:
    """Draw the figure, whose height follows from its width, in the largest text in which no line is broken."""
    sizes = [_SIZE - step / 4 for step in range(int(4 * (_SIZE - _SMALLEST)) + 1)]
    unbroken = [sum(len(panel.lines) for panel in part.panels) for part in parts]
    for size in sizes:
        grids = [_grid(part, width, rows, size) for part in parts]
        if [sum(len(panel.lines) for panel in grid.part.panels) for grid in grids] == unbroken:
            break
    heights = [max(grid.windows, grid.whole[1] if grid.left else 0.0) + grid.texts[-1] for grid in grids]
    figure = new_figure(width, sum(heights) + _ROW * (len(parts) - 1))
    top = figure.get_size_inches()[1]
    for grid, height in zip(grids, heights, strict=True):
        _draw(figure, grid, size, top)
        top -= height + _ROW
    return figure


def _broken(lines: Sequence[str], size: float, width: float) -> tuple[str, ...]:
    """Break lines at spaces to fit a width in inches; a longer word, which is no number, is shortened."""
    broken: list[str] = []
    for line in lines:
        current = ""
        for word in line.split(" "):
            longer = f"{current} {word}".strip()
            if current and _wide(longer, size) > width:
                broken.append(current)
                longer = word
            current = longer
        broken.append(current)
    return tuple(_shortened(line, size, width) for line in broken)


def _shortened(word: str, size: float, width: float) -> str:
    while len(word) > 1 and _wide(word, size) > width:
        word = f"{word[:-2]}…"
    return word


def _draw(figure: Figure, grid: _Grid, size: float, top: float) -> None:
    """Draw a part below the height ``top``, in inches."""
    part, step = grid.part, grid.side + _GAP
    wide, tall = grid.whole
    column = grid.left or grid.side
    axes = _show(figure, part.whole.image, ((column - wide) / 2, top - tall, wide, tall))
    _write(figure, part.whole.lines, size, (0.0, top - tall, column))
    start = grid.left + _GAP if grid.left else 0.0
    for number, box in enumerate(part.windows):
        colour = FRAMES[number % len(FRAMES)]
        axes.add_patch(_frame((box.x, box.y), box.width, box.height, colour))
        scale = grid.side / max(box.width, box.height)
        high = grid.side * min(1.0, box.height / box.width)
        for place, panel in enumerate(part.panels, 0 if grid.left else 1):
            row, cell = divmod(place, grid.columns)
            text = grid.texts[number * grid.rows + row]
            x, y = start + cell * step, top - high - row * (high + text + _GAP)
            window = panel.image[box.y : box.y + box.height, box.x : box.x + box.width]
            width = box.width * scale
            shown = _show(figure, window, (x + (grid.side - width) / 2, y, width, box.height * scale))
            shown.add_patch(_frame((0, 0), box.width, box.height, colour))
            if text:
                _write(figure, panel.lines, size, (x, y, grid.side))
        top -= sum(high + text + _GAP for text in grid.texts[number * grid.rows : (number + 1) * grid.rows])


def _show(figure: Figure, image: NDArray[np.uint8], place: tuple[float, float, float, float]) -> Axes:
    """Show an image in a rectangle: left, bottom, width and height in inches. Axes are in pixels of the image.

    The rectangle is rounded to dots. A small image is repeated pixel by pixel, because PDF viewers blur what they
    magnify, and every image is then averaged down to the dots.
    """
    left, bottom, width, height = (round(length * figure.dpi) for length in place)
    size = max(width, 1), max(height, 1)
    across, down = figure.get_size_inches() * figure.dpi
    axes = figure.add_axes((left / across, bottom / down, size[0] / across, size[1] / down))
    axes.set_axis_off()
    high, wide = image.shape[:2]
    factor = max(-(-size[0] // wide), -(-size[1] // high))
    pixels = Image.fromarray(image.repeat(factor, 0).repeat(factor, 1))
    pixels = pixels.resize(size, Image.Resampling.BOX if factor > 1 else Image.Resampling.LANCZOS)
    axes.imshow(np.asarray(pixels), interpolation="none", extent=(0, wide, high, 0), aspect="auto")
    return axes


def _frame(corner: tuple[float, float], width: float, height: float, colour: str) -> Rectangle:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=0.8, joinstyle="miter")


def _write(figure: Figure, lines: Sequence[str], size: float, place: tuple[float, float, float]) -> None:
    """Write lines, centred, below a panel: its left, bottom and width in inches."""
    across, down = figure.get_size_inches()
    left, bottom, width = place
    for number, line in enumerate(lines):
        y = bottom - _GAP - _LINE * size / 72 * number
        figure.text((left + width / 2) / across, y / down, line, ha="center", va="top", size=size, color=INK)


@cache
def _wide(text: str, size: float) -> float:
    """Return the width of a text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=_FONTS, size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72
