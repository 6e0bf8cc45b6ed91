"""Page of a report: report.html, which opens offline and requests nothing from anywhere.

Names of images and models, licences and other text of users are escaped by Jinja; values and file names reach the
scripts as JSON. A Content Security Policy with the hashes of our style and scripts refuses everything else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from PIL import Image

from srbench.benchmark.error_maps import MapKind, map_file
from srbench.images.strict_decoding import FORMATS
from srbench.interfaces import GROUPS, MetricFacts
from srbench.reporting import ReportError
from srbench.reporting.files import Choices, ReportFolder
from srbench.reporting.image_files import Example
from srbench.reporting.measurements import Measurements, mean_of
from srbench.reporting.page.images import LR, MAILABLE, Carried, Column, carry, columns_of, exact, kept_files, small
from srbench.reporting.plots import FOLDER, Plot
from srbench.reporting.rendering import rendered, source
from srbench.reporting.scores import Scores
from srbench.reporting.strips import difference_window
from srbench.run_folder.protocol import Setting
from srbench.run_folder.results import Row

FILES = ("report.md", "table.tex", "table_intervals.tex", "table.csv", "rows.csv")
"""Other files of a report, to which the page links."""
THUMBNAIL = 96
"""Longest side of an image in the list, in pixels."""
_SLACK = 2_000
"""Bytes reserved for the sentences about embedded images."""

_SCRIPTS = (
    "tables.js", "viewer.js", "copying.js", "address.js", "report.js", "sides.js", "images.js", "controls.js",
)  # fmt: skip
"""Scripts in this order; the last one starts the page."""


def page(
    measurements: Measurements, scores: Scores, folder: ReportFolder, plots: Sequence[Plot],
    facts: Mapping[str, object], choices: Choices,
) -> str:  # fmt: skip
    """Text of report.html in a folder, which holds the ``plots``; ``facts`` are those of every report.

    Images are linked where the run keeps them, below the folder. A page that is a single file holds them itself and
    stays below 8 MB: at most as many images as asked for, those on which the leading models differ most.
    """
    embedded, out = choices.single_file, folder.path
    rows = _rows(measurements)
    files = {name: kept_files(measurements, name, lines) for name, lines in rows.items()}
    kept = {name: found for name, found in files.items() if found}
    a, b, leading = _leaders(measurements, scores)
    start = _opening(measurements, leading)
    columns = columns_of(files, has_hr=measurements.has_hr)
    kinds = measurements.map_kinds
    contents = {
        "scale": measurements.protocol.scale,
        "metrics": [metric.stored() | {"group_place": GROUPS.index(metric.group)} for metric in measurements.metrics],
        "opening": None,
        "compressed": False,
        "settings": [setting.label for setting in measurements.settings],
        "maps": [{"name": one.name, "title": one.title, "unit": one.unit, "upper": one.upper} for one in kinds],
        "columns": [asdict(column) for column in columns],
        "images": _images(measurements, files, columns, rows, folder, kinds, embedded=embedded),
    }
    if start is not None:
        first = {column.setting: place for place, column in enumerate(columns) if not column.sample}
        contents["opening"] = {"image": start.pop("image"), "a": first[a], "b": first[b], **start}
    style, script = source("report.css"), "\n".join(map(source, _SCRIPTS))
    metrics = sorted(measurements.metrics, key=lambda metric: GROUPS.index(metric.group))
    manifests = [asdict(run.folder.manifest) for run in measurements.runs]
    facts = {
        **facts,
        "style": Markup(style),
        "script": Markup(script),
        "hashes": [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)],
        "manifest_texts": [json.dumps(manifest, indent=1, ensure_ascii=False) for manifest in manifests],
        "by_group": metrics,
        "groups": [(name, len(list(found))) for name, found in groupby(metric.group for metric in metrics)],
        "others": [name for name in FILES if not embedded and folder.has(name)],
        "plots": [
            (plot, _svg(folder.read(file)) if embedded else _address(out, out / file))
            for plot in plots
            for file in (f"{FOLDER}/{plot.file}",)
        ],
    }  # fmt: skip
    if not embedded:
        return rendered("report.html.jinja", shown=len(kept), carried="", contents=_json(contents), **facts)
    shell = rendered("report.html.jinja", shown=0, carried="", contents=_json(contents), **facts)
    order = list(dict.fromkeys([*leading, *kept]))
    carried = carry({name: kept[name] for name in order[: choices.most]}, MAILABLE - _SLACK - len(shell.encode()))
    _fill(contents, carried)
    text, shown = _sentences(carried, len(kept)), len(carried.addresses)
    return rendered("report.html.jinja", shown=shown, carried=text, contents=_json(contents), **facts)


def _json(value: object) -> Markup:
    """JSON that can stand in a script element: no ``<`` in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _rows(measurements: Measurements) -> dict[str, dict[int, Row]]:
    """Rows of every measured image by line of the table, in the order of the run."""
    lines = {setting: line for line, setting in enumerate(measurements.settings)}
    rows: dict[str, dict[int, Row]] = {name: {} for name in measurements.images}
    for row in measurements.rows:
        rows[row.image][lines[row.setting]] = row
    return {name: found for name, found in rows.items() if found}


