"""The figure of a paper: images of a run, with chosen windows, models and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from srbench.files.atomic import write_whole
from srbench.images.box import Box
from srbench.interfaces import MetricInfo
from srbench.reporting import ReportError
from srbench.reporting.figures.image_files import BENEATH, Example
from srbench.reporting.figures.strips import MARK, Part, figure_bytes
from srbench.reporting.latex import display_name
from srbench.reporting.page.opening import leaders, opening_of
from srbench.reporting.results import Results
from srbench.reporting.table import Line, Table, table_of_runs
from srbench.words import joined, unknown

PAGE = 6.875
"""Width in inches of a page of a two-column paper (CVPR)."""
FORMATS = ("pdf", "png")
DOTS = 300
"""Dots per inch of PNG files, and of images in PDF files."""


@dataclass(frozen=True)
class Crop:
    """A square window of an image, in pixels of HR."""

    x: int
    y: int
    side: int
    image: str | None = None
    """Name of the image; None: of all images of the figure."""


def windows_of(crops: Sequence[Crop], image: str) -> list[Box]:
    """Return the windows of an image among those chosen."""
    return [Box(crop.x, crop.y, crop.side, crop.side) for crop in crops if crop.image in (None, image)]


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
    write_whole(file, figure_bytes(parts, width, rows, DOTS, kind))


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
    names = {line.setting: display_name(line) for line in lines}
    return Example(results, name, rows).part(rows, metrics, names, windows_of(crops, name), samples=1)
