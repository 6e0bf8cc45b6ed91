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
from srbench.reporting.examples import Example, example_png, framed, nearest, open_example
from srbench.reporting.files import ReportFolder
from srbench.reporting.merge import Measurements
from srbench.reporting.strips import PANEL, Panel, difference_window, sheet_png, strip_png
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
        self.metric, self.kinds = measurements.metrics[0], kinds_of(measurements.metrics)
        self.rows = [row for row in measurements.rows if row.image == name and measurements.outputs(row)]
        self._drawn_by = [package_digest(__name__), *measurements.pair_pixels(name)]
        self._keys = self._keys_of_maps()

    def write(self) -> None:
        """Write all files that the last report did not leave."""
        opened = cache(partial(open_example, self.measurements, self.name, self.rows))
        shown = nearest(self.rows)
        self._write(
            f"strips/{self.name}.png",
            self._key("strip", *map(self._facts, shown)),
            lambda: example_png(opened(), opened().shown, self.metric),
        )
        for place, row in enumerate(self.rows):
            if row.sample.kept > 1:
                file = f"grids/{row.setting.folder}/{self.name}.png"
                self._write(file, self._key("grid", self._facts(row)), partial(self._grid, opened, place))
        lacking = [place for place, key in self._keys.items() if not self.out.keep(map_file(*place, self.name), key)]
        if lacking:
            self._write_maps(opened(), lacking)
        labels = [
            [*astuple(row.setting), self._keys.get((kind, row.setting.folder))] for kind in self.kinds for row in shown
        ]
        self._write(f"sheets/{self.name}.png", self._key("sheet", labels), partial(self._sheet, shown))

    def _write_maps(self, example: Example, lacking: Sequence[tuple[MapKind, str]]) -> None:
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
        """Facts that a panel of a row shows."""
        value = row.values.get(self.metric.name)
        text = [self.metric.title, self.metric.digits, str(value)]
        return [*astuple(row.setting), row.sample.drawn, _pixels(row), *text]

    def _grid(self, opened: Callable[[], Example], place: int) -> bytes:
        """Samples of a row."""
        example = opened()
        output = example.outputs[place]
        window = difference_window(output.images, example.scale)
        return strip_png(framed(example, output.panels(self.metric)), window)

    def _keys_of_maps(self) -> dict[tuple[MapKind, str], str]:
        """Keys of the maps of all rows."""
        pair = self.measurements.pair(self.name)
        assert pair is not None
        with Image.open(pair[1]) as opened:
            side = min(opened.size)
        keys, hr = {}, self._drawn_by[-1]
        for row in self.rows:
            pixels, setting = _pixels(row), row.setting.folder
            for kind in self.kinds:
                if kind == DEVIATION and len(pixels) > 1:
                    keys[kind, setting] = map_key(kind, hr, pixels)
                elif kind != DEVIATION and side >= kind.smallest_side:
                    keys[kind, setting] = map_key(kind, hr, pixels[:1])
        return keys

    def _sheet(self, shown: Sequence[Row]) -> bytes:
        """Maps of some rows, a line per kind, after its colours."""
        lines = []
        for kind in self.kinds:
            panels = []
            for row in shown:
                file = map_file(kind, row.setting.folder, self.name)
                if file in self.out:
                    note = "" if row.setting.temperature is None else f"temperature {row.setting.temperature:g}"
                    with Image.open(self.out.path / file) as image:
                        panels.append(Panel(row.setting.model, note, image.copy()))
            if panels:
                lines.append([Panel(kind.title, kind.unit, colour_scale(kind, PANEL)), *panels])
        return sheet_png(lines)


def _pixels(row: Row) -> list[str]:
    """Digests of the kept outputs of a row."""
    return [output.pixels for output in row.sample.outputs[: row.sample.kept]]
