"""Images of a report: a strip and maps for every image of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from functools import cache, cached_property
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from srbench.files.hashes import sha256_file
from srbench.images.box import Box
from srbench.images.decoding import FORMATS
from srbench.interfaces import MetricInfo
from srbench.models import ModelInfo
from srbench.reporting import ReportError
from srbench.reporting.figures.error_maps import (
    DEVIATION,
    MapKind,
    Pixels,
    Values,
    kinds_of,
    map_file,
    map_png,
    maps_of,
)
from srbench.reporting.figures.strips import Part, figure_bytes, part_of
from srbench.reporting.generated_folder import Draft
from srbench.reporting.results import Runs
from srbench.reporting.tables.families import one_each
from srbench.run_folder.measurements import Measurement
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import digest
from srbench.terminal.progress import Progress, Step, silent

ILLUSTRATED = 30
"""Largest number of images with strips and maps in a report, spread evenly over the list."""
EMBEDDED = 3
"""Largest number of images that report.md shows, spread evenly over the list.
Only these have maps of metrics, which take long to compute."""
STRIP_SAMPLES = 2
"""Largest number of samples per model in a strip."""
BENEATH = ("psnr", "lpips")
"""Metrics beneath the outputs of a strip, and of a figure, where they are measured."""
_WIDTH, _DOTS = 6.0, 200
"""Width of a strip in inches, and its dots per inch: text is legible in the column of a web page."""
_ONE_ROW, _LONGEST_ROW = 7, 10
"""Largest number of panels of a strip in a single row, and in each of two."""
_Place = tuple[MapKind, str]
"""Kind of a map, and the folder name of a setting."""


class Example:
    """LR, HR if there is one, and saved outputs of an image. Outputs are opened on first use.

    Raises FileNotFoundError if the pair is not saved, ReportError if the sizes of images contradict each other.
    """

    def __init__(self, results: Runs, name: str, rows: Sequence[Measurement]) -> None:
        pair = results.pair(name)
        if pair is None:
            raise FileNotFoundError(name)
        self.name = name
        self.lr, *hr = map(_open, pair)
        self.hr = hr[0] if hr else None
        self.scale, self.lr_title = results.protocol.scale, results.protocol.lr_title
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

    def strip_png(self, rows: Sequence[Measurement], metrics: Sequence[MetricInfo]) -> bytes:
        """Draw a strip: the whole image and, in a window, LR, up to two samples of each row, and HR if there is one."""
        part = self.part(rows, metrics, {row.setting: row.setting.label for row in rows})
        count = len(part.panels)
        lines = 1 if count <= _ONE_ROW else max(2, -(-count // _LONGEST_ROW))
        return figure_bytes([part], _WIDTH, lines, _DOTS)

    def part(
        self,
        rows: Sequence[Measurement],
        metrics: Sequence[MetricInfo],
        names: Mapping[Setting, str],
        windows: Sequence[Box] = (),
        most: int | None = STRIP_SAMPLES,
        samples: Sequence[int] | None = None,
        *,
        maps: bool = False,
    ) -> Part:
        """Return the image for a figure, for which at most ``most`` samples of each row are opened.

        ``samples``, ``maps`` and errors are those of ``part_of``.
        """
        outputs = {}
        for row in rows:
            images = [self.image(row, sample) for sample in range(len(self._files[row.setting]))[:most]]
            outputs[names[row.setting]] = images, [row.values.get(metric.name) for metric in metrics]
        more = self.scale, self.lr_title, samples, maps
        return part_of(self.name, self.lr, self.hr, outputs, windows, metrics, *more)

    def reference(self) -> Pixels:
        """Return HR, or else LR upscaled by bicubic interpolation."""
        if self.hr is not None:
            return self.hr
        return np.asarray(Image.fromarray(self.lr).resize((self.width, self.height), Image.Resampling.BICUBIC))


def strip_of(results: Runs, name: str) -> bytes:
    """Draw the strip of one image as PNG, as in strips/. Raises as ``Example`` does."""
    rows = [row for row in results.measurements if row.image == name and results.outputs(row)]
    shown = _one_per_model(rows, results.models)
    return Example(results, name, rows).strip_png(shown, _beneath(results))


def _beneath(results: Runs) -> list[MetricInfo]:
    """Return the metrics beneath the outputs of a strip: the first, if those of BENEATH are not measured."""
    return [metric for metric in results.metrics if metric.name in BENEATH] or [*results.metrics[:1]]


def _one_per_model(rows: Sequence[Measurement], models: Sequence[ModelInfo]) -> list[Measurement]:
    """Choose one row per label from the rows of an image."""
    return [rows[place] for place in one_each([row.setting for row in rows], models)]


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
    results: Runs, out: Draft, progress: Progress = silent, *, runs_code: bool = False
) -> tuple[list[str], list[str]]:
    """Write strips/ and maps/ of a report, reusing images of the last report whose keys are unchanged.

    New maps of metrics named ``file.py:Name`` or ``package.module:Name`` are drawn only if ``runs_code``.

    Returns the names of the images shown, at most ILLUSTRATED of those whose pair and outputs are saved, and the titles
    of such metrics that lack a map.
    """
    with_outputs = {row.image for row in results.measurements if results.outputs(row)}
    names = evenly([name for name in results.images if name in with_outputs and results.pair(name)])
    mapped = evenly(names, EMBEDDED)
    of_pixels = [kind for kind in kinds_of(results) if kind.metric is None]
    of_metrics = [kind for kind in kinds_of(results) if kind.metric is not None]
    of_code = [kind for kind in of_metrics if kind.metric is not None and ":" in kind.metric.spec]
    drawn = [kind for kind in of_metrics if runs_code or kind not in of_code]
    without_maps: dict[str, None] = {}
    progress(Step(0, len(names), "report"))
    # In a pool, an import may meet another half done: of OpenCV, or of the formats.
    import cv2  # noqa: F401

    Image.init()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        written = {}
        for name in sorted(names, key=mapped.__contains__):
            files = _Files(results, out, name)
            files.write_strip()  # not in the pool, as matplotlib is not made for threads
            if name in mapped:
                missing = files.write_maps(of_metrics, drawn)  # not in the pool: metrics import torch
                without_maps |= {kind.title: None for kind in missing if kind in of_code}
            written[name] = pool.submit(files.write_maps, of_pixels, of_pixels)
        for done, (name, future) in enumerate(written.items(), 1):
            future.result()
            progress(Step(done, len(names), f"report: {name}"))
    return names, [*without_maps]


@cache
def _code() -> str:
    """Return a digest of the code that draws images, which is part of their keys."""
    return digest([sha256_file(path) for path in sorted(Path(__file__).parent.glob("*.py"))])


class _Files:
    """Strip and maps of one image in a report. The image is opened only if something has to be drawn."""

    def __init__(self, results: Runs, out: Draft, name: str) -> None:
        self.results, self.out, self.name = results, out, name
        self.rows = [row for row in results.measurements if row.image == name and results.outputs(row)]

    @cached_property
    def example(self) -> Example:
        """The image and its outputs."""
        return Example(self.results, self.name, self.rows)

    def write_strip(self) -> None:
        """Write the strip."""
        metrics, shown = _beneath(self.results), _one_per_model(self.rows, self.results.models)
        file, key = f"strips/{self.name}.png", self._key("strip", *(self._facts(row, metrics) for row in shown))
        if not self.out.reuse(file, key):
            self.out.write(file, self.example.strip_png(shown, metrics), key)

    def write_maps(self, kinds: Sequence[MapKind], drawn: Sequence[MapKind]) -> list[MapKind]:
        """Write the maps of some kinds; maps of kinds that are not in ``drawn`` are only reused from the last report.

        Returns the kinds of the maps that are missing.
        """
        keys = self._map_keys(kinds)
        lacking = [place for place, key in keys.items() if not self.out.reuse(map_file(*place, self.name), key)]
        if wanted := [(kind, setting) for kind, setting in lacking if kind in drawn]:
            for place, values in self._maps(wanted).items():
                self.out.write(map_file(*place, self.name), map_png(values, place[0]), keys[place])
        return [kind for kind, setting in lacking if map_file(kind, setting, self.name) not in self.out]

    def _key(self, *facts: object) -> str:
        return digest(_code(), *self.results.pair_pixels(self.name), *facts)

    def _map_keys(self, kinds: Sequence[MapKind]) -> dict[_Place, str]:
        """Return the keys of all maps that can be drawn: a deviation is of all saved samples,
        other maps of the first.
        """
        pair = self.results.pair(self.name)
        assert pair is not None
        side = min(_size(pair[0])) * self.results.protocol.scale
        keys = {}
        for row, kind in product(self.rows, kinds):
            pixels = self._pixels(row)
            if len(pixels) > 1 if kind == DEVIATION else side >= kind.smallest_side:
                pixels = pixels if kind == DEVIATION else pixels[:1]
                metric = "" if kind.metric is None else kind.metric.digest
                keys[kind, row.setting.folder] = self._key("map", kind.name, metric, pixels)
        return keys

    def _facts(self, row: Measurement, metrics: Sequence[MetricInfo]) -> list[object]:
        """Return everything that a panel of a row shows, for the key of a strip."""
        text = [[metric.title, metric.digits, str(row.values.get(metric.name))] for metric in metrics]
        return [*astuple(row.setting), self._pixels(row), *text]

    def _pixels(self, row: Measurement) -> list[str]:
        """Return the pixel digests of the saved outputs of a row, of which another run may have saved fewer."""
        return [output.pixels for output in row.sample.outputs[: len(self.results.outputs(row))]]

    def _maps(self, wanted: Sequence[_Place]) -> dict[_Place, Values]:
        images = {}
        for row in self.rows:
            folder = row.setting.folder
            if (DEVIATION, folder) in wanted:
                images[folder] = self.example.images(row)
            elif any(setting == folder for _, setting in wanted):
                images[folder] = [self.example.image(row)]
        return maps_of(images, self.example.lr, self.example.hr, wanted)
