"""The pictures of a report: a strip, sample grids and maps for every picture of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from PIL import Image

from srbench.reporting.examples import Answer, Example, example_png, framed, open_example
from srbench.reporting.files import ReportFolder
from srbench.reporting.maps import KINDS, MapKind, colour_scale, coloured, maps_of
from srbench.reporting.merge import Measurements
from srbench.reporting.strips import PANEL, Panel, difference_window, sheet_png, strip_png
from srbench.tasks import Progress, Step

PICTURED = 30
"""Of how many pictures of a run strips, grids and maps are made, spread evenly over the list."""
Pictures = dict[tuple[MapKind, str], Image.Image]


def write_pictures(measurements: Measurements, out: ReportFolder, progress: Progress) -> list[str]:
    """Write strips/, grids/, maps/ and sheets/ into the folder of a report.

    Returns the names of the pictures they are made of: those whose pair and answers are saved, at most 30.
    """
    answered = {row.image for row in measurements.rows if measurements.outputs(row)}
    names = evenly([name for name in measurements.images if name in answered and measurements.pair(name)], PICTURED)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda name: dict(_all_files(measurements, name)), names)
        for done, (name, files) in enumerate(zip(names, made, strict=True)):
            progress(Step(done + 1, len(names), f"report: {name}"))
            for file, content in files.items():
                out.write(file, content)
    return names


def evenly(names: Sequence[str], count: int) -> list[str]:
    """At most ``count`` of the names, spread evenly over the list."""
    count = min(count, len(names))
    return [names[(2 * place + 1) * len(names) // (2 * count)] for place in range(count)]


def _all_files(measurements: Measurements, name: str) -> Iterator[tuple[str, bytes]]:
    """Strip, grids and maps of one image, by their file names."""
    example = open_example(measurements, name, [row for row in measurements.rows if row.image == name])
    metric = measurements.manifest.metrics[0]
    yield f"strips/{name}.png", example_png(example, example.shown, metric)
    for answer in example.answers:
        if len(answer.pictures) > 1:
            panels = framed(example, answer.panels(metric))
            window = difference_window(answer.pictures, example.scale)
            yield f"grids/{answer.setting}/{name}.png", strip_png(panels, window)
    yield from _maps(example)


def _maps(example: Example) -> Iterator[tuple[str, bytes]]:
    """The maps of all answers, and a sheet of those that are shown."""
    values = maps_of({answer.setting: answer.pictures for answer in example.answers}, example.hr)
    pictures: Pictures = {}
    for (kind, setting), found in values.items():
        pictures[kind, setting] = coloured(found, kind)
        buffer = BytesIO()
        pictures[kind, setting].save(buffer, format="PNG", compress_level=4)
        yield f"maps/{setting}/{example.name}_{kind.name}.png", buffer.getvalue()
    rows = [_sheet_row(kind, example.shown, pictures) for kind in KINDS]
    yield f"sheets/{example.name}.png", sheet_png([row for row in rows if len(row) > 1])


def _sheet_row(kind: MapKind, answers: Sequence[Answer], pictures: Pictures) -> list[Panel]:
    """The maps of one kind side by side, after their colours."""
    row = [Panel(kind.title, kind.unit, colour_scale(kind, PANEL))]
    for answer in answers:
        if (kind, answer.setting) in pictures:
            note = "" if answer.row.temperature is None else f"temperature {answer.row.temperature:g}"
            row.append(Panel(answer.row.model, note, pictures[kind, answer.setting].convert("RGB")))
    return row
