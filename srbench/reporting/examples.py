"""One image of a run, opened: LR, HR and what every model made of it; and the strip that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from srbench.benchmark.error_maps import Pixels
from srbench.interfaces import MetricFacts
from srbench.reporting import ReportError
from srbench.reporting.merge import Measurements
from srbench.reporting.scores import printed
from srbench.reporting.strips import Panel, difference_window, strip_png
from srbench.run_folder.results import Row

STRIP_SAMPLES = 2
"""How many samples of a model a strip shows."""
SHOWN_TEMPERATURE = 0.8
"""Of several temperatures the nearest to this one is shown, which SRFlow's paper reports."""


@dataclass(frozen=True)
class ModelOutput:
    """What a model made of one image at one temperature."""

    row: Row
    files: list[Path]
    """Of its output, or of its saved samples."""
    _opened: dict[int, Pixels] = field(default_factory=dict)

    @property
    def setting(self) -> str:
        """Model and temperature, fit for a file name."""
        return self.row.setting.folder

    def image(self, sample: int) -> Pixels:
        """The output, or a saved sample; opened when it is asked for."""
        if sample not in self._opened:
            self._opened[sample] = _open(self.files[sample])
        return self._opened[sample]

    @property
    def images(self) -> list[Pixels]:
        """All."""
        return [self.image(sample) for sample in range(len(self.files))]

    def panels(self, metric: MetricFacts, most: int | None = None) -> list[Panel]:
        """One an image, with its value of a metric; of the first ``most``."""
        values, temperature = self.row.values.get(metric.name), self.row.setting.temperature
        panels = []
        for sample in range(len(self.files))[:most]:
            notes = [] if temperature is None else [f"temperature {temperature:g}"]
            notes += [f"sample {sample + 1}"] if self.row.sample.drawn else []
            notes += [f"{metric.title} {printed(values[sample], metric)}"] if isinstance(values, list) else []
            panels.append(Panel(self.row.setting.model, ", ".join(notes), Image.fromarray(self.image(sample))))
        return panels


@dataclass(frozen=True)
class Example:
    """The pair and the outputs."""

    name: str
    lr: Pixels
    hr: Pixels
    outputs: list[ModelOutput]

    @property
    def scale(self) -> int:
        """HR pixels per LR pixel."""
        return len(self.hr) // len(self.lr)

    @property
    def shown(self) -> list[ModelOutput]:
        """One output per model: at the temperature nearest to the one shown."""
        rows = nearest([output.row for output in self.outputs])
        return [output for row in rows for output in self.outputs if output.row is row]


def nearest(rows: Sequence[Row]) -> list[Row]:
    """Of rows of one image one a model: the one whose temperature is nearest to the shown one."""
    found: dict[str, Row] = {}
    for row in rows:
        if _distance(row) < _distance(found.setdefault(row.setting.model, row)):
            found[row.setting.model] = row
    return list(found.values())


def open_example(measurements: Measurements, name: str, rows: Sequence[Row]) -> Example:
    """Open the saved pair of an image, with the outputs behind rows of it; outputs that are not saved are left out.

    Raises FileNotFoundError where the pair is not saved.
    """
    pair = measurements.pair(name)
    if pair is None:
        raise FileNotFoundError(name)
    outputs = [ModelOutput(row, list(measurements.outputs(row))) for row in rows]
    example = Example(name, _open(pair[0]), _open(pair[1]), [output for output in outputs if output.files])
    height, width = example.hr.shape[:2]
    sizes = {_size(output.files[0]) for output in example.outputs} | {(width, height)}
    scale = measurements.protocol.scale
    if len(sizes) > 1 or example.hr.shape[:2] != tuple(scale * side for side in example.lr.shape[:2]):
        raise ReportError(f"{name}: the sizes of its LR, HR and outputs do not fit together; run again, another --out")
    return example


def example_png(example: Example, outputs: Sequence[ModelOutput], metric: MetricFacts) -> bytes:
    """A strip of LR, two samples of each output with their values of a metric, and HR.

    It is zoomed where the outputs differ most; a single output, where it differs most from HR.
    """
    first = [output.image(0) for output in outputs]
    window = difference_window(first if len(first) > 1 else [*first, example.hr], example.scale)
    panels = [panel for output in outputs for panel in output.panels(metric, STRIP_SAMPLES)]
    return strip_png(framed(example, panels), window)


def framed(example: Example, panels: Sequence[Panel]) -> list[Panel]:
    """The panels between LR and HR."""
    (height, width), (lr_height, lr_width) = example.hr.shape[:2], example.lr.shape[:2]
    lr = Image.fromarray(example.lr).resize((width, height), Image.Resampling.NEAREST)
    note = f"{lr_width} x {lr_height}, upscaled {example.scale} times"
    return [Panel("LR", note, lr), *panels, Panel("HR", f"{width} x {height}", Image.fromarray(example.hr))]


def _distance(row: Row) -> float:
    temperature = row.setting.temperature
    return 0 if temperature is None else abs(temperature - SHOWN_TEMPERATURE)


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as file:
        return file.size


def _open(path: Path) -> Pixels:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB"))
