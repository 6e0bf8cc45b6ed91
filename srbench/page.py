"""The page of a run: rows, pictures and manifest -> report.html, which opens offline and asks nobody for anything.

Text comes from users (names of pictures and models, licences) and is escaped by Jinja; values and file names reach the
scripts as JSON. A Content Security Policy with the hashes of our style and scripts refuses everything else.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
from markupsafe import Markup
from PIL import Image

from srbench.images import write_whole
from srbench.manifest import read_manifest
from srbench.report import _notes, marks, printed, setting_label
from srbench.results import ResultTable, Row, read_rows

FILE = "report.html"
THUMBNAIL = 96
"""Longest side of a picture in the list, in pixels."""

_SCRIPTS = ("tables.js", "viewer.js", "report.js")

Facts = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """What can be looked at for every picture: LR, HR, the answer of a model or one of its samples."""

    id: str
    """In the address of the page, and unique."""
    title: str
    model: str
    temperature: float | None
    sample: int | None
    """From 0; None for a model with one answer."""
    setting: int | None
    """Place of its model and temperature in the table; None for LR and HR."""
    folder: str
    """Within ``images/``."""
    ending: str
    """Of its files' names, after the name of the picture."""


def write_page(run: Path, *, single_file: bool = False) -> Path:
    """Write report.html into the folder of a run, whole; returns its path.

    The page shows the pictures in ``images/`` beside it. With ``single_file`` it carries them itself, as lossless
    WebP. Raises SRBenchError where the folder is no run, or has no measured rows yet.
    """
    manifest, rows = read_manifest(run), read_rows(run)
    summary = ResultTable.from_run(run).summary()
    style, script = _source("report.css"), "\n".join(map(_source, _SCRIPTS))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("srbench"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("report.html.jinja").render(
        title=f"Super-resolution {manifest['scale']}×: {', '.join(model['label'] for model in manifest['models'])}",
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        pictures=_json(_pictures(run, manifest, rows, single_file)),
        manifest=manifest,
        manifest_text=json.dumps(
            manifest | {"keys": f"{len(manifest['keys'])}, in manifest.json"}, indent=1, ensure_ascii=False
        ),
        measured=len({row.image for row in rows}),
        notes=_notes(manifest, rows, summary),
        summary=_summary(manifest["metrics"], summary),
        plots=[],
        costs=_costs(rows),
    )
    path = run / FILE
    write_whole(path, text.encode())
    return path


def _source(name: str) -> str:
    return (files("srbench") / "templates" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing but this style, these scripts and pictures from beside the page or within it."""

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


def _pictures(run: Path, manifest: Facts, rows: Sequence[Row], embedded: bool) -> Facts:
    """All that the scripts show: columns, and for every picture its files, size, thumbnail and values."""
    images, settings = run / "images", list(dict.fromkeys((row.model, row.temperature) for row in rows))
    by_image: dict[str, dict[int, Row]] = {name: {} for name in manifest["dataset"]["names"]}
    for row in rows:
        by_image.setdefault(row.image, {})[settings.index((row.model, row.temperature))] = row
    columns = _columns(images, settings, rows)
    metrics = [metric["name"] for metric in manifest["metrics"]]
    digits = {metric["name"]: metric["digits"] for metric in manifest["metrics"]}
    pictures = []
    for name, measured in by_image.items():
        if not measured:
            continue
        paths = [images / column.folder / f"{name}{column.ending}" for column in columns]
        pictures.append(
            {
                "name": name,
                **_size_and_thumbnail(images, name),
                "files": [_address(path, run, embedded) if path.exists() else None for path in paths],
                "values": [
                    [_rounded(measured[place].values.get(metric), digits[metric]) for metric in metrics]
                    if place in measured
                    else None
                    for place in range(len(settings))
                ],
            }
        )
    return {
        "scale": manifest["scale"],
        "metrics": manifest["metrics"],
        "settings": [setting_label(model, math.nan if t is None else t) for model, t in settings],
        "columns": [asdict(column) for column in columns],
        "pictures": pictures,
    }


def _columns(images: Path, settings: Sequence[tuple[str, float | None]], rows: Sequence[Row]) -> list[Column]:
    """LR, HR, then models in the order of the table, with every sample that is saved of any picture."""
    columns = [
        Column("lr", "LR", "", None, None, None, "lr", ".png"),
        Column("hr", "HR", "", None, None, None, "hr", ".png"),
    ]
    for place, (model, temperature) in enumerate(settings):
        folder = model if temperature is None else f"{model}-t{temperature:g}"
        label = setting_label(model, math.nan if temperature is None else temperature)
        own = [row for row in rows if (row.model, row.temperature) == (model, temperature)]
        drawn = max(row.samples for row in own)
        if temperature is None and drawn == 1:
            columns.append(Column(folder, label, model, None, None, place, folder, ".png"))
            continue
        for sample in range(drawn):
            ending = f"_sample{sample}.png"
            if any((images / folder / f"{row.image}{ending}").exists() for row in own):
                title = f"{label} #{sample + 1}" if drawn > 1 else label
                columns.append(
                    Column(f"{folder}_{sample + 1}", title, model, temperature, sample, place, folder, ending)
                )
    return columns


def _size_and_thumbnail(images: Path, name: str) -> Facts:
    """Width and height of HR, and a small picture: of LR where that is large enough, which is quicker."""
    facts: Facts = {"width": 1, "height": 1, "thumbnail": "data:,"}
    for kind in ("lr", "hr"):
        path = images / kind / f"{name}.png"
        if not path.exists():
            continue
        with Image.open(path) as file:
            facts |= {"width": file.width, "height": file.height}
            if facts["thumbnail"] == "data:," and (kind == "hr" or max(file.size) >= THUMBNAIL):
                small = file.convert("RGB")
                small.thumbnail((THUMBNAIL, THUMBNAIL))
                facts["thumbnail"] = _data_address(small, quality=70)
    return facts


def _address(path: Path, run: Path, embedded: bool) -> str:
    """Of a picture file, relative to the page; or its pixels, exactly."""
    if not embedded:
        return quote(path.relative_to(run).as_posix())
    with Image.open(path) as file:
        return _data_address(file.convert("RGB"), lossless=True, method=1)


def _data_address(picture: Image.Image, **options: object) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", **options)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _rounded(value: list[float] | float | None, digits: int) -> object:
    """With two decimals more than are printed; infinity is the text "inf", for JSON has none."""
    if isinstance(value, list):
        return [_rounded(one, digits) for one in value]
    if value is None or math.isnan(value):
        return None
    return str(value) if math.isinf(value) else round(value, digits + 2)


def _summary(metrics: Sequence[Facts], summary: pd.DataFrame) -> list[Facts]:
    columns = []
    for metric in metrics:
        values = [float(value) for value in summary[str(metric["name"])].to_list()]
        columns.append(
            [
                {"text": printed(value, metric), "value": "" if math.isnan(value) else value, "mark": mark, "note": ""}
                for value, mark in zip(values, marks(values, metric), strict=True)
            ]
        )
    labels = [setting_label(str(model), float(temperature)) for model, temperature in summary.index.tolist()]
    lines = zip(labels, zip(*columns, strict=True), summary["n"].tolist(), strict=True)
    return [{"label": label, "cells": cells, "n": n} for label, cells, n in lines]


def _costs(rows: Sequence[Row]) -> Facts:
    groups: dict[tuple[str, float | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.model, row.temperature), []).append(row)
    lines = []
    for (model, temperature), group in groups.items():
        memory = [row.peak_memory_mb for row in group if row.peak_memory_mb is not None]
        lines.append(
            [
                setting_label(model, math.nan if temperature is None else temperature),
                max(row.samples for row in group),
                f"{fmean(row.model_seconds for row in group):.2f}",
                f"{fmean(row.metric_seconds for row in group):.2f}",
                f"{max(memory):.0f}" if memory else "",
            ]
        )
    return {"titles": ["model", "samples", "model, s", "metrics, s", "memory, MB"], "lines": lines}
