"""One layout of a figure: whole images with boxes, and beside each the boxes magnified, by LR, every model and HR.

It is that of the strips of a report, of edited images and of figures for papers. Equal input gives equal bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING
from xml.sax.saxutils import unescape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srbench.images.box import Box
from srbench.interfaces import MetricInfo
from srbench.judging.sentences import printed
from srbench.pages.plot_style import INK, new_figure, plot_style
from srbench.reporting import ReportError
from srbench.reporting.figures.error_maps import (
    DEVIATION,
    ERROR,
    MapKind,
    Values,
    coloured,
    deviation_map,
    error_map,
    sums,
)
from srbench.run_folder.records import Value
from srbench.run_folder.values import mean
from srbench.words import number_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

Outputs = Mapping[str, tuple[Sequence[NDArray[np.uint8]], Sequence[Value | None]]]
"""The output or the samples (H, W, 3) of every model by its name, and their values."""
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
_LINE, _ASCENT, _GAP, _ROW, _MARGIN = 1.25, 0.7, 0.04, 0.06, 0.06
"""Heights of a line of text and of its letters in units of its size; distances in inches between panels, and between
images; how much narrower than a panel its text is."""
_SMALLEST_SIDE, _MOST_WHOLE, _MOST_LINES = 0.3, 0.6, 8
"""Least side of a window in inches, largest share of the width that the whole image takes,
most lines of text below it."""


@dataclass(frozen=True, eq=False)
class Panel:
    """An image, of the size of HR, and the lines below it."""

    image: NDArray[np.uint8]
    lines: tuple[str, ...]
    bold: frozenset[int] = frozenset()
    """Places of bold words, counted from the end: -1 is the last word."""
    is_legend: bool = False
    """Whether the image is shown whole and without a frame, whatever the window and its size."""


@dataclass(frozen=True)
class Part:
    """An image of a figure: the whole, and the panels of which each window is magnified."""

    whole: Panel
    windows: tuple[Box, ...]
    panels: tuple[Panel, ...]
    has_hr: bool = False
    """Whether the last panel is HR, which stands at the end of the first row."""
    maps: tuple[Panel, ...] = ()
    """Panels of the rows below."""


def part_of(
    name: str,
    lr: NDArray[np.uint8] | None,
    hr: NDArray[np.uint8] | None,
    outputs: Outputs,
    windows: Sequence[Box],
    metrics: Sequence[MetricInfo],
    scale: int,
    lr_title: str = "LR",
    samples: Sequence[int] | None = None,
    maps: bool = False,
) -> Part:
    """Return one image of a figure.

    Args:
        name: Name of the image.
        lr: LR (h, w, 3), or None.
        hr: HR (H, W, 3), or None.
        outputs: What to show. The best value of a metric is bold.
        windows: Windows to magnify; without any, the one where the outputs differ most or, for a single output and
            equal outputs, where they differ most from HR (or from bicubic interpolation of LR).
        metrics: The metrics of the values.
        scale: Sides and corners of the default window are multiples of it.
        lr_title: What LR is called.
        samples: Which samples to show, the first is 1; by default all. A model with one output shows it.
        maps: Add maps of the errors of the outputs against HR, and of the standard deviation of all samples of a model.

    Raises:
        ReportError: Images differ in size, a window reaches beyond them, a sample is not there, or there is nothing to
            map.
    """
    shown = _outputs_shown(name, outputs, samples)
    images = [image for image, _ in shown.values()]
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
    words, bold = _words([values for _, values in shown.values()], metrics)
    panels += map(Panel, images, zip(shown, words, strict=True), bold)
    panels += [] if hr is None else [Panel(hr, ("HR",))]
    whole = next(image for image in (hr, images[0]) if image is not None)
    return Part(
        Panel(whole, (name, " / ".join(metric.title for metric in metrics))),
        tuple(windows) or (difference_window(differing, scale),),
        tuple(panels),
        hr is not None,
        _maps(name, {model: image for model, (image, _) in shown.items()}, hr, outputs, has_lr=lr is not None)
        if maps
        else (),
    )


def _outputs_shown(
    name: str,
    outputs: Outputs,
    samples: Sequence[int] | None,
) -> dict[str, tuple[NDArray[np.uint8], list[float]]]:
    """Return the outputs to show and their values, by the name of the model and, of samples, the number."""
    counts = {model: len(images) for model, (images, _) in outputs.items()}
    if samples is not None and max(samples) > min((count for count in counts.values() if count > 1), default=1):
        saved = ", ".join(f"{model} {count}" for model, count in counts.items())
        raise ReportError(f"{name}: sample {max(samples)} is not saved; numbers of saved samples: {saved}")
    shown = {}
    for model, (images, values) in outputs.items():
        numbers = range(1, counts[model] + 1) if samples is None or counts[model] == 1 else samples
        for number in numbers:
            own = [value[number - 1] if isinstance(value, list) else mean(value) for value in values]
            shown[model if [*numbers] == [1] else f"{model} #{number}"] = images[number - 1], own
    return shown


def _maps(
    name: str,
    shown: Mapping[str, NDArray[np.uint8]],
    hr: NDArray[np.uint8] | None,
    outputs: Outputs,
    *,
    has_lr: bool,
) -> tuple[Panel, ...]:
    """Return the errors of the outputs shown, a colour scale below LR or HR, and the spreads of several samples."""
    errors = (
        []
        if hr is None
        else [Panel(_colours(error_map(image, hr), ERROR), (model, "error")) for model, image in shown.items()]
    )
    spreads = [
        Panel(_colours(deviation_map([*images]), DEVIATION), (model, f"spread (n = {len(images)})"))
        for model, (images, _) in outputs.items()
        if len(images) > 1
    ]
    if not errors and not spreads:
        raise ReportError(f"{name}: --maps shows errors from HR and the spread of samples; there is neither")
    upper = ERROR.upper if errors else DEVIATION.upper
    lines = [f"0 to {upper:g} grey levels", *([f"({DEVIATION.upper:g} for spread)"] if errors and spreads else [])]
    legend = np.full((256, 256, 3), 255, np.uint8)
    legend[208:240] = _colours(np.linspace(0, ERROR.upper, 256, dtype=np.float32)[None], ERROR)
    errors.insert(0 if has_lr else len(errors), Panel(legend, tuple(lines), is_legend=True))
    return (*errors, *spreads)


def _colours(values: Values, kind: MapKind) -> NDArray[np.uint8]:
    return np.asarray(coloured(values, kind).convert("RGB"))


def figure_bytes(parts: Sequence[Part], width: float, rows: int, dots: int, kind: str = "png") -> bytes:
    """Draw the parts of a figure below each other.

    Args:
        parts: What to draw.
        width: Width in inches.
        rows: Number of rows over which the panels of a window are spread.
        dots: Dots per inch of PNG, and least number of pixels per inch of images.
        kind: ``png``; ``pdf``, in which text is text in a TrueType font; or ``svg``, in which it is text in the fonts
            of the reader.

    Raises:
        ReportError: Panels would be too small to see.
    """
    import matplotlib as mpl

    with plot_style():
        mpl.rcParams.update({"font.family": _FONTS, "pdf.fonttype": 42, "svg.fonttype": "none", "figure.dpi": dots})
        figure = _drawn(parts, width, rows)
        buffer = BytesIO()
        metadata = {
            "png": {"Software": MARK},
            "pdf": {"Creator": MARK, "Producer": None, "CreationDate": None},
            "svg": {"Creator": MARK, "Date": None},
        }
        figure.savefig(buffer, format=kind, dpi=dots, facecolor="white", metadata=metadata[kind])
    content = buffer.getvalue()
    return _of_fixed_widths(content.decode()).encode() if kind == "svg" else content


def _of_fixed_widths(svg: str) -> str:
    """Give the texts of an SVG other fonts of their kind, and their width in ours: readers may lack it."""

    def fixed(text: re.Match[str]) -> str:
        start, size, words = text.groups()
        return (
            f'{start} textLength="{72 * _wide(unescape(words), float(size)):.2f}" '
            f'lengthAdjust="spacingAndGlyphs">{words}<'
        )

    svg = svg.replace("'DejaVu Sans'", "'Times New Roman', Times, serif")
    return re.sub(r'(<text style="[^"]*?([\d.]+)px[^>]*)>([^<]*)<', fixed, svg)


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


def _box_sums(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Sum (h, w) over every side x side square -> (h-side+1, w-side+1)."""
    table: NDArray[np.float64] = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    bands = table[side:] - table[:-side]
    return bands[:, side:] - bands[:, :-side]


