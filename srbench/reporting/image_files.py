"""The images of a report: a strip, sample grids and maps for every image of a run. What shows nothing new is kept.

The key of a file is the digest of all that it shows (pixels, labels, values) and of the code that draws it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib import import_module

from PIL import Image

from srbench.benchmark.error_maps import (
    DEVIATION,
    MapKind,
    colour_scale,
    evenly,
    kinds_of,
    map_file,
    map_key,
    map_png,
    maps_of,
)
from srbench.interfaces import Progress, Step
from srbench.plugins.code_digest import package_digest
from srbench.reporting.examples import Example, example_png, framed, nearest, open_example
from srbench.reporting.files import ReportFolder
from srbench.reporting.merge import Measurements
from srbench.reporting.strips import PANEL, Panel, difference_window, sheet_png, strip_png
from srbench.run_folder.protocol import setting_folder
from srbench.run_folder.records import digest
from srbench.run_folder.results import Row


def write_images(measurements: Measurements, out: ReportFolder, progress: Progress) -> list[str]:
    """Write strips/, grids/, maps/ and sheets/ into the folder of a report.

    Returns the names of the images they are made of: those whose pair and outputs are saved, at most 30.
    """
    with_outputs = {row.image for row in measurements.rows if measurements.outputs(row)}
    names = evenly([name for name in measurements.images if name in with_outputs and measurements.pair(name)])
    images = [_Imaged(measurements, name, out) for name in names]
    with ThreadPoolExecutor(os.cpu_count()) as pool, ThreadPoolExecutor(1) as beside:
        if any(kind.metric for image in images for kind, _ in image.lacking):
            beside.submit(import_module, "torch")  # it takes a second, while strips are made
        for place, write in enumerate((_Imaged.write_strips, _Imaged.write_sheet)):
            for done, _ in enumerate(pool.map(write, images)):
                progress(Step(place * len(names) + done + 1, 2 * len(names), f"report: {names[done]}"))
    return names


class _Imaged:
    """Strip, grids, maps and sheet of one image, which is opened where one of them has to be made."""

    def __init__(self, measurements: Measurements, name: str, out: ReportFolder) -> None:
        self.measurements, self.name, self.out = measurements, name, out
        self.metric = measurements.manifest.metrics[0]
        self.kinds = kinds_of(measurements.manifest.metrics)
        pair = measurements.pair(name)
        assert pair is not None
        self._hr = pair[1]
        self.rows = [row for row in measurements.rows if row.image == name and measurements.outputs(row)]
        self._drawn_by = [package_digest(__name__), *measurements.pair_pixels(name)]
        self._keys = self._keys_of_maps()
        self.lacking = [place for place, key in self._keys.items() if not out.keep(map_file(*place, name), key)]
        """Maps that have to be made, by kind and setting."""

    def _opened(self) -> Example:
        return open_example(self.measurements, self.name, self.rows)

    def write_strips(self) -> None:
        """Write or keep the strip and the grids, and write the maps that are lacking, but for those of metrics."""
        opened = cache(self._opened)  # where there is one to write, and for as long
        self._write(
            f"strips/{self.name}.png",
            self._key("strip", *map(self._facts, nearest(self.rows))),
            lambda: example_png(opened(), opened().shown, self.metric),
        )
        for place, row in enumerate(self.rows):
            if row.sample.kept > 1:
                file = f"grids/{_setting(row)}/{self.name}.png"
                self._write(file, self._key("grid", self._facts(row)), partial(self._grid, opened, place))
        self._write_maps(opened, [place for place in self.lacking if not place[0].metric])

    def write_sheet(self) -> None:
        """Write the maps of metrics that are lacking, and write or keep the sheet of all."""
        self._write_maps(self._opened, [place for place in self.lacking if place[0].metric])
        labels = [
            [row.model, row.temperature, self._keys.get((kind, _setting(row)))]
            for kind in self.kinds
            for row in nearest(self.rows)
        ]
        self._write(f"sheets/{self.name}.png", self._key("sheet", labels), self._sheet)

    def _write_maps(self, opened: Callable[[], Example], lacking: Sequence[tuple[MapKind, str]]) -> None:
        if not lacking:
            return
        example = opened()
        images = {
            output.setting: output.images if (DEVIATION, output.setting) in lacking else [output.image(0)]
            for output in example.outputs
            if any(setting == output.setting for _, setting in lacking)
        }
        for place, values in maps_of(images, example.hr, lacking).items():
            key = self._keys[place]
            self.out.write(map_file(*place, self.name), map_png(values, place[0], key), key)

    def _write(self, file: str, key: str, draw: Callable[[], bytes]) -> None:
        if not self.out.keep(file, key):
            self.out.write(file, draw(), key)

    def _key(self, kind: str, *shown: object) -> str:
        return digest(kind, self._drawn_by, *shown)

    def _facts(self, row: Row) -> list[object]:
        """All that a panel of a row shows."""
        value = row.values.get(self.metric.name)
        text = [self.metric.title, self.metric.digits, str(value)]
        return [row.model, row.temperature, row.sample.drawn, _pixels(row), *text]

    def _grid(self, opened: Callable[[], Example], place: int) -> bytes:
        """The samples of a row."""
        example = opened()
        output = example.outputs[place]
        window = difference_window(output.images, example.scale)
        return strip_png(framed(example, output.panels(self.metric)), window)

    def _keys_of_maps(self) -> dict[tuple[MapKind, str], str]:
        """Those of the maps of all rows."""
        with Image.open(self._hr) as opened:
            side = min(opened.size)
        keys, hr = {}, self.measurements.pair_pixels(self.name)[1]
        for row in self.rows:
            pixels, setting = _pixels(row), _setting(row)
            for kind in self.kinds:
                shown = pixels if kind == DEVIATION else pixels[:1]
                if side >= kind.smallest_side and (kind != DEVIATION or len(pixels) > 1):
                    keys[kind, setting] = map_key(kind, hr, shown)
        return keys

    def _sheet(self) -> bytes:
        """The maps of the rows that are shown, a kind a line."""
        lines = [self._sheet_line(kind) for kind in self.kinds]
        return sheet_png([line for line in lines if len(line) > 1])

    def _sheet_line(self, kind: MapKind) -> list[Panel]:
        """The maps of one kind side by side, after their colours."""
        line = [Panel(kind.title, kind.unit, colour_scale(kind, PANEL))]
        for row in nearest(self.rows):
            file = map_file(kind, _setting(row), self.name)
            if file in self.out:
                note = "" if row.temperature is None else f"temperature {row.temperature:g}"
                line.append(Panel(row.model, note, self._map(file)))
        return line

    def _map(self, file: str) -> Image.Image:
        with Image.open(self.out.path / file) as image:
            image.load()
        return image


def _setting(row: Row) -> str:
    return setting_folder(row.model, row.temperature)


def _pixels(row: Row) -> list[str]:
    """Digests of the outputs of a row that are kept."""
    return [output.pixels for output in row.sample.outputs[: row.sample.kept]]
