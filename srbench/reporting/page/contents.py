"""Images of a page as JSON, small enough for thousands of them: names, sizes, addresses by rule, values as bytes.

``contents.js`` reads it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from srbench.benchmark.error_maps import MapKind, carried_key, map_file
from srbench.images.strict_decoding import FORMATS
from srbench.interfaces import MetricFacts
from srbench.reporting.figures.image_files import key_of_map
from srbench.reporting.files import ReportFolder
from srbench.reporting.measurements import Measurements
from srbench.reporting.page.images import LR, Column, exact
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import Value
from srbench.run_folder.results import Row

ABSENT = float(np.finfo(np.float32).min)
"""Number that stands for a value that is missing."""


def image_contents(
    measurements: Measurements,
    files: Mapping[str, Mapping[Column, Path]],
    columns: Sequence[Column],
    rows: Mapping[str, Mapping[int, Row]],
    folder: ReportFolder | None,
) -> dict[str, Any]:
    """Names, sizes, addresses and values of the images in ``files``, in their order.

    ``folder`` is that of the page, to which addresses are relative; None if the page will embed its images. ``rows``
    are those of every image by line of the table.
    """
    names = list(files)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sizes = list(pool.map(_size, files.values()))
    maps = {} if folder is None else _maps(measurements, folder, names, columns, rows)
    return {
        "names": names,
        "widths": [width for width, _ in sizes],
        "heights": [height for _, height in sizes],
        "files": [
            _addresses(folder, names, [found.get(column) if folder else None for found in files.values()])
            for column in columns
        ],
        "maps": maps,
        "values": [
            [_values([rows[name].get(line) for name in names], metric) for metric in measurements.metrics]
            for line in range(len(measurements.settings))
        ],
    }


def _size(found: Mapping[Column, Path]) -> tuple[int, int]:
    """Width and height of HR, or of an output, which is as large, or else of LR; of no image 1 x 1."""
    path = next((path for column, path in found.items() if column != LR), found.get(LR))
    if path is None:
        return 1, 1
    with Image.open(path, formats=FORMATS) as file:
        return file.size


def _maps(
    measurements: Measurements,
    folder: ReportFolder,
    names: Sequence[str],
    columns: Sequence[Column],
    rows: Mapping[str, Mapping[int, Row]],
) -> dict[str, list[dict[str, Any]]]:
    """Addresses of the maps in a folder by kind and column; maps are those of a model's first sample."""
    found = {}
    for kind in measurements.map_kinds:
        addresses = []
        for column in columns:
            shown: list[Path | None] = []
            if column.model != "" and not column.sample:
                shown = [_map(measurements, folder, name, kind, column, rows[name]) for name in names]
            addresses.append(_addresses(folder, names, shown))
        if any(one["ranges"] or one["others"] for one in addresses):
            found[kind.name] = addresses
    return found


def _map(
    measurements: Measurements, folder: ReportFolder, name: str, kind: MapKind, column: Column, rows: Mapping[int, Row]
) -> Path | None:
    """The map of an output; None if there is none, or only that of an earlier output, left by an earlier report."""
    file = map_file(kind, Setting(column.model, column.temperature).folder, name)
    row = None if column.setting is None else rows.get(column.setting)
    if row is None or not folder.has(file):
        return None
    path = folder.path / file
    is_current = file in folder or carried_key(path) == key_of_map(kind, row, measurements.pair_pixels(name)[1])
    return path if is_current else None


def _addresses(folder: ReportFolder | None, names: Sequence[str], paths: Sequence[Path | None]) -> dict[str, Any]:
    """Addresses of files: FOLDER NAME ENDING for the places in ``ranges``, and those of all ``others`` by their place.

    They are relative to the page if the files lie below it, else the pixels of the files, exactly.
    """
    start = ending = ""
    ruled: list[int] = []
    others: dict[int, str] = {}
    for place, path in enumerate(paths):
        if path is None:
            continue
        assert folder is not None
        if not path.is_relative_to(folder.path):
            with Image.open(path, formats=FORMATS) as file:
                others[place] = exact(file.convert("RGB"))
            continue
        address, name = path.relative_to(folder.path).as_posix(), names[place]
        if not ruled:
            start, _, ending = address.rpartition(name)
        if address == f"{start}{name}{ending}":
            ruled.append(place)
        else:
            others[place] = quote(address)
    return {"folder": start, "ending": ending, "ranges": _ranges(ruled), "others": others}


def _ranges(places: Iterable[int]) -> list[list[int]]:
    """Ranges [first, end) of increasing places."""
    ranges: list[list[int]] = []
    for place in places:
        if ranges and ranges[-1][1] == place:
            ranges[-1][1] += 1
        else:
            ranges.append([place, place + 1])
    return ranges


def _values(rows: Sequence[Row | None], metric: MetricFacts) -> dict[str, Any] | None:
    """Values of a metric as little-endian floats in base64, ``samples`` per image, 0 for one of the whole set.

    They are of 32 bits unless these would move them by a hundredth of the last digit that is printed. None if there
    are none.
    """
    found = [None if row is None else row.values.get(metric.name) for row in rows]
    samples = max((len(value) for value in found if isinstance(value, list)), default=0)
    if all(value is None for value in found):
        return None
    numbers = np.array([_padded(value, max(samples, 1)) for value in found])
    with np.errstate(over="ignore"):
        single = numbers.astype("<f4")
    is_exact = np.allclose(single, numbers, rtol=0, atol=10.0**-metric.digits / 100, equal_nan=True)
    data = (single if is_exact else numbers.astype("<f8")).tobytes()
    return {"samples": samples, "data": base64.b64encode(data).decode()}


def _padded(value: Value | None, count: int) -> list[float]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    return [*values, *[ABSENT] * (count - len(values))]