def _words(outputs: Sequence[Sequence[float]], metrics: Sequence[MetricInfo]) -> tuple[list[str], list[frozenset[int]]]:
    """Return the values of each output, ``23.10 / 0.432``,
    and the places of the words that are best of several outputs.
    """
    texts = [[printed(value, metric) for value, metric in zip(values, metrics, strict=True)] for values in outputs]
    bold: list[set[int]] = [set() for _ in outputs]
    for place, metric in enumerate(metrics):
        known = [values[place] for values in outputs if not math.isnan(values[place])]
        if metric.direction and len(known) > 1:
            best = printed(metric.direction * max(metric.direction * value for value in known), metric)
            for own, text in zip(bold, texts, strict=True):
                own |= {2 * (place - len(metrics)) + 1} if text[place] == best else set()
    return [*map(" / ".join, texts)], [*map(frozenset, bold)]


@dataclass(frozen=True)
class _Grid:
    """Layout of a part, in inches: the whole image on the left, and a grid of magnified windows on the right.

    If the grid of a window had empty cells, the whole image is in its first cells instead, with the box of this window.
    """

    left: float
    """Width of the column of the whole image; 0 if it is in the grid."""
    spare: int
    """Number of cells of the whole image."""
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
    def lines(self) -> int:
        """Number of lines of text."""
        return sum(len(panel.lines) for panel in (self.part.whole, *self.part.panels))

    @property
    def column(self) -> float:
        """Width that is free for the whole image."""
        return self.left or self.spare * (self.side + _GAP) - _GAP

    def whole(self, box: Box) -> tuple[float, float]:
        """Width and height of the whole image, in the grid beside a window."""
        height, width = self.part.whole.image.shape[:2]
        free = self.windows if self.left else self.side * min(1.0, box.height / box.width)
        scale = min(self.column / width, free / height)
        return scale * width, scale * height


