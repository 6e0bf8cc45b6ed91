"""The images of a report: a strip, sample grids and maps for every image of a run. What shows nothing new is kept.

The key of a file is the digest of all that it shows (pixels, labels, values) and of the code that draws it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from io import BytesIO

from PIL import Image

from srbench.facts import setting_folder
from srbench.images import PNG
from srbench.records import digest
from srbench.reporting.examples import Example, example_png, framed, nearest, open_example
from srbench.reporting.files import ReportFolder
from srbench.reporting.maps import DEVIATION, ERROR, KINDS, LPIPS, LPIPS_SIDE, MapKind, colour_scale, coloured, maps_of
from srbench.reporting.merge import Measurements
from srbench.reporting.strips import PANEL, Panel, difference_window, sheet_png, strip_png
from srbench.results import Row
from srbench.source import package_digest
from srbench.types import Progress, Step

ILLUSTRATED = 30
"""Of how many images of a run strips, grids and maps are made, spread evenly over the list."""


def write_images(measurements: Measurements, out: ReportFolder, progress: Progress) -> list[str]:
    """Write strips/, grids/, maps/ and sheets/ into the folder of a report.

    Returns the names of the images they are made of: those whose pair and outputs are saved, at most 30.
    """
    with_outputs = {row.image for row in measurements.rows if measurements.outputs(row)}
    names = evenly(
        [name for name in measurements.images if name in with_outputs and measurements.pair(name)], ILLUSTRATED
    )
    images = [_Imaged(measurements, name, out) for name in names]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(_Imaged.write, images)):
            progress(Step(done + 1, len(names), f"report: {names[done]}"))
    return names


def evenly(names: Sequence[str], count: int) -> list[str]:
    """At most ``count`` of the names, spread evenly over the list."""
    count = min(count, len(names))
    return [names[(2 * place + 1) * len(names) // (2 * count)] for place in range(count)]


class _Imaged:
    """Strip, grids, maps and sheet of one image, which is opened where one of them has to be made."""

    def __init__(self, measurements: Measurements, name: str, out: ReportFolder) -> None:
        self.measurements, self.name, self.out = measurements, name, out
        self.metric = measurements.manifest.metrics[0]
        pair = measurements.pair(name)
        assert pair is not None
        self._hr = pair[1]
        self.rows = [row for row in measurements.rows if row.image == name and measurements.outputs(row)]
        self._drawn_by = [package_digest(__name__), *measurements.pair_pixels(name)]
        self._made: dict[str, Image.Image] = {}
        """Maps by their file names: made, or opened."""

    @cached_property
    def example(self) -> Example:
        """The image, opened."""
        return open_example(self.measurements, self.name, self.rows)

    def write(self) -> None:
        """Write or keep all files."""
        shown = nearest(self.rows)
        self._write(
            f"strips/{self.name}.png",
            self._key("strip", *map(self._facts, shown)),
            lambda: example_png(self.example, self.example.shown, self.metric),
        )
        for place, row in enumerate(self.rows):
            if row.sample.kept > 1:
                file = f"grids/{setting_folder(row.model, row.temperature)}/{self.name}.png"
                self._write(file, self._key("grid", self._facts(row)), partial(self._grid, place))
        keys = self._write_maps()
        labels = [[row.model, row.temperature, keys.get((kind, _setting(row)))] for kind in KINDS for row in shown]
        self._write(f"sheets/{self.name}.png", self._key("sheet", labels), self._sheet)

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

    def _grid(self, place: int) -> bytes:
        """The samples of a row."""
        output = self.example.outputs[place]
        window = difference_window(output.images, self.example.scale)
        return strip_png(framed(self.example, output.panels(self.metric)), window)

    def _write_maps(self) -> dict[tuple[MapKind, str], str]:
        """Write or keep the maps of all rows; returns their keys."""
        with Image.open(self._hr) as hr:
            is_large = min(hr.size) >= LPIPS_SIDE
        keys = {}
        for row in self.rows:
            pixels, setting = _pixels(row), _setting(row)
            keys[ERROR, setting] = self._key("error", pixels[0])
            if is_large:
                keys[LPIPS, setting] = self._key("lpips", pixels[0])
            if len(pixels) > 1:
                keys[DEVIATION, setting] = self._key("deviation", pixels)
        lacking = [place for place, key in keys.items() if not self.out.keep(self._map_file(*place), key)]
        if lacking:
            images = {output.setting: output.images for output in self.example.outputs}
            for place, values in maps_of(images, self.example.hr, lacking).items():
                image, buffer = coloured(values, place[0]), BytesIO()
                image.save(buffer, format="PNG", **{"compress_level": 4} if place[0] is LPIPS else PNG)  # smooth
                self._made[self._map_file(*place)] = image
                self.out.write(self._map_file(*place), buffer.getvalue(), keys[place])
        return keys

    def _map_file(self, kind: MapKind, setting: str) -> str:
        return f"maps/{setting}/{self.name}_{kind.name}.png"

    def _sheet(self) -> bytes:
        """The maps of the rows that are shown, a kind a line."""
        lines = [self._sheet_line(kind) for kind in KINDS]
        return sheet_png([line for line in lines if len(line) > 1])

    def _sheet_line(self, kind: MapKind) -> list[Panel]:
        """The maps of one kind side by side, after their colours."""
        line = [Panel(kind.title, kind.unit, colour_scale(kind, PANEL))]
        for row in nearest(self.rows):
            file = self._map_file(kind, _setting(row))
            if file in self.out:
                note = "" if row.temperature is None else f"temperature {row.temperature:g}"
                line.append(Panel(row.model, note, self._map(file)))
        return line

    def _map(self, file: str) -> Image.Image:
        if file not in self._made:
            with Image.open(self.out.path / file) as image:
                image.load()
            self._made[file] = image
        return self._made[file]


def _setting(row: Row) -> str:
    return setting_folder(row.model, row.temperature)


def _pixels(row: Row) -> list[str]:
    """Digests of the outputs of a row that are kept."""
    return [output.pixels for output in row.sample.outputs[: row.sample.kept]]