def _images(
    measurements: Measurements, files: dict[str, dict[Column, Path]], columns: Sequence[Column],
    rows: dict[str, dict[int, Row]], folder: ReportFolder, kinds: Sequence[MapKind],
    *, embedded: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    """Size, thumbnail, files, maps and values of every image; without the files if they are to be embedded."""
    # without HR, an output is as large
    pairs = [[found[one] for one in columns if one in found][:2] if LR in found else [] for found in files.values()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = list(pool.map(_size_and_thumbnail, pairs))
    return [
        {
            "name": name,
            **look,
            "files": [None if embedded or c not in found else _address(folder.path, found[c]) for c in columns],
            "maps": {} if embedded else _maps(folder, name, columns, kinds),
            "values": [
                [_rounded(rows[name][line].values.get(metric.name), metric) for metric in measurements.metrics]
                if line in rows[name]
                else None
                for line in range(len(measurements.settings))
            ],
        }
        for (name, found), look in zip(files.items(), looks, strict=True)
    ]


def _fill(contents: dict[str, Any], carried: Carried) -> None:
    """Put embedded images into the contents of a page, which opens with one of them or with none."""
    contents["compressed"] = carried.quality is not None
    for image in contents["images"]:
        addresses = {column.id: address for column, address in carried.addresses.get(image["name"], {}).items()}
        image["files"] = [addresses.get(column["id"]) for column in contents["columns"]]
    if contents["opening"] and contents["opening"]["image"] not in carried.addresses:
        contents["opening"] = None


def _sentences(carried: Carried, kept: int) -> str:
    """Limits of embedded images, for the reader of a page."""
    sentences = []
    if len(carried.addresses) < kept:
        sentences.append(f"This file carries the images of {len(carried.addresses)} of {kept}; the values of all.")
    if not carried.all_samples:
        sentences.append("Of a model that samples it carries the first sample.")
    if carried.quality is not None:
        sentences.append(
            f"Images are compressed here (WebP, quality {carried.quality}; {carried.psnr:.1f} dB or more against the "
            "measured ones). All values are those of the exact images in the run folder."
        )
    return " ".join(sentences)


def _maps(
    folder: ReportFolder, name: str, columns: Sequence[Column], kinds: Sequence[MapKind]
) -> dict[str, list[str | None]]:
    """Addresses of the maps in a folder by kind, one per column; maps are those of a model's first sample."""
    found: dict[str, list[str | None]] = {}
    for kind in kinds:
        files = [map_file(kind, Setting(c.model, c.temperature).folder, name) for c in columns]
        shown = [c.model != "" and not c.sample and folder.has(file) for c, file in zip(columns, files, strict=True)]
        if any(shown):
            found[kind.name] = [quote(file) if there else None for file, there in zip(files, shown, strict=True)]
    return found


def _size_and_thumbnail(pair: Sequence[Path]) -> dict[str, object]:
    """Width and height of the second image, such as HR, and a thumbnail, made of the first if that is large enough."""
    facts: dict[str, object] = {"width": 1, "height": 1, "thumbnail": "data:,"}
    for path in pair:
        with Image.open(path, formats=FORMATS) as file:
            facts |= {"width": file.width, "height": file.height}
            if facts["thumbnail"] == "data:," and (path is pair[-1] or max(file.size) >= THUMBNAIL):
                facts["thumbnail"] = small(file, THUMBNAIL)
    return facts


def _address(out: Path, path: Path) -> str:
    """Address of an image: relative to the page if it lies below it, else its pixels, exactly."""
    if path.is_relative_to(out):
        return quote(path.relative_to(out).as_posix())
    with Image.open(path, formats=FORMATS) as file:
        return exact(file.convert("RGB"))


def _svg(content: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"


def _rounded(value: list[float] | float | None, metric: MetricFacts) -> object:
    """Two decimals more than are printed; numbers that are not finite become text, which JSON lacks a word for."""
    if isinstance(value, list):
        return [_rounded(one, metric) for one in value]
    return value if value is None else round(value, metric.digits + 2) if math.isfinite(value) else str(value)


def _leaders(measurements: Measurements, scores: Scores) -> tuple[int, int, dict[str, tuple[Row, Row]]]:
    """Lines of the runner-up and the leader in perception, or else in the first metric that has a direction.

    Their rows are those of the images that both keep, the image with the largest difference first; none without two
    models.
    """
    directed = [metric for metric in scores.metrics if metric.direction]
    leading = [one for one in directed if one.leads and one.group == "Perception"]
    kept = [
        {row.image: row for row in rows if measurements.pair(row.image) and measurements.outputs(row)}
        for _, rows in groupby(measurements.rows, key=lambda row: row.setting)
    ]
    best: list[int] = []
    for metric in (leading + directed)[:1]:
        cells = scores.column(metric.name)
        best = [line for line in scores.families.models if math.isfinite(cells[line].mean) and kept[line]]
        best.sort(key=lambda line: -metric.direction * cells[line].mean)
    if len(best) < 2:
        return 0, 0, {}
    b, a = best[:2]
    rows = {image: (row, kept[b][image]) for image, row in kept[a].items() if image in kept[b]}
    gaps = {image: abs(mean_of(one, metric) - mean_of(other, metric)) for image, (one, other) in rows.items()}
    order = sorted((image for image in gaps if math.isfinite(gaps[image])), key=lambda image: -gaps[image])
    return a, b, {image: rows[image] for image in order}


def _opening(measurements: Measurements, leading: Mapping[str, tuple[Row, Row]]) -> dict[str, object] | None:
    """First view of a page: where the leaders differ most; None if they share no image.

    It holds the image, the centre of the window as shares of width and height, and the zoom.
    """
    if not leading:
        return None
    image, rows = next(iter(leading.items()))
    try:
        example = Example(measurements, image, rows)
    except ReportError:
        return None  # the page shows what there is
    window = difference_window([example.image(row) for row in rows], example.scale)
    height, width = example.height, example.width
    x, y = (window.x + window.width / 2) / width, (window.y + window.height / 2) / height
    return {"image": image, "x": x, "y": y, "zoom": min(width, height) / window.width}
