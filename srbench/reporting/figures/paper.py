"""The figure of a paper: images with boxes, and beside each the boxes magnified, by LR, every model and HR.

Equal runs and choices give equal bytes. Text is text in PDF, in a TrueType font.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from srbench.files.atomic import write_whole
from srbench.images.box import Box
from srbench.interfaces import MetricInfo
from srbench.judging.sentences import printed
from srbench.pages.plot_style import INK, new_figure, plot_style
from srbench.reporting import ReportError
from srbench.reporting.figures.image_files import Example
from srbench.reporting.figures.strips import difference_window
from srbench.reporting.latex import display_name
from srbench.reporting.page.opening import BENEATH, leaders, opening_of
from srbench.reporting.results import Results
from srbench.reporting.table import Line, Table, table_of_runs
from srbench.run_folder.records import Value
from srbench.run_folder.values import mean
from srbench.words import joined, number_of, unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
    from numpy.typing import NDArray

PAGE = 6.875
"""Width in inches of a page of a two-column paper (CVPR)."""
FORMATS = ("pdf", "png")
DOTS = 300
"""Dots per inch of PNG files, and least number of pixels per inch of images."""
MARK = "srbench figure"
"""Creator of the file, by which the command knows the files that it may replace."""
_FONTS = ["STIXGeneral", "DejaVu Sans"]
"""Fonts that matplotlib brings: the letters of a paper in Times, and signs that these lack."""
_SIZE, _SMALLEST = 7.5, 5.5
"""Sizes of text in points; the smaller, if names are long for their panels."""
_LINE, _GAP, _ROW = 1.25, 0.04, 0.06
"""Height of a line of text in units of its size; distances in inches between panels, and between images."""
_SMALLEST_SIDE, _MOST_WHOLE, _MOST_LINES = 0.3, 0.4, 8
"""Least side of a window in inches, largest share of the width that the whole image takes, most lines of text below it."""
_FRAMES = ("#e8000b", "#1f6fe5", "#12a150", "#f28e00")
"""Colours of the boxes of an image and of the frames of their magnifications."""


@dataclass(frozen=True)
class Crop:
    """A square window of an image, in pixels of HR."""

    x: int
    y: int
    side: int
    image: str | None = None
    """Name of the image; None: of all images of the figure."""

    def __str__(self) -> str:
        """``X,Y,S``, as on the command line."""
        return f"{self.x},{self.y},{self.side}"


@dataclass(frozen=True, eq=False)
class Panel:
    """An image by a model, of the size of HR, and the lines below it."""

    image: NDArray[np.uint8]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """An image of the figure: the whole, and the panels of which each crop is magnified."""

    whole: Panel
    crops: tuple[Crop, ...]
    panels: tuple[Panel, ...]


def parts_of_run(
    results: Results,
    images: Sequence[str] = (),
    models: Sequence[str] = (),
    crops: Sequence[Crop] = (),
    metrics: Sequence[str] | None = None,
) -> list[Part]:
    """Read the parts of a figure from the saved images of a run.

    Args:
        results: The run, or several runs of one table.
        images: Names of images; by default the image on which the leading models differ most.
        models: Models in their order: labels, or labels with a temperature such as ``srflow-t0.8``; by default those of
            the table. The first sample of a model that samples is shown, with its own values.
        crops: Windows to magnify; by default, on each image the window in which the models shown differ most.
        metrics: Metrics of images whose values stand below the outputs; by default PSNR and LPIPS, if measured.

    Raises:
        ReportError: An image, model or metric is unknown, is not saved, or a window reaches beyond an image.
    """
    table = table_of_runs(results)
    lines = _lines(table, models)
    shown = _metrics(results, metrics)
    names = images or _default_image(results, table)
    for name in [*names, *(crop.image for crop in crops if crop.image is not None)]:
        if name not in results.images:
            raise ReportError(unknown("image", name, results.images))
    return [_part(results, name, lines, crops, shown) for name in names]


def write_figure(parts: Sequence[Part], file: Path, width: float = PAGE, rows: int = 1) -> None:
    """Draw the parts of a figure below each other, and write it as PDF or PNG.

    Args:
        parts: What to draw.
        file: File, ending in .pdf or .png; a figure of this command is replaced.
        width: Width in inches.
        rows: Number of rows over which the panels of a crop are spread.

    Raises:
        ReportError: The file has another ending, or exists and is no figure of this command; or panels would be too
            small to see.
    """
    kind = file.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise ReportError(f"{file}: a figure is a .pdf or .png file")
    if file.exists() and MARK.encode() not in file.read_bytes():
        raise ReportError(f"{file} exists, and is no figure of srbench; choose another --out")
    with plot_style():
        import matplotlib as mpl

        mpl.rcParams.update({"font.family": _FONTS, "pdf.fonttype": 42})
        figure = _drawn(parts, width, rows)
        buffer = BytesIO()
        metadata = {"Creator": MARK, "Producer": None, "CreationDate": None} if kind == "pdf" else {"Software": MARK}
        figure.savefig(buffer, format=kind, dpi=DOTS, facecolor="white", metadata=metadata)
    write_whole(file, buffer.getvalue())


def _lines(table: Table, models: Sequence[str]) -> list[Line]:
    """Return the rows of the table that some names stand for. Raises ReportError."""
    if not models:
        return [line for line in table.lines if not line.is_variant]
    lines: dict[str, Line] = {}
    for name in models:
        named = [line for line in table.lines if name in (line.setting.folder, line.setting.model)]
        if not named:
            raise ReportError(unknown("model", name, [line.setting.folder for line in table.lines]))
        lines |= {line.setting.folder: line for line in named}
    return [*lines.values()]


def _metrics(results: Results, names: Sequence[str] | None) -> list[MetricInfo]:
    """Return metrics of images by name. Raises ReportError."""
    measured = {metric.name: metric for metric in results.metrics if metric.is_of_images}
    if names is None:
        return [measured[name] for name in BENEATH if name in measured]
    for name in names:
        if name not in measured:
            raise ReportError(unknown("metric of images", name, measured))
    return [measured[name] for name in names]


def _default_image(results: Results, table: Table) -> list[str]:
    opening = opening_of(results, leaders(results, table)[1])
    saved = [row.image for row in results.measurements if results.outputs(row) and results.pair(row.image)]
    if opening is None and not saved:
        raise ReportError("no image of the run is saved, so there is nothing to show; run it again with another --out")
    return [saved[0] if opening is None else opening.image]


def _part(
    results: Results, name: str, lines: Sequence[Line], crops: Sequence[Crop], metrics: Sequence[MetricInfo]
) -> Part:
    """Read one image by all models. Raises ReportError."""
    by_setting = {row.setting: row for row in results.measurements if row.image == name and results.outputs(row)}
    absent = [line.label for line in lines if line.setting not in by_setting]
    if absent or results.pair(name) is None:
        what = joined(absent) if absent else "its LR and HR"
        raise ReportError(f"{name}: not saved, or changed since: {what}; choose other --images or --models")
    rows = [by_setting[line.setting] for line in lines]
    example = Example(results, name, rows)
    outputs = {
        display_name(line): (example.image(row), [row.values.get(metric.name) for metric in metrics])
        for line, row in zip(lines, rows, strict=True)
    }
    return part_of(name, example.lr, example.hr, outputs, crops, metrics, example.scale, example.lr_title)


def part_of(
    name: str,
    lr: NDArray[np.uint8] | None,
    hr: NDArray[np.uint8] | None,
    outputs: Mapping[str, tuple[NDArray[np.uint8], Sequence[Value | None]]],
    crops: Sequence[Crop],
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
        crops: Windows of this image and of all images; without any, the window where the outputs differ most.
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
    enlarged = None
    if lr is not None:
        enlarged = np.asarray(Image.fromarray(lr).resize((width, height), Image.Resampling.NEAREST))
    references = [image for image in (hr, enlarged) if image is not None]
    differing = images if len(images) > 1 else [*images, *references[:1]]
    chosen = tuple(crop for crop in crops if crop.image in (None, name)) or (
        _crop(difference_window(differing, scale)),
    )
    for crop in chosen:
        if crop.x + crop.side > width or crop.y + crop.side > height:
            raise ReportError(f"{name} has {width} x {height} pixels; the window {crop} reaches beyond")
    panels = [] if enlarged is None else [Panel(enlarged, (lr_title,))]
    panels += [Panel(image, (model, _words(values, metrics))) for model, (image, values) in outputs.items()]
    panels += [] if hr is None else [Panel(hr, ("HR",))]
    whole = [*references, images[0]][0]
    return Part(Panel(whole, (name, " / ".join(metric.title for metric in metrics))), chosen, tuple(panels))


def _crop(box: Box) -> Crop:
    return Crop(box.x, box.y, box.width)


def _words(values: Sequence[Value | None], metrics: Sequence[MetricInfo]) -> str:
    """Return the values of a first output: ``23.10 / 0.432``."""
    first = [value[0] if isinstance(value, list) else mean(value) for value in values]
    return " / ".join(printed(value, metric) for value, metric in zip(first, metrics, strict=True))


@dataclass(frozen=True)
class _Grid:
    """Layout of a part, in inches: the whole image on the left, and a grid of magnified windows on the right."""

    whole: float
    """Width of the whole image."""
    side: float
    """Side of a window."""
    columns: int
    texts: tuple[float, ...]
    """Height of the text below each row of windows; 0 where the names stand below a later row."""
    part: Part
    """The part, with lines broken where they are longer than a window."""

    @property
    def height(self) -> float:
        """Height with all text."""
        image, text = self.part.whole.image, self.texts[-1]
        windows = len(self.texts) * (self.side + _GAP) - _GAP + sum(self.texts)
        return max(windows, float(image.shape[0] / image.shape[1]) * self.whole + text)


def _grid(part: Part, width: float, rows: int, size: float) -> _Grid:
    """Lay a part out in text of ``size`` points. Raises ReportError."""
    columns = -(-len(part.panels) // rows)
    height, across = part.whole.image.shape[:2]
    aspect, last = float(across / height), len(part.crops) - 1
    for number in range(2, _MOST_LINES + 1):
        text = _LINE * size / 72 * number + _GAP
        texts = tuple(text if rows > 1 or crop == last else 0.0 for crop in range(last + 1) for _ in range(rows))
        between = sum(texts[:-1]) + _GAP * (len(texts) - 1)
        side = (width - aspect * between - _GAP * columns) / (aspect * len(texts) + columns)
        whole = aspect * (len(texts) * side + between)
        if whole > _MOST_WHOLE * width:
            whole = _MOST_WHOLE * width
            side = (width - whole) / columns - _GAP
        if side < _SMALLEST_SIDE:
            break
        broken = [replace(panel, lines=_broken(panel.lines, size, side)) for panel in part.panels]
        left = replace(part.whole, lines=_broken(part.whole.lines, size, whole))
        if max(len(panel.lines) for panel in (left, *broken)) <= number:
            return _Grid(whole, side, columns, texts, replace(part, whole=left, panels=tuple(broken)))
    raise ReportError(
        f"{number_of(len(part.panels), 'panel')} do not fit into {width:g} inches; raise --rows or --width, or choose "
        "fewer --models"
    )


def _drawn(parts: Sequence[Part], width: float, rows: int) -> Figure:
    """Draw the figure, whose height follows from its width, in the largest text in which no line is broken."""
    sizes = [_SIZE - step / 4 for step in range(int(4 * (_SIZE - _SMALLEST)) + 1)]
    laid_out = ([_grid(part, width, rows, size) for part in parts] for size in sizes)
    size, grids = next(
        (
            (size, grids)
            for size, grids in zip(sizes, laid_out, strict=True)
            if all(_is_unbroken(grid, part) for grid, part in zip(grids, parts, strict=True))
        ),
        (_SMALLEST, [_grid(part, width, rows, _SMALLEST) for part in parts]),
    )
    height = sum(grid.height for grid in grids) + _ROW * (len(parts) - 1)
    figure = new_figure(width, height)
    top = height
    for grid in grids:
        _draw(figure, grid, size, top)
        top -= grid.height + _ROW
    return figure


def _is_unbroken(grid: _Grid, part: Part) -> bool:
    return all(new.lines == old.lines for new, old in zip(grid.part.panels, part.panels, strict=True))


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
    part, whole = grid.part, grid.whole
    height, across = part.whole.image.shape[:2]
    tall = height / across * whole
    axes = _show(figure, part.whole.image, (0.0, top - tall, whole, tall))
    _write(figure, part.whole.lines, size, (0.0, top - tall, whole))
    rows = len(grid.texts) // len(part.crops)
    y = top
    for line, text in enumerate(grid.texts):
        crop, colour = part.crops[line // rows], _FRAMES[line // rows % len(_FRAMES)]
        if line % rows == 0:
            axes.add_patch(_frame((crop.x, crop.y), crop.side, crop.side, colour))
        first = line % rows * grid.columns
        for column, panel in enumerate(part.panels[first : first + grid.columns]):
            x = whole + _GAP + column * (grid.side + _GAP)
            window = panel.image[crop.y : crop.y + crop.side, crop.x : crop.x + crop.side]
            shown = _show(figure, window, (x, y - grid.side, grid.side, grid.side))
            shown.add_patch(_frame((0, 0), crop.side, crop.side, colour))
            if text:
                _write(figure, panel.lines, size, (x, y - grid.side, grid.side))
        y -= grid.side + text + _GAP


def _show(figure: Figure, image: NDArray[np.uint8], place: tuple[float, float, float, float]) -> Axes:
    """Show an image in a rectangle: left, bottom, width and height in inches. Axes are in pixels of the image.

    A small image is repeated pixel by pixel, because PDF viewers blur what they magnify; a large one is downscaled.
    """
    across, down = figure.get_size_inches()
    left, bottom, width, height = place
    axes = figure.add_axes((left / across, bottom / down, width / across, height / down))
    axes.set_axis_off()
    high, wide = image.shape[:2]
    factor = -(-int(width * DOTS) // wide)
    if factor > 1:
        pixels = image.repeat(factor, 0).repeat(factor, 1)
    else:
        size = max(round(width * DOTS), 1), max(round(height * DOTS), 1)
        pixels = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    axes.imshow(pixels, interpolation="none", extent=(0, wide, high, 0), aspect="auto")
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


def _wide(text: str, size: float) -> float:
    """Return the width of a text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=_FONTS, size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72
