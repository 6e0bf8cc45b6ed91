"""The figure of a paper: images of a run, with chosen windows, models and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from srbench.files.atomic import write_whole
from srbench.images.box import Box
from srbench.interfaces import MetricInfo
from srbench.reporting import ReportError
from srbench.reporting.figures.first_view import leaders, opening_of
from srbench.reporting.figures.image_files import BENEATH, Example
from srbench.reporting.figures.strips import MARK, Part, figure_bytes
from srbench.reporting.results import Runs
from srbench.reporting.tables.latex import display_name
from srbench.reporting.tables.table import Line, Table, table_of_runs
from srbench.words import joined, unknown

PAGE = 6.875
"""Width in inches of a page of a two-column paper (CVPR)."""
FORMATS = ("pdf", "png", "svg")
DOTS = 300
"""Dots per inch of PNG files, and of images in PDF and SVG files."""


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
    results: Runs,
    images: Sequence[str] = (),
    models: Sequence[str] = (),
    crops: Sequence[Crop] = (),
    metrics: Sequence[str] | None = None,
    samples: Sequence[int] | None = (1,),
    labels: Mapping[str, str] = MappingProxyType({}),
    *,
    maps: bool = False,
) -> list[Part]:
    """Read the parts of a figure from the saved images of a run.

    Args:
        results: The run, or several runs of one table.
        images: Names of images; by default the image on which the leading models differ most.
        models: Models in their order: labels, or labels with a temperature such as ``srflow-t0.8``; by default those of
            the table.
        crops: Windows to magnify; by default, on each image the window in which the models shown differ most.
        metrics: Metrics of images whose values stand below the outputs; by default PSNR and LPIPS, if measured.
        samples: Which samples of a model that samples are shown, each with its own values; the first is 1. None: all.
        labels: Names to print, by model as in ``models``.
        maps: Add maps of the errors against HR, and of the deviation of samples.

    Raises:
        ReportError: An image, model, sample or metric is unknown, is not saved, or a window reaches beyond an image;
            two rows have the same name.
    """
    table = table_of_runs(results)
    lines = _named(table.lines, models) if models else [line for line in table.lines if not line.is_variant]
    names = {line.setting: display_name(line) for line in lines}
    for model, label in labels.items():
        names |= dict.fromkeys((line.setting for line in _named(lines, [model])), label)
    if again := next((name for name, count in Counter(names.values()).items() if count > 1), None):
        raise ReportError(f"several models are called {again!r}; give each its own name with --labels")
    shown = _metrics(results, metrics)
    chosen = images or _default_image(results, table)
    for name in [*chosen, *(crop.image for crop in crops if crop.image is not None)]:
        if name not in results.images:
            raise ReportError(unknown("image", name, results.images))
    parts = []
    for name in chosen:
        by_setting = {row.setting: row for row in results.measurements if row.image == name and results.outputs(row)}
        absent = [line.label for line in lines if line.setting not in by_setting]
        if absent or results.pair(name) is None:
            what = joined(absent) if absent else "its LR and HR"
            raise ReportError(f"{name}: not saved, or changed since: {what}; choose other --images or --models")
        rows = [by_setting[setting] for setting in names]
        most = 1 if samples == (1,) and not maps else None
        example = Example(results, name, rows)
        parts.append(example.part(rows, shown, names, windows_of(crops, name), most, samples, maps=maps))
    return parts


def write_figure(parts: Sequence[Part], file: Path, width: float = PAGE, rows: int = 1) -> None:
    """Draw the parts of a figure below each other, and write it as PDF, PNG or SVG.

    Args:
        parts: What to draw.
        file: File, ending in .pdf, .png or .svg; a figure of this command is replaced.
        width: Width in inches.
        rows: Number of rows over which the panels of a crop are spread.

    Raises:
        ReportError: The file has another ending, or exists and is no figure of this command; or panels would be too
            small to see.
    """
    kind = file.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise ReportError(f"{file}: a figure is a .pdf, .png or .svg file")
    if file.exists() and MARK.encode() not in file.read_bytes():
        raise ReportError(f"{file} exists, and is no figure of srbench; choose another --out")
    write_whole(file, figure_bytes(parts, width, rows, DOTS, kind))


def _named(lines: Sequence[Line], names: Sequence[str]) -> list[Line]:
    """Return the rows that some names stand for. Raises ReportError."""
    found: dict[str, Line] = {}
    for name in names:
        named = [line for line in lines if name in (line.setting.folder, line.setting.model)]
        if not named:
            raise ReportError(unknown("model", name, [line.setting.folder for line in lines]))
        found |= {line.setting.folder: line for line in named}
    return [*found.values()]


def _metrics(results: Runs, names: Sequence[str] | None) -> list[MetricInfo]:
    """Return metrics of images by name. Raises ReportError."""
    measured = {metric.name: metric for metric in results.metrics if metric.is_of_images}
    if names is None:
        return [measured[name] for name in BENEATH if name in measured]
    for name in names:
        if name not in measured:
            raise ReportError(unknown("metric of images", name, measured))
    return [measured[name] for name in names]


def _default_image(results: Runs, table: Table) -> list[str]:
    opening = opening_of(results, leaders(results, table)[1])
    saved = [row.image for row in results.measurements if results.outputs(row) and results.pair(row.image)]
    if opening is None and not saved:
        raise ReportError("no image of the run is saved, so there is nothing to show; run it again with another --out")
    return [saved[0] if opening is None else opening.image]
