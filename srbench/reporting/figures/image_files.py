"""Images of a report: a strip, sample grids and maps for every image of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from functools import cache, partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from srbench.files.hashes import sha256_file
from srbench.images.decoding import FORMATS
from srbench.interfaces import MetricInfo
from srbench.models import ModelInfo
from srbench.reporting import ReportError
from srbench.reporting.families import one_each
from srbench.reporting.figures.error_maps import (
    DEVIATION,
    MapKind,
    Pixels,
    Values,
    colour_scale,
    map_file,
    map_png,
    maps_of,
)
from srbench.reporting.figures.strips import PANEL, Panel, difference_window, sheet_png, strip_png
from srbench.reporting.files import Draft
from srbench.reporting.results import Results
from srbench.reporting.table import printed
from srbench.run_folder.measurements import Measurement
from srbench.run_folder.records import digest
from srbench.terminal.progress import Progress, Step, silent

ILLUSTRATED = 30
"""Largest number of images with strips, grids and maps in a report, spread evenly over the list."""
EMBEDDED = 3
"""Largest number of images that report.md shows, spread evenly over the list. Only these have maps of metrics, which take
long to compute."""
STRIP_SAMPLES = 2
"""Largest number of samples per model in a strip."""
_Place = tuple[MapKind, str]
"""Kind of a map, and the folder name of a setting."""


class Example:
    """LR, HR if there is one, and saved outputs of an image. Outputs are opened on first use.

    Raises FileNotFoundError if the pair is not saved, ReportError if the sizes of images contradict each other.
    """

    def __init__(self, results: Results, name: str, rows: Sequence[Measurement]) -> None:
        pair = results.pair(name)
        if pair is None:
            raise FileNotFoundError(name)
        self.lr, *hr = map(_open, pair)
        self.hr = hr[0] if hr else None
        self.scale = results.protocol.scale
        self.height, self.width = (self.scale * side for side in self.lr.shape[:2])
        """Size of HR and of every output."""
        self.rows = rows
        self._files = {row.setting: results.outputs(row) for row in rows}
        self._opened: dict[Path, Pixels] = {}
        sizes = {_size(path) for path in (*pair[1:], *(files[0] for files in self._files.values()))}
        if sizes - {(self.width, self.height)}:
            raise ReportError(f"{name}: the sizes of LR, HR and outputs contradict each other; use a new --out")

    def image(self, row: Measurement, sample: int = 0) -> Pixels:
        """Return the output of a row, or one of its saved samples."""
        path = self._files[row.setting][sample]
        if path not in self._opened:
            self._opened[path] = _open(path)
        return self._opened[path]

    def images(self, row: Measurement) -> list[Pixels]:
        """Return the output of a row, or all its saved samples."""
        return [self.image(row, sample) for sample in range(len(self._files[row.setting]))]

    def strip_png(self, rows: Sequence[Measurement], metric: MetricInfo) -> bytes:
        """Draw a strip: LR, up to two samples of each row with their values of a metric, and HR if there is one.

        The zoomed window is where the outputs differ most or, for a single output and equal outputs, where they differ
        most from HR (or from bicubic interpolation of LR).
        """
        first = [self.image(row) for row in rows]
        differ = any(not np.array_equal(first[0], other) for other in first[1:])
        return self._png(rows, metric, first if differ else [first[0], self.reference()], STRIP_SAMPLES)

    def grid_png(self, row: Measurement, metric: MetricInfo) -> bytes:
        """Draw a grid: LR, all saved samples of a row, and HR if there is one."""
        return self._png([row], metric, self.images(row), None)

    def reference(self) -> Pixels:
        """Return HR, or else LR upscaled by bicubic interpolation."""
        if self.hr is not None:
            return self.hr
        return np.asarray(Image.fromarray(self.lr).resize((self.width, self.height), Image.Resampling.BICUBIC))

    def _png(self, rows: Sequence[Measurement], metric: MetricInfo, differing: list[Pixels], most: int | None) -> bytes:
        lr_height, lr_width = self.lr.shape[:2]
        lr = Image.fromarray(self.lr).resize((self.width, self.height), Image.Resampling.NEAREST)
        panels = [
            Panel("LR", f"{lr_width} x {lr_height}, upscaled {self.scale} times", lr),
            *(panel for row in rows for panel in self._panels(row, metric, most)),
        ]
        if self.hr is not None:
            panels.append(Panel("HR", f"{self.width} x {self.height}", Image.fromarray(self.hr)))
        return strip_png(panels, difference_window(differing, self.scale))

    def _panels(self, row: Measurement, metric: MetricInfo, most: int | None) -> list[Panel]:
        values, panels = row.values.get(metric.name), []
        for sample in range(len(self._files[row.setting]))[:most]:
            title = f"{row.setting.model} #{sample + 1}" if row.sample.drawn else row.setting.model
            value = f"{metric.title} {printed(values[sample], metric)}" if isinstance(values, list) else ""
            note = ", ".join(filter(None, (_temperature_note(row), value)))
            panels.append(Panel(title, note, Image.fromarray(self.image(row, sample))))
        return panels


def strip_of(results: Results, name: str) -> bytes:
    """Draw the strip of one image as PNG, as in strips/. Raises as ``Example`` does."""
    rows = [row for row in results.measurements if row.image == name and results.outputs(row)]
    shown = _one_per_model(rows, results.models)
    return Example(results, name, rows).strip_png(shown, results.metrics[0])


def _one_per_model(rows: Sequence[Measurement], models: Sequence[ModelInfo]) -> list[Measurement]:
    """Choose one row per label from the rows of an image."""
    return [rows[place] for place in one_each([row.setting for row in rows], models)]


def _temperature_note(row: Measurement) -> str:
    """Return ``temperature 0.8``; empty for a model with a single output."""
    temperature = row.setting.temperature
    return "" if temperature is None else f"temperature {temperature:g}"


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path, formats=FORMATS) as file:
        return file.size


def _open(path: Path) -> Pixels:
    with Image.open(path, formats=FORMATS) as file:
        return np.asarray(file.convert("RGB"))


def evenly(names: Sequence[str], count: int = ILLUSTRATED) -> list[str]:
    """Return at most ``count`` of the names, spread evenly over the list."""
    count = min(count, len(names))
    return [names[(2 * place + 1) * len(names) // (2 * count)] for place in range(count)]


def write_images(
    results: Results, out: Draft, progress: Progress = silent, *, runs_code: bool = False
) -> tuple[list[str], list[str]]:
    """Write strips/, grids/, maps/ and sheets/ of a report, reusing images of the last report whose keys are unchanged.

    New maps of metrics named ``file.py:Name`` or ``package.module:Name`` are drawn only if ``runs_code``.

    Returns the names of the images shown, at most ILLUSTRATED of those whose pair and outputs are saved, and the titles of
    such metrics that lack a map.
    """
    with_outputs = {row.image for row in results.measurements if results.outputs(row)}
    names = evenly([name for name in results.images if name in with_outputs and results.pair(name)])
    mapped = evenly(names, EMBEDDED)
    of_code = [kind for kind in results.map_kinds if kind.metric is not None and ":" in kind.metric.spec]
    drawn = [kind for kind in results.map_kinds if runs_code or kind not in of_code]
    without_maps: dict[str, None] = {}
    write = partial(_write, results, out, mapped, drawn, _code())
    progress(Step(0, len(names), "report"))
    # In a pool, an import may meet another half done: of OpenCV, or of the formats.
    import cv2  # noqa: F401

    Image.init()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        written = {name: pool.submit(write, name) for name in names if name not in mapped}
        for name in mapped:
            missing = _write_metric_maps(results, out, drawn, _code(), name)  # not in the pool: metrics import torch
            without_maps |= {kind.title: None for kind in missing if kind in of_code}
            written[name] = pool.submit(write, name)
        for done, (name, future) in enumerate(written.items(), 1):
            future.result()
            progress(Step(done, len(names), f"report: {name}"))
    return names, [*without_maps]


@cache
def _code() -> str:
    """Return a digest of the code that draws images, which is part of their keys."""
    return digest([sha256_file(path) for path in sorted(Path(__file__).parent.glob("*.py"))])


def _write(results: Results, out: Draft, mapped: Sequence[str], drawn: Sequence[MapKind], code: str, name: str) -> None:
    """Write strip, grids, maps and sheet of one image, which is opened only if something has to be drawn.

    ``mapped`` are the images with maps of metrics, which are there already. Maps of kinds that are not in ``drawn`` are
    only reused from the last report.
    """
    kinds = [kind for kind in results.map_kinds if kind.metric is None or name in mapped]
    metric = results.metrics[0]
    rows = [row for row in results.measurements if row.image == name and results.outputs(row)]
    opened = cache(partial(Example, results, name, rows))
    lr, hr = results.pair_pixels(name)

    def write(file: str, facts: Sequence[object], draw: Callable[[], bytes]) -> None:
        key = digest(code, lr, hr, *facts)
        if not out.reuse(file, key):
            out.write(file, draw(), key)

    shown = _one_per_model(rows, results.models)
    write(
        f"strips/{name}.png",
        ["strip", *(_facts(row, metric) for row in shown)],
        lambda: opened().strip_png(shown, metric),
    )
    for row in rows:
        if row.sample.kept > 1:
            file = f"grids/{row.setting.folder}/{name}.png"
            write(file, ["grid", _facts(row, metric)], partial(lambda row: opened().grid_png(row, metric), row))
    keys = _map_keys(results, kinds, rows, code, name)
    _write_maps(out, {place: key for place, key in keys.items() if place[0].metric is None}, drawn, opened, name)
    shown_maps = [keys[place] for place in keys if map_file(*place, name) in out]
    settings = [astuple(row.setting) for row in shown]
    if shown_maps:
        write(f"sheets/{name}.png", ["sheet", settings, shown_maps], lambda: _sheet(out, name, kinds, shown))


def _write_metric_maps(results: Results, out: Draft, drawn: Sequence[MapKind], code: str, name: str) -> list[MapKind]:
    """Write the maps of metrics of one image; return the kinds of the maps that are missing."""
    kinds = [kind for kind in results.map_kinds if kind.metric is not None]
    rows = [row for row in results.measurements if row.image == name and results.outputs(row)]
    keys = _map_keys(results, kinds, rows, code, name)
    _write_maps(out, keys, drawn, partial(Example, results, name, rows), name)
    return [kind for kind, setting in keys if map_file(kind, setting, name) not in out]


def _map_keys(
    results: Results, kinds: Sequence[MapKind], rows: Sequence[Measurement], code: str, name: str
) -> dict[_Place, str]:
    """Return the keys of all maps of one image that can be drawn."""
    pair = results.pair(name)
    assert pair is not None
    side = min(_size(pair[0])) * results.protocol.scale
    pixels = results.pair_pixels(name)
    return {
        (kind, row.setting.folder): _map_key(kind, row, code, *pixels)
        for row in rows
        for kind in kinds
        if (row.sample.kept > 1 if kind == DEVIATION else side >= kind.smallest_side)
    }


def _write_maps(
    out: Draft, keys: Mapping[_Place, str], drawn: Sequence[MapKind], opened: Callable[[], Example], name: str
) -> None:
    """Write the maps of these keys for one image, which is opened only if a map has to be drawn."""
    lacking = [place for place, key in keys.items() if not out.reuse(map_file(*place, name), key)]
    if missing := [(kind, setting) for kind, setting in lacking if kind in drawn]:
        for place, values in _maps(opened(), missing).items():
            out.write(map_file(*place, name), map_png(values, place[0]), keys[place])


def _facts(row: Measurement, metric: MetricInfo) -> list[object]:
    """Return everything that a panel of a row shows, for the key of a strip or grid."""
    text = [metric.title, metric.digits, str(row.values.get(metric.name))]
    return [*astuple(row.setting), row.sample.drawn, _pixels(row), *text]


def _map_key(kind: MapKind, row: Measurement, *others: str) -> str:
    """Return the key of a map of a row; a deviation depends on all saved samples, other maps on the first sample."""
    pixels = _pixels(row)
    metric = "" if kind.metric is None else kind.metric.digest
    return digest("map", kind.name, metric, pixels if kind == DEVIATION else pixels[:1], *others)


def _maps(example: Example, wanted: Sequence[_Place]) -> dict[_Place, Values]:
    images = {}
    for row in example.rows:
        folder = row.setting.folder
        if (DEVIATION, folder) in wanted:
            images[folder] = example.images(row)
        elif any(setting == folder for _, setting in wanted):
            images[folder] = [example.image(row)]
    return maps_of(images, example.lr, example.hr, wanted)


def _sheet(out: Draft, name: str, kinds: Sequence[MapKind], shown: Sequence[Measurement]) -> bytes:
    """Draw the sheet of maps: a line per kind, which begins with its colour scale."""
    lines = []
    for kind in kinds:
        panels = []
        for row in shown:
            file = map_file(kind, row.setting.folder, name)
            if file in out:
                with Image.open(BytesIO(out.read(file)), formats=FORMATS) as image:
                    panels.append(Panel(row.setting.model, _temperature_note(row), image.copy()))
        if panels:
            lines.append([Panel(kind.title, kind.unit, colour_scale(kind, PANEL)), *panels])
    return sheet_png(lines)


def _pixels(row: Measurement) -> list[str]:
    """Return the pixel digests of the saved outputs of a row."""
    return [output.pixels for output in row.sample.outputs[: row.sample.kept]]
