"""The pictures of a report: a strip, sample grids and maps for every picture of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from PIL import Image

from srbench.images import write_whole
from srbench.reporting.examples import Answer, Example, framed, open_example, write_example
from srbench.reporting.maps import KINDS, MapKind, colour_scale, coloured, maps_of
from srbench.reporting.merge import Measurements
from srbench.reporting.strips import PANEL, Panel, difference_window, write_sheet, write_strip

PICTURED = 30
"""Of how many pictures of a run strips, grids and maps are made, spread evenly over the list."""
Pictures = dict[tuple[MapKind, str], Image.Image]
FOLDERS = ("strips", "grids", "maps", "sheets")


def write_pictures(measurements: Measurements, out: Path) -> list[str]:
    """Write strips/, grids/, maps/ and sheets/ into a folder, and remove what other pictures left there.

    Returns the names of the pictures they are made of: those whose pair and answers are saved, at most 30.
    """
    answered = {row.image for row in measurements.rows if measurements.pictures(row)}
    planned = measurements.manifest["dataset"]["names"]
    names = evenly([name for name in planned if name in answered and measurements.pair(name)], PICTURED)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        written = set().union(*pool.map(lambda name: _write_all(measurements, name, out), names))
    for folder in FOLDERS:
        for old in (out / folder).rglob("*.png"):
            if old not in written:
                old.unlink()
    return names


def evenly(names: Sequence[str], count: int) -> list[str]:
    """At most ``count`` of the names, spread evenly over the list."""
    count = min(count, len(names))
    return [names[(2 * place + 1) * len(names) // (2 * count)] for place in range(count)]


def _write_all(measurements: Measurements, name: str, out: Path) -> list[Path]:
    example = open_example(measurements, name, [row for row in measurements.rows if row.image == name])
    metric = measurements.manifest["metrics"][0]
    path = out / "strips" / f"{name}.png"
    write_example(example, example.shown, metric, path)
    written = [path]
    for answer in example.answers:
        if len(answer.pictures) > 1:
            path = out / "grids" / answer.setting / f"{name}.png"
            panels = framed(example, answer.panels(metric))
            write_strip(path, panels, difference_window(answer.pictures, example.scale))
            written.append(path)
    return [*written, *_write_maps(example, out)]


def _write_maps(example: Example, out: Path) -> Iterator[Path]:
    """The maps of all answers, and a sheet of those that are shown."""
    values = maps_of({answer.setting: answer.pictures for answer in example.answers}, example.hr)
    pictures: Pictures = {}
    for (kind, setting), found in values.items():
        pictures[kind, setting] = coloured(found, kind)
        buffer = BytesIO()
        pictures[kind, setting].save(buffer, format="PNG", compress_level=4)
        path = out / "maps" / setting / f"{example.name}_{kind.name}.png"
        write_whole(path, buffer.getvalue())
        yield path
    rows = [_sheet_row(kind, example.shown, pictures) for kind in KINDS]
    path = out / "sheets" / f"{example.name}.png"
    write_sheet(path, [row for row in rows if len(row) > 1])
    yield path


def _sheet_row(kind: MapKind, answers: Sequence[Answer], pictures: Pictures) -> list[Panel]:
    """The maps of one kind side by side, after their colours."""
    row = [Panel(kind.title, kind.unit, colour_scale(kind, PANEL))]
    for answer in answers:
        if (kind, answer.setting) in pictures:
            note = "" if answer.row.temperature is None else f"temperature {answer.row.temperature:g}"
            row.append(Panel(answer.row.model, note, pictures[kind, answer.setting].convert("RGB")))
    return row
