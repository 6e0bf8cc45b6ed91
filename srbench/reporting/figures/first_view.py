"""The first view of a page: the image and the window in which the two leading models differ most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from srbench.images.box import Box
from srbench.interfaces import MetricInfo
from srbench.judging.sentences import printed
from srbench.reporting import ReportError
from srbench.reporting.figures.image_files import BENEATH, Example
from srbench.reporting.figures.page_images import HR, Column, kept_files, lr_of
from srbench.reporting.figures.strips import difference_window
from srbench.reporting.results import Runs, mean_of
from srbench.reporting.tables.summary import decisive_metrics
from srbench.reporting.tables.table import Table
from srbench.run_folder.measurements import Measurement
from srbench.run_folder.values import differences, mean


@dataclass(frozen=True)
class Opening:
    """A square window of an image."""

    image: str
    width: int
    """Size of the image, HR or an output, in pixels."""
    height: int
    window: Box

    @property
    def view(self) -> dict[str, float]:
        """The window as the page addresses it: its centre as shares of the image, and the zoom."""
        box = self.window
        x, y = (box.x + box.width / 2) / self.width, (box.y + box.height / 2) / self.height
        return {"x": x, "y": y, "zoom": min(self.width, self.height) / box.width}

    @property
    def shares(self) -> dict[str, float]:
        """The sides of the window as shares of the image, and the aspect of the image, as its style needs them."""
        box = self.window
        left, wide = box.x / self.width, box.width / self.width
        top, tall = box.y / self.height, box.height / self.height
        return {"left": left, "top": top, "wide": wide, "tall": tall, "whole": self.width / self.height}


@dataclass(frozen=True)
class Strip:
    """One image by all models, in the window where the leading models differ most."""

    opening: Opening
    whole: Path
    """HR, or the output of the leader without HR."""
    panels: tuple[tuple[Column, Path, str], ...]
    """LR, the first output of every model and HR, with the values beneath."""
    caption: str


def leaders(results: Runs, table: Table) -> tuple[list[int], dict[str, list[Measurement]]]:
    """Find the runner-up and the leader in the first metric of ``decisive_metrics``: in perception, if it is measured.

    Returns their indices in the table, and their rows by image for the images that both saved and on which they differ,
    the largest difference first. Of a single model, the worst image comes first; without any model, both are empty.
    """
    kept = [
        {row.image: row for row in rows if results.pair(row.image) and results.outputs(row)}
        for _, rows in groupby(results.measurements, key=lambda row: row.setting)
    ]
    lines: list[int] = []
    for metric in decisive_metrics(table)[:1]:
        cells = table.column(metric.name)
        models = [index for index, line in enumerate(table.lines) if not line.is_variant]
        ranked = [line for line in models if math.isfinite(cells[line].mean) and kept[line]]
        lines = sorted(ranked, key=lambda line: -metric.direction * cells[line].mean)[1::-1]
    if not lines:
        return [], {}
    rows = {
        image: [kept[line][image] for line in lines]
        for image in kept[lines[0]]
        if all(image in kept[line] for line in lines)
    }
    means = {image: [mean_of(row, metric) for row in leaders] for image, leaders in rows.items()}
    gaps = {
        image: abs(float(differences(values[0], values[1], metric)))
        if len(values) > 1
        else -metric.direction * values[0]
        for image, values in means.items()
    }
    shown = [image for image, gap in gaps.items() if math.isfinite(gap) and (gap or len(lines) == 1)]
    return lines, {image: rows[image] for image in sorted(shown, key=lambda image: -gaps[image])}


def opening_of(results: Runs, leading: Mapping[str, Sequence[Measurement]]) -> Opening | None:
    """Return the first view of a page: where the leaders differ most, or a single model from HR or, without HR,
    from bicubic interpolation of LR.

    ``leading`` are the rows by image of ``leaders``. None if no image is saved, or the leaders differ on none.
    """
    if not leading:
        return None
    image, rows = next(iter(leading.items()))
    try:
        example = Example(results, image, rows)
    except ReportError:
        return None  # sizes of the images contradict each other
    shown = [example.image(row) for row in rows]
    window = difference_window(shown if len(shown) > 1 else [*shown, example.reference()], example.scale)
    return Opening(image, example.width, example.height, window)


def strip_of_run(results: Runs, table: Table) -> Strip | None:
    """Return the strip of a run, one row per model; None where there is no first view."""
    lines, leading = leaders(results, table)
    opening = opening_of(results, leading)
    if opening is None:
        return None
    order = {setting: line for line, setting in enumerate(results.settings)}
    rows = {order[row.setting]: row for row in results.measurements if row.image == opening.image}
    competing = [line for line, each in enumerate(table.lines) if not each.is_variant]
    files = kept_files(results, opening.image, {line: rows[line] for line in competing if line in rows})
    outputs = [column for column in files if column.setting is not None and not column.sample]
    shown = [column for column in (lr_of(results), *outputs, HR) if column in files]
    panels = [
        (column, files[column], "" if column.setting is None else _values(rows[column.setting], table.columns))
        for column in shown
    ]
    leader = next(column for column in outputs if column.setting == lines[-1])
    labels = [table.lines[line].label for line in lines]
    differing = f"{' and '.join(labels)} differ" if len(labels) > 1 else f"{labels[0]} differs"
    reference = "HR" if results.has_hr else "LR upscaled by bicubic interpolation"
    caption = f"{opening.image}, where {differing} most{'' if len(labels) > 1 else f' from {reference}'}."
    return Strip(opening, files.get(HR, files[leader]), tuple(panels), caption)


def _values(row: Measurement, metrics: Sequence[MetricInfo]) -> str:
    """Return the values of a row's first output in lines: ``PSNR (RGB) 23.10`` and ``LPIPS 0.432``."""
    shown = [metric for metric in metrics if metric.name in BENEATH and metric.name in row.values]
    values = [(metric, row.values[metric.name]) for metric in shown]
    first = [(metric, value[0] if isinstance(value, list) else mean(value)) for metric, value in values]
    return "\n".join(f"{metric.title} {printed(value, metric)}" for metric, value in first)
