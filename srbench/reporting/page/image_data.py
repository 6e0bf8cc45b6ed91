"""The images of a page as JSON for ``image_data.js``: names, sizes, addresses and values."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from srbench.images.decoding import FORMATS
from srbench.interfaces import MetricInfo
from srbench.reporting.figures.error_maps import kinds_of, map_file
from srbench.reporting.figures.page_images import LR, Column, exact
from srbench.reporting.generated_folder import Draft
from srbench.reporting.results import Runs
from srbench.run_folder.manifest import MANIFEST
from srbench.run_folder.measurements import Measurement
from srbench.run_folder.records import Value


def image_contents(
    results: Runs,
    metrics: Sequence[MetricInfo],
    files: Mapping[str, Mapping[Column, Path]],
    columns: Sequence[Column],
    rows: Mapping[str, Mapping[int, Measurement]],
    draft: Draft | None,
) -> dict[str, Any]:
    """Return names, sizes, addresses and values of the images in ``files``, in their order.

    Args:
        results: The run.
        metrics: Metrics whose values are included.
        files: Saved files by image and column.
        columns: Columns of the page.
        rows: Rows by image and index in the table.
        draft: The report, to which addresses are relative; None if the page will embed its images.
    """
    names = list(files)
    sizes = [_size(by_column) for by_column in files.values()]
    paths = [path for by_column in files.values() for path in by_column.values()]
    addresses = {} if draft is None else _addresses(draft.place, paths)
    return {
        "names": names,
        "widths": [width for width, _ in sizes],
        "heights": [height for _, height in sizes],
        "files": [
            {place: addresses[own[column]] for place, own in enumerate(files.values()) if own.get(column) in addresses}
            for column in columns
        ],
        "maps": {} if draft is None else _maps(results, draft, names, columns),
        "values": [
            [_values([rows[name].get(line) for name in names], metric) for metric in metrics]
            for line in range(len(results.settings))
        ],
    }


def _addresses(place: Path, files: Sequence[Path]) -> dict[Path, str]:
    """Return relative addresses of images if the report at ``place`` lies in their run, else ``data:`` addresses."""
    run = place.parent
    linked = [file for file in files if file.is_relative_to(run)] if (run / MANIFEST).is_file() else []
    addresses = {file: quote(f"../{file.relative_to(run).as_posix()}") for file in linked}
    embedded = [file for file in files if file not in addresses]
    Image.init()  # imports the formats; an import in a pool may meet another half done
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return addresses | dict(zip(embedded, pool.map(_embedded, embedded), strict=True))


def _embedded(file: Path) -> str:
    """Return a ``data:`` address."""
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
    results: Runs, draft: Draft, names: Sequence[str], columns: Sequence[Column]
) -> dict[str, list[dict[int, str]]]:
    """Return the addresses of maps by kind, column and place of the image;
    only the column of a model's first sample has maps.
    """
    maps = {}
    for kind in kinds_of(results):
        addresses = []
        for column in columns:
            shown = {}
            if column.setting is not None and not column.sample:
                setting = results.settings[column.setting].folder
                files = {place: map_file(kind, setting, name) for place, name in enumerate(names)}
                shown = {place: quote(file) for place, file in files.items() if file in draft}
            addresses.append(shown)
        if any(addresses):
            maps[kind.name] = addresses
    return maps


def _values(rows: Sequence[Measurement | None], metric: MetricInfo) -> list[Any] | None:
    """Return the values of a metric by image: a number for all samples, or a list of numbers, one per sample.

    An image without a value has None; a metric without values is None. Numbers have two digits more than are printed,
    and those that are not finite are the strings ``inf``, ``-inf`` and ``nan``.
    """
    values = [None if row is None else row.values.get(metric.name) for row in rows]
    if all(value is None for value in values):
        return None

    def shown(value: Value | None) -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, list):
            return [shown(number) for number in value]
        if value is None or not math.isfinite(value):
            return None if value is None else str(value)
        return round(value, metric.digits + 2)

    return [shown(value) for value in values]
