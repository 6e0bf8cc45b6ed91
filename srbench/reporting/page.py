"""The page of a report: rows, images and manifests -> report.html, which opens offline and asks nobody for anything.

Text comes from users (names of images and models, licences) and is escaped by Jinja; values and file names reach the
scripts as JSON. A Content Security Policy with the hashes of our style and scripts refuses everything else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup
from PIL import Image

from srbench.benchmark.error_maps import MapKind, kinds_of
from srbench.interfaces import GROUPS, MetricFacts
from srbench.reporting.columns import HR, LR, Column, columns_of, kept_files
from srbench.reporting.inside import MAILABLE, Carried, carry, exact, small
from srbench.reporting.merge import Measurements
from srbench.reporting.opening import Opening, most_different, opening
from srbench.reporting.plots import FOLDER, Plot
from srbench.reporting.ranking import RULE
from srbench.reporting.scores import Scores, header
from srbench.run_folder.protocol import Manifest, setting_folder, setting_label
from srbench.run_folder.results import Row

MAPS = "maps"
FILES = ("report.md", "table.tex", "table_intervals.tex", "table.csv", "rows.csv")
"""The other files of a report, to which the page links."""
THUMBNAIL = 96
"""Longest side of an image in the list, in pixels."""
_SLACK = 2_000
"""Bytes for what a page says of the images that it carries."""

_SCRIPTS = (
    "tables.js", "viewer.js", "copying.js", "address.js", "report.js", "sides.js", "images.js", "controls.js",
)  # fmt: skip
"""In this order; the last starts the page."""


def page(
    measurements: Measurements,
    scores: Scores,
    out: Path,
    *,
    answer: Sequence[str],
    notes: Sequence[str],
    costs: Sequence[Sequence[str]],
    plots: Sequence[Plot],
    embedded: bool,
    most: int | None = None,
) -> str:
    """The text of report.html in the folder ``out``.

    ``answer`` is what the table says and ``notes`` what has to be known of it, in sentences; ``costs`` the lines of
    time and memory after their headers; ``plots`` those written into ``out``. Images are shown from where the run keeps
    them, below ``out``. ``embedded``, the page carries the images itself and is below 8 MB: those of ``most`` images
    at most, the ones on which the leading models differ most.
    """
    files = _files(measurements)
    kept = {name: found for name, found in files.items() if found}
    order = [name for name in most_different(measurements, scores) if name in kept]
    order += [name for name in kept if name not in order]
    start = opening(measurements, scores)
    contents = _contents(measurements, files, start, out, embedded)
    style, script = _source("report.css"), "\n".join(map(_source, _SCRIPTS))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("srbench.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    metrics = measurements.manifest.metrics
    by_group = sorted(range(len(metrics)), key=lambda place: GROUPS.index(metrics[place].group))
    labels = ", ".join(model.label for model in measurements.models)
    facts = {
        "title": f"Super-resolution {measurements.protocol.scale}×: {labels}",
        "policy": _policy(style, script),
        "style": Markup(style),
        "script": Markup(script),
        "measurements": measurements,
        "protocol": measurements.protocol,
        "metrics": metrics,
        "manifest_texts": [_manifest_text(run.manifest) for run in measurements.runs],
        "measured": len({row.image for row in measurements.rows}),
        "answer": answer,
        "rule": Markup(RULE).format(best=Markup("<b>Bold</b>"), second=Markup("<u>underlined</u>"), less="<"),
        "notes": notes,
        "scores": scores,
        "header": header,
        "by_group": by_group,
        "groups": [(name, len(list(found))) for name, found in groupby(metrics[place].group for place in by_group)],
        "same_n": len({line.images for line in scores.lines}) == 1,
        "others": [name for name in FILES if not embedded and (out / name).exists()],
        "plots": [(plot, _plot_address(out / FOLDER / plot.file, out, embedded)) for plot in plots],
        "costs": costs,
    }
    template = environment.get_template("report.html.jinja")
    if not embedded:
        return template.render(facts | {"shown": len(kept), "carried": "", "contents": _json(contents)})
    shell = template.render(facts | {"shown": 0, "carried": "", "contents": _json(contents)})
    carried = carry({name: kept[name] for name in order[:most]}, MAILABLE - _SLACK - len(shell.encode()))
    _fill(contents, carried, start)
    text = _said(carried, len(kept))
    return template.render(facts | {"shown": len(carried.addresses), "carried": text, "contents": _json(contents)})


def _source(name: str) -> str:
    return (files("srbench.reporting") / "templates" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing but this style, these scripts and images from beside the page or within it."""

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; img-src 'self' file: data:; style-src {source(style)}; script-src {source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(value: object) -> Markup:
    """JSON that can stand in a script element: no ``<`` in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _manifest_text(manifest: Manifest) -> str:
    return json.dumps(asdict(manifest), indent=1, ensure_ascii=False)


def _files(measurements: Measurements) -> dict[str, dict[Column, Path]]:
    """The kept files of every measured image, in the order of the run."""
    by_image = _by_image(measurements)
    names = sorted(by_image, key=measurements.images.index)
    return {name: kept_files(measurements, name, by_image[name]) for name in names}


def _by_image(measurements: Measurements) -> dict[str, dict[int, Row]]:
    """The rows of every image, by their place in the table."""
    settings = list(dict.fromkeys((row.model, row.temperature) for row in measurements.rows))
    by_image: dict[str, dict[int, Row]] = {}
    for row in measurements.rows:
        by_image.setdefault(row.image, {})[settings.index((row.model, row.temperature))] = row
    return by_image


def _contents(
    measurements: Measurements, files: dict[str, dict[Column, Path]], start: Opening | None, out: Path, embedded: bool
) -> dict[str, Any]:
    """All that the scripts show: columns, and for every image its files, size, thumbnail and values.

    ``embedded``, the files are left out.
    """
    rows, metrics = _by_image(measurements), measurements.manifest.metrics
    kinds = kinds_of(metrics)
    settings = list(dict.fromkeys((row.model, row.temperature) for row in measurements.rows))
    columns = columns_of(files)
    pairs = [[found[column] for column in (LR, HR) if column in found] for found in files.values()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = list(pool.map(_size_and_thumbnail, pairs))
    return {
        "scale": measurements.protocol.scale,
        "metrics": [metric.stored() | {"group_place": GROUPS.index(metric.group)} for metric in metrics],
        "opening": _opening(start, columns),
        "compressed": False,
        "settings": [setting_label(*setting) for setting in settings],
        "maps": [{"name": one.name, "title": one.title, "unit": one.unit, "upper": one.upper} for one in kinds],
        "columns": [asdict(column) for column in columns],
        "images": [
            {
                "name": name,
                **look,
                "files": [None if embedded or c not in found else _address(found[c], out) for c in columns],
                "maps": {} if embedded else _maps(out, name, columns, kinds),
                "values": [_values(rows[name].get(place), metrics) for place in range(len(settings))],
            }
            for (name, found), look in zip(files.items(), looks, strict=True)
        ],
    }


def _fill(contents: dict[str, Any], carried: Carried, start: Opening | None) -> None:
    """Put the carried images into the contents of a page; it opens with none that it does not carry."""
    contents["compressed"] = carried.quality is not None
    for image in contents["images"]:
        addresses = {column.id: address for column, address in carried.addresses.get(image["name"], {}).items()}
        image["files"] = [addresses.get(column["id"]) for column in contents["columns"]]
    if start is not None and start.image not in carried.addresses:
        contents["opening"] = None


def _said(carried: Carried, kept: int) -> str:
    """What a reader has to know of carried images."""
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


def _opening(found: Opening | None, columns: Sequence[Column]) -> dict[str, object] | None:
    """What is compared at first, by columns."""
    if found is None:
        return None
    first = {column.setting: place for place, column in enumerate(columns) if not column.sample}
    return asdict(found) | {"a": first[found.a], "b": first[found.b]}


def _maps(out: Path, name: str, columns: Sequence[Column], kinds: Sequence[MapKind]) -> dict[str, list[str | None]]:
    """By kind the map of every column, from those that the report wrote into ``out``; of a model's first sample."""
    found: dict[str, list[str | None]] = {}
    for kind in kinds:
        paths = [out / MAPS / setting_folder(c.model, c.temperature) / f"{name}_{kind.name}.png" for c in columns]
        shown = [c.model != "" and not c.sample and path.exists() for c, path in zip(columns, paths, strict=True)]
        if any(shown):
            found[kind.name] = [
                _address(path, out) if there else None for path, there in zip(paths, shown, strict=True)
            ]
    return found


def _size_and_thumbnail(pair: Sequence[Path]) -> dict[str, object]:
    """Width and height of HR, and a small image: of LR where that is large enough, which is quicker."""
    facts: dict[str, object] = {"width": 1, "height": 1, "thumbnail": "data:,"}
    for path in pair:
        with Image.open(path) as file:
            facts |= {"width": file.width, "height": file.height}
            if facts["thumbnail"] == "data:," and (path is pair[-1] or max(file.size) >= THUMBNAIL):
                facts["thumbnail"] = small(file, THUMBNAIL)
    return facts


def _address(path: Path, out: Path) -> str:
    """Of an image file below the page, relative to it; of another one its pixels, exactly."""
    if path.is_relative_to(out):
        return quote(path.relative_to(out).as_posix())
    with Image.open(path) as file:
        return exact(file.convert("RGB"))


def _plot_address(path: Path, out: Path, embedded: bool) -> str:
    if not embedded:
        return quote(path.relative_to(out).as_posix())
    return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _values(row: Row | None, metrics: Sequence[MetricFacts]) -> list[object] | None:
    """One entry a metric: a number for each sample, or one of the set."""
    if row is None:
        return None
    return [_rounded(row.values.get(metric.name), metric.digits) for metric in metrics]


def _rounded(value: list[float] | float | None, digits: int) -> object:
    """With two decimals more than are printed; what is not finite is text, for JSON has no word for it."""
    if isinstance(value, list):
        return [_rounded(one, digits) for one in value]
    return value if value is None else round(value, digits + 2) if math.isfinite(value) else str(value)
