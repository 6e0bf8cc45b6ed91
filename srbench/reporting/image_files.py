"""Images of a report: a strip, sample grids and maps for every image of a run. Unchanged ones are kept.

The key of a file is the digest of all that it shows (pixels, labels, values) and of the code that draws it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from functools import cache, partial

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
from srbench.reporting.examples import Example, nearest, temperature_note
from srbench.reporting.files import ReportFolder
from srbench.reporting.measurements import Measurements
from srbench.reporting.strips import PANEL, Panel, sheet_png
from srbench.run_folder.records import digest
from srbench.run_folder.results import Row


def write_images(measurements: Measurements, out: ReportFolder, progress: Progress) -> list[str]:
    """Write strips/, grids/, maps/ and sheets/ into the folder of a report.

    Returns the names of the images shown: those whose pair and outputs are kept, at most 30.
    """
    with_outputs = {row.image for row in measurements.rows if measurements.outputs(row)}
    names = evenly([name for name in measurements.images if name in with_outputs and measurements.pair(name)])
    images = [_Imaged(measurements, name, out) for name in names]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(_Imaged.write, images), 1):
            progress(Step(done, len(names), f"report: {names[done - 1]}"))
    return names


class _Imaged:
    """Strip, grids, maps and sheet of one image, which is opened only if one of them has to be made."""

    def __init__(self, measurements: Measurements, name: str, out: ReportFolder) -> None:
        self.measurements, self.name, self.out = measurements, name, out
        self.metric = measurements.metrics[0]
        self.rows = [row for row in measurements.rows if row.image == name and measurements.outputs(row)]
        self._drawn_by = [package_digest(__name__), *measurements.pair_pixels(name)]
        self._kinds = kinds_of(measurements.metrics)
        self._map_keys = self._keys_of_maps()

    def write(self) -> None:
        """Write all files that the last report did not leave."""
        opened = cache(partial(Example, self.measurements, self.name, self.rows))
        shown = nearest(self.rows)
        facts = [self._facts(row) for row in shown]
        self._write(f"strips/{self.name}.png", ["strip", *facts], lambda: opened().strip_png(shown, self.metric))
        for row in self.rows:
            if row.sample.kept > 1:
                draw = partial(self._grid, opened, row)
                self._write(f"grids/{row.setting.folder}/{self.name}.png", ["grid", self._facts(row)], draw)
        keep = self.out.keep
        lacking = [place for place, key in self._map_keys.items() if not keep(map_file(*place, self.name), key)]
        if lacking:
            self._write_maps(opened(), lacking)
        keys = [self._map_keys.get((kind, row.setting.folder)) for kind in self._kinds for row in shown]
        settings = [astuple(row.setting) for row in shown]
        self._write(f"sheets/{self.name}.png", ["sheet", settings, keys], partial(self._sheet, shown))

    def _write(self, file: str, shown: Sequence[object], draw: Callable[[], bytes]) -> None:
        key = digest(self._drawn_by, *shown)
        if not self.out.keep(file, key):
            self.out.write(file, draw(), key)

    def _facts(self, row: Row) -> list[object]:
        """Facts that a panel of a row shows."""
        value = row.values.get(self.metric.name)
        text = [self.metric.title, self.metric.digits, str(value)]
        return [*astuple(row.setting), row.sample.drawn, _pixels(row), *text]

    def _grid(self, opened: Callable[[], Example], row: Row) -> bytes:
        return opened().grid_png(row, self.metric)

    def _keys_of_maps(self) -> dict[tuple[MapKind, str], str]:
        """Keys of the maps of all rows."""
        pair = self.measurements.pair(self.name)
        assert pair is not None
        with Image.open(pair[1]) as opened:
            side = min(opened.size)
        keys, hr = {}, self._drawn_by[-1]
        for row in self.rows:
            pixels = _pixels(row)
            for kind in self._kinds:
                if kind == DEVIATION and len(pixels) > 1:
                    keys[kind, row.setting.folder] = map_key(kind, hr, pixels)
                elif kind != DEVIATION and side >= kind.smallest_side:
                    keys[kind, row.setting.folder] = map_key(kind, hr, pixels[:1])
        return keys

    def _write_maps(self, example: Example, lacking: Sequence[tuple[MapKind, str]]) -> None:
        images = {}
        for row in example.rows:
            folder = row.setting.folder
            if (DEVIATION, folder) in lacking:
                images[folder] = example.images(row)
            elif any(setting == folder for _, setting in lacking):
                images[folder] = [example.image(row)]
        for place, values in maps_of(images, example.hr, lacking).items():
            key = self._map_keys[place]
            self.out.write(map_file(*place, self.name), map_png(values, place[0], key), key)

    def _sheet(self, shown: Sequence[Row]) -> bytes:
        """Maps of some rows, a line per kind, after its colours."""
        lines = []
        for kind in self._kinds:
            panels = []
            for row in shown:
                file = map_file(kind, row.setting.folder, self.name)
                if file in self.out:
                    with Image.open(self.out.path / file) as image:
                        panels.append(Panel(row.setting.model, temperature_note(row), image.copy()))
            if panels:
                lines.append([Panel(kind.title, kind.unit, colour_scale(kind, PANEL)), *panels])
        return sheet_png(lines)


def _pixels(row: Row) -> list[str]:
    """Digests of the kept outputs of a row."""
    return [output.pixels for output in row.sample.outputs[: row.sample.kept]]
