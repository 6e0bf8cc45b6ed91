"""One image of a run, opened: LR, HR and the outputs of models, and strips that show them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from srbench.benchmark.error_maps import Pixels
from srbench.interfaces import MetricFacts
from srbench.reporting import ReportError
from srbench.reporting.measurements import Measurements
from srbench.reporting.scores import printed
from srbench.reporting.strips import Panel, difference_window, strip_png
from srbench.run_folder.results import Row

STRIP_SAMPLES = 2
"""Largest number of samples of a model in a strip."""
SHOWN_TEMPERATURE = 0.8
"""Temperature reported in SRFlow's paper; of several, the nearest to it is shown."""


class Example:
    """LR, HR and kept outputs of one image. An output is opened when it is first needed.

    Raises FileNotFoundError if the pair is not kept, ReportError if the sizes of its images do not fit together.
    """

    def __init__(self, measurements: Measurements, name: str, rows: Sequence[Row]) -> None:
        pair = measurements.pair(name)
        if pair is None:
            raise FileNotFoundError(name)
        self.lr, self.hr = map(_open, pair)
        self.scale = measurements.protocol.scale
        self.rows = [row for row in rows if measurements.outputs(row)]
        self._files = {row.setting: measurements.outputs(row) for row in self.rows}
        self._opened: dict[Path, Pixels] = {}
        height, width = self.hr.shape[:2]
        sizes = {_size(files[0]) for files in self._files.values()} | {(width, height)}
        if len(sizes) > 1 or self.hr.shape[:2] != tuple(self.scale * side for side in self.lr.shape[:2]):
            raise ReportError(f"{name}: the sizes of LR, HR and outputs do not fit together; run again, another --out")

    def image(self, row: Row, sample: int = 0) -> Pixels:
        """Output of a row, or one of its kept samples."""
        path = self._files[row.setting][sample]
        if path not in self._opened:
            self._opened[path] = _open(path)
        return self._opened[path]

    def images(self, row: Row) -> list[Pixels]:
        """Output of a row, or all its kept samples."""
        return [self.image(row, sample) for sample in range(len(self._files[row.setting]))]

    def strip_png(self, rows: Sequence[Row], metric: MetricFacts) -> bytes:
        """LR, up to two samples of each row with their values of a metric, and HR.

        The strip is zoomed where the outputs differ most; a single output, where it differs most from HR.
        """
        first = [self.image(row) for row in rows]
        return self._png(rows, metric, first if len(first) > 1 else [*first, self.hr], STRIP_SAMPLES)

    def grid_png(self, row: Row, metric: MetricFacts) -> bytes:
        """LR, all kept samples of a row, and HR."""
        return self._png([row], metric, self.images(row), None)

    def _png(self, rows: Sequence[Row], metric: MetricFacts, differing: list[Pixels], most: int | None) -> bytes:
        (height, width), (lr_height, lr_width) = self.hr.shape[:2], self.lr.shape[:2]
        lr = Image.fromarray(self.lr).resize((width, height), Image.Resampling.NEAREST)
        panels = [
            Panel("LR", f"{lr_width} x {lr_height}, upscaled {self.scale} times", lr),
            *(panel for row in rows for panel in self._panels(row, metric, most)),
            Panel("HR", f"{width} x {height}", Image.fromarray(self.hr)),
        ]
        return strip_png(panels, difference_window(differing, self.scale))

    def _panels(self, row: Row, metric: MetricFacts, most: int | None) -> list[Panel]:
        values, panels = row.values.get(metric.name), []
        for sample in range(len(self._files[row.setting]))[:most]:
            notes = [temperature_note(row)] if temperature_note(row) else []
            notes += [f"sample {sample + 1}"] if row.sample.drawn else []
            notes += [f"{metric.title} {printed(values[sample], metric)}"] if isinstance(values, list) else []
            panels.append(Panel(row.setting.model, ", ".join(notes), Image.fromarray(self.image(row, sample))))
        return panels


def nearest(rows: Sequence[Row]) -> list[Row]:
    """One row per model, from rows of one image: the one whose temperature is nearest to the shown one."""
    found: dict[str, Row] = {}
    for row in rows:
        if _distance(row) < _distance(found.setdefault(row.setting.model, row)):
            found[row.setting.model] = row
    return list(found.values())


def temperature_note(row: Row) -> str:
    """``temperature 0.8``; empty for a model with one output."""
    temperature = row.setting.temperature
    return "" if temperature is None else f"temperature {temperature:g}"


def _distance(row: Row) -> float:
    temperature = row.setting.temperature
    return 0 if temperature is None else abs(temperature - SHOWN_TEMPERATURE)


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as file:
        return file.size


def _open(path: Path) -> Pixels:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB"))
