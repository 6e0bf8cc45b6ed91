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
    Values,
    colour_scale,
    evenly,
    kinds_of,
    map_file,
    map_key,
    map_png,
    maps_of,
)
from srbench.interfaces import MetricFacts, Progress, Step
from srbench.plugins.code_digest import package_digest
from srbench.reporting.examples import Example, nearest, temperature_note
from srbench.reporting.files import ReportFolder
from srbench.reporting.measurements import Measurements
from srbench.reporting.strips import PANEL, Panel, sheet_png
from srbench.run_folder.records import digest
from srbench.run_folder.results import Row

_Place = tuple[MapKind, str]
"""Kind of a map, and the folder name of a setting."""


def write_images(measurements: Measurements, out: ReportFolder, progress: Progress) -> list[str]:
    """Write strips/, grids/, maps/ and sheets/ into the folder of a report.

    Returns the names of the images shown: those whose pair and outputs are kept, at most 30.
    """
    with_outputs = {row.image for row in measurements.rows if measurements.outputs(row)}
    names = evenly([name for name in measurements.images if name in with_outputs and measurements.pair(name)])
    # In Python 3.11 two threads cannot parse at once (CPython issue 106905): all code is parsed before.
    write = partial(_write, measurements, out, package_digest(__name__), kinds_of(measurements.metrics))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(write, names), 1):
            progress(Step(done, len(names), f"report: {names[done - 1]}"))
    return names


def _write(measurements: Measurements, out: ReportFolder, code: str, kinds: Sequence[MapKind], name: str) -> None:
    """Write strip, grids, maps and sheet of one image, which is opened only if one of them has to be made."""
    metric = measurements.metrics[0]
    rows = [row for row in measurements.rows if row.image == name and measurements.outputs(row)]
    opened = cache(partial(Example, measurements, name, rows))
    pixels = measurements.pair_pixels(name)

    def write(file: str, shown: Sequence[object], draw: Callable[[], bytes]) -> None:
        key = digest([code, *pixels], *shown)
        if not out.keep(file, key):
            out.write(file, draw(), key)

    shown = nearest(rows)
    facts = [_facts(row, metric) for row in shown]
    write(f"strips/{name}.png", ["strip", *facts], lambda: opened().strip_png(shown, metric))
    for row in rows:
        if row.sample.kept > 1:
            file = f"grids/{row.setting.folder}/{name}.png"
            write(file, ["grid", _facts(row, metric)], lambda row=row: opened().grid_png(row, metric))  # type: ignore[misc]
    pair = measurements.pair(name)
    assert pair is not None
    with Image.open(pair[1]) as image:
        keys = _map_keys(rows, kinds, pixels[1], min(image.size))
    lacking = [place for place, key in keys.items() if not out.keep(map_file(*place, name), key)]
    if lacking:
        for place, values in _maps(opened(), lacking).items():
            out.write(map_file(*place, name), map_png(values, place[0], keys[place]), keys[place])
    maps = [keys.get((kind, row.setting.folder)) for kind in kinds for row in shown]
    settings = [astuple(row.setting) for row in shown]
    write(f"sheets/{name}.png", ["sheet", settings, maps], lambda: _sheet(out, name, kinds, shown))


def _facts(row: Row, metric: MetricFacts) -> list[object]:
    """Facts that a panel of a row shows."""
    text = [metric.title, metric.digits, str(row.values.get(metric.name))]
    return [*astuple(row.setting), row.sample.drawn, _pixels(row), *text]


def _map_keys(rows: Sequence[Row], kinds: Sequence[MapKind], hr: str, side: int) -> dict[_Place, str]:
    keys = {}
    for row in rows:
        pixels = _pixels(row)
        for kind in kinds:
            if kind == DEVIATION and len(pixels) > 1:
                keys[kind, row.setting.folder] = map_key(kind, hr, pixels)
            elif kind != DEVIATION and side >= kind.smallest_side:
                keys[kind, row.setting.folder] = map_key(kind, hr, pixels[:1])
    return keys


def _maps(example: Example, wanted: Sequence[_Place]) -> dict[_Place, Values]:
    images = {}
    for row in example.rows:
        folder = row.setting.folder
        if (DEVIATION, folder) in wanted:
            images[folder] = example.images(row)
        elif any(setting == folder for _, setting in wanted):
            images[folder] = [example.image(row)]
    return maps_of(images, example.hr, wanted)


def _sheet(out: ReportFolder, name: str, kinds: Sequence[MapKind], shown: Sequence[Row]) -> bytes:
    """Maps of some rows, a line per kind, after its colours."""
    lines = []
    for kind in kinds:
        panels = []
        for row in shown:
            file = map_file(kind, row.setting.folder, name)
            if file in out:
                with Image.open(out.path / file) as image:
                    panels.append(Panel(row.setting.model, temperature_note(row), image.copy()))
        if panels:
            lines.append([Panel(kind.title, kind.unit, colour_scale(kind, PANEL)), *panels])
    return sheet_png(lines)


def _pixels(row: Row) -> list[str]:
    """Digests of the kept outputs of a row."""
    return [output.pixels for output in row.sample.outputs[: row.sample.kept]]