def _grid(part: Part, width: float, rows: int, size: float) -> _Grid:
    """Lay a part out in text of ``size`` points. Raises ReportError."""
    count, last = len(part.panels), len(part.windows) - 1
    columns = -(-count // rows)
    rows = -(-count // columns)
    spare = columns * rows - count
    panels = list(part.panels)
    if part.has_hr:
        panels.insert(columns - 1 - spare, panels.pop())
    panels += part.maps
    rows += -(-len(part.maps) // columns)
    aspect = part.whole.image.shape[1] / part.whole.image.shape[0]
    tall = rows * sum(min(1.0, box.height / box.width) for box in part.windows)
    for number in range(2, _MOST_LINES + 1):
        text = _LINE * size / 72 * number + _GAP
        texts = tuple(text if rows > 1 or box == last else 0.0 for box in range(last + 1) for _ in range(rows))
        between = sum(texts[:-1]) + _GAP * (len(texts) - 1)
        side, left = (width + _GAP) / columns - _GAP, 0.0
        if not spare:
            side = (width - aspect * between - _GAP * columns) / (aspect * tall + columns)
            least = (width - _GAP * columns) / (columns + 1)
            left = min(max(width - columns * (side + _GAP), least), _MOST_WHOLE * width)
            side = (width - left) / columns - _GAP
        if side < _SMALLEST_SIDE:
            break
        name, *titles = part.whole.lines
        grid = _Grid(left, spare, side, columns, texts, part)
        whole = (_shortened(name, size, grid.column - _MARGIN), *_broken(titles, size, grid.column - _MARGIN))
        broken = tuple(replace(panel, lines=_broken(panel.lines, size, side - _MARGIN)) for panel in panels)
        if max(len(whole), *(len(panel.lines) for panel in broken)) <= number:
            return replace(grid, part=replace(part, whole=replace(part.whole, lines=whole), panels=broken))
    raise ReportError(
        f"{number_of(count, 'panel')} do not fit into {width:g} inches; raise --rows or --width, or choose fewer "
        "--models"
    )


def _drawn(parts: Sequence[Part], width: float, rows: int) -> Figure:
    """Draw the figure, whose height follows from its width,
    in the largest text in which the fewest lines are broken.
    """
    sizes = [_SIZE - step / 4 for step in range(int(4 * (_SIZE - _SMALLEST)) + 1)]
    unbroken = sum(len(panel.lines) for part in parts for panel in (part.whole, *part.panels, *part.maps))
    drafts: list[tuple[int, float, list[_Grid]]] = []
    for size in sizes:
        grids = [_grid(part, width, rows, size) for part in parts]
        drafts.append((sum(grid.lines for grid in grids), size, grids))
        if drafts[-1][0] == unbroken:
            break
    _, size, grids = min(drafts, key=lambda draft: draft[0])
    heights = [max(grid.windows, grid.whole(grid.part.windows[0])[1]) + grid.texts[-1] for grid in grids]
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
    start = grid.left + _GAP if grid.left else 0.0
    for number, box in enumerate(part.windows):
        colour = FRAMES[number % len(FRAMES)]
        if number == 0 or not grid.left:
            wide, tall = grid.whole(box)
            axes = _show(figure, part.whole.image, ((grid.column - wide) / 2, top - tall, wide, tall))
            _write(figure, part.whole, size, (0.0, top - tall, grid.column))
        axes.add_patch(_frame((box.x, box.y), box.width, box.height, colour))
        scale = grid.side / max(box.width, box.height)
        high = grid.side * min(1.0, box.height / box.width)
        for place, panel in enumerate(part.panels, grid.spare):
            row, cell = divmod(place, grid.columns)
            text = grid.texts[number * grid.rows + row]
            x, y = start + cell * step, top - high - row * (high + text + _GAP)
            if panel.is_legend:
                _show(figure, panel.image, (x, y, grid.side, high))
            else:
                window = panel.image[box.y : box.y + box.height, box.x : box.x + box.width]
                width = box.width * scale
                shown = _show(figure, window, (x + (grid.side - width) / 2, y, width, box.height * scale))
                shown.add_patch(_frame((0, 0), box.width, box.height, colour))
            if text:
                _write(figure, panel, size, (x, y, grid.side))
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


def _write(figure: Figure, panel: Panel, size: float, below: tuple[float, float, float]) -> None:
    """Write the lines of a panel, centred, below it: its left, bottom and width in inches."""
    across, down = figure.get_size_inches()
    left, bottom, width = below
    after = sum(len(line.split(" ")) for line in panel.lines)
    for number, line in enumerate(panel.lines):
        words = line.split(" ")
        weights = ["bold" if position - after in panel.bold else "normal" for position in range(len(words))]
        after -= len(words)
        y = bottom - _GAP - (_LINE * number + _ASCENT) * size / 72
        x = left + (width - _wide(line, size)) / 2
        for weight, pieces in groupby(zip(weights, words, strict=True), key=itemgetter(0)):
            text = " ".join(word for _, word in pieces)
            wide = _wide(text, size)
            place = (x + wide / 2) / across, y / down
            figure.text(*place, text, ha="center", va="baseline", size=size, color=INK, weight=weight)
            x += wide + _wide("| |", size) - _wide("||", size)


@cache
def _wide(text: str, size: float) -> float:
    """Return the width of a text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=_FONTS, size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72
