"""The images of a page as JSON for ``contents.js``, compact enough for thousands of images.

It has names, sizes, addresses (by rule where possible) and values (as bytes in base64).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from srbench.images.decoding import FORMATS
from srbench.interfaces import MetricFacts
from srbench.reporting.figures.error_maps import map_file
from srbench.reporting.files import Draft
from srbench.reporting.measurements import Measurements
from srbench.reporting.page.images import LR, Column, exact
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.run_folder.records import Value
from srbench.run_folder.results import Row

ABSENT = float(np.finfo(np.float32).min)
"""Number that encodes a missing value."""


def image_contents(
    measurements: Measurements,
    metrics: Sequence[MetricFacts],
    files: Mapping[str, Mapping[Column, Path]],
    columns: Sequence[Column],
    rows: Mapping[str, Mapping[int, Row]],
    draft: Draft | None,
) -> dict[str, Any]:
    """Return names, sizes, addresses and values of the images in ``files``, in their order.

    Args:
        measurements: The run.
        metrics: Metrics whose values are included.
        files: Saved files by image and column.
        columns: Columns of the page.
        rows: Rows by image and index in the table.
        draft: The report, to which addresses are relative; None if the page will embed its images.
    """
    names = list(files)
    Image.init()  # imports the formats; an import in a pool may meet another half done
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sizes = list(pool.map(_size, files.values()))
        addresses = {}
        if draft is not None:
            linked = [path for by_column in files.values() for path in by_column.values()]
            addresses = dict(zip(linked, pool.map(partial(_address, draft.place), linked), strict=True))
    return {
        "names": names,
        "widths": [width for width, _ in sizes],
        "heights": [height for _, height in sizes],
        "files": [
            _by_rule(names, [addresses.get(own[column]) if column in own else None for own in files.values()])
            for column in columns
        ],
        "maps": {} if draft is None else _maps(measurements, draft, names, columns),
        "values": [
            [_values([rows[name].get(line) for name in names], metric) for metric in metrics]
            for line in range(len(measurements.settings))
        ],
    }


def _address(place: Path, file: Path) -> str:
    """Return a relative address if the report at ``place`` lies in the image's run, else a ``data:`` address."""
    run = place.parent
    if (run / MANIFEST).is_file() and file.is_relative_to(run):
        return f"../{file.relative_to(run).as_posix()}"
    with Image.open(file, formats=FORMATS) as image:
        return exact(image.convert("RGB"))


def _size(files: Mapping[Column, Path]) -> tuple[int, int]:
    """Return width and height of HR or of an output, else of LR, else 1 x 1."""
    path = next((path for column, path in files.items() if column != LR), files.get(LR))
    if path is None:
        return 1, 1
    with Image.open(path, formats=FORMATS) as file:
        return file.size


def _maps(
    measurements: Measurements, draft: Draft, names: Sequence[str], columns: Sequence[Column]
) -> dict[str, list[dict[str, Any]]]:
    """Return the addresses of maps by kind and column; only the column of a model's first sample has maps."""
    maps = {}
    for kind in measurements.map_kinds:
        addresses = []
        for column in columns:
            shown: list[str | None] = []
            if column.setting is not None and not column.sample:
                setting = measurements.settings[column.setting].folder
                drawn = [map_file(kind, setting, name) for name in names]
                shown = [file if file in draft else None for file in drawn]
            addresses.append(_by_rule(names, shown))
        if any(column["ranges"] or column["others"] for column in addresses):
            maps[kind.name] = addresses
    return maps


def _by_rule(names: Sequence[str], addresses: Sequence[str | None]) -> dict[str, Any]:
    """Encode addresses: FOLDER NAME ENDING for the indices in ``ranges``, and all ``others`` by their index."""
    start = ending = ""
    ruled: list[int] = []
    others: dict[int, str] = {}
    for place, address in enumerate(addresses):
        if address is None:
            continue
        if not ruled and not address.startswith("data:"):
            start, _, ending = address.rpartition(names[place])
        if address == f"{start}{names[place]}{ending}":
            ruled.append(place)
        else:
            others[place] = address if address.startswith("data:") else quote(address)
    return {"folder": start, "ending": ending, "ranges": _ranges(ruled), "others": others}


def _ranges(places: Iterable[int]) -> list[list[int]]:
    """Group increasing indices into ranges [first, end)."""
    ranges: list[list[int]] = []
    for place in places:
        if ranges and ranges[-1][1] == place:
            ranges[-1][1] += 1
        else:
            ranges.append([place, place + 1])
    return ranges


def _values(rows: Sequence[Row | None], metric: MetricFacts) -> dict[str, Any] | None:
    """Encode the values of a metric as little-endian floats in base64; None without values.

    ``samples`` is their number per image, 0 for a value of all samples. Floats have 32 bits unless that would change a
    value by more than a hundredth of its last printed digit.
    """
    values = [None if row is None else row.values.get(metric.name) for row in rows]
    samples = max((len(value) for value in values if isinstance(value, list)), default=0)
    if all(value is None for value in values):
        return None
    numbers = np.array([_padded(value, max(samples, 1)) for value in values])
    with np.errstate(over="ignore"):
        single = numbers.astype("<f4")
    is_exact = np.allclose(single, numbers, rtol=0, atol=10.0**-metric.digits / 100, equal_nan=True)
    data = (single if is_exact else numbers.astype("<f8")).tobytes()
    return {"samples": samples, "data": base64.b64encode(data).decode()}


def _padded(value: Value | None, count: int) -> list[float]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    return [*values, *[ABSENT] * (count - len(values))]
