"""The page of a report: rows, pictures and manifests -> report.html, which opens offline and asks nobody for anything.

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
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup
from PIL import Image

from srbench.facts import Manifest, MetricFacts, setting_folder, setting_label
from srbench.reporting.groups import direction, group_of, place_of
from srbench.reporting.maps import KINDS
from srbench.reporting.merge import Measurements
from srbench.reporting.opening import opening
from srbench.reporting.plots import FOLDER, Plot
from srbench.reporting.ranking import RULE
from srbench.reporting.scores import Scores, header
from srbench.results import Row

MAPS = "maps"
FILES = ("report.md", "table.tex", "table_intervals.tex", "table.csv", "rows.csv")
"""The other files of a report, to which the page links."""
THUMBNAIL = 96
"""Longest side of a picture in the list, in pixels."""

_SCRIPTS = ("tables.js", "viewer.js", "copying.js", "address.js", "report.js")


@dataclass(frozen=True)
class Column:
    """What can be looked at for every picture: LR, HR, the answer of a model or one of its samples."""

    id: str
    """In the address of the page, and unique."""
    title: str
    model: str
    """Empty for LR and HR."""
    temperature: float | None
    sample: int | None
    """From 0; None for a model with one answer."""
    setting: int | None
    """Place of its model and temperature in the table; None for LR and HR."""


LR = Column("lr", "LR", "", None, None, None)
HR = Column("hr", "HR", "", None, None, None)


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
) -> str:
    """The text of report.html in the folder ``out``.

    ``answer`` is what the table says and ``notes`` what has to be known of it, in sentences; ``costs`` the lines of
    time and memory after their headers; ``plots`` those written into ``out``. Images are shown from where the run keeps
    them, below ``out``; ``embedded``, and where they lie elsewhere, the page carries them itself, as lossless WebP and
    without the maps.
    """
    style, script = _source("report.css"), "\n".join(map(_source, _SCRIPTS))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("srbench.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    metrics = measurements.manifest.metrics
    by_group = sorted(range(len(metrics)), key=lambda place: place_of(metrics[place]))
    labels = ", ".join(model.label for model in measurements.models)
    return environment.get_template("report.html.jinja").render(
        title=f"Super-resolution {measurements.protocol.scale}×: {labels}",
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        pictures=_json(_contents(measurements, scores, out, embedded)),
        measurements=measurements,
        protocol=measurements.protocol,
        metrics=measurements.manifest.metrics,
        manifest_texts=[_manifest_text(run.manifest) for run in measurements.runs],
        measured=len({row.image for row in measurements.rows}),
        answer=answer,
        rule=Markup(RULE).format(best=Markup("<b>Bold</b>"), second=Markup("<u>underlined</u>"), less="<"),
        notes=notes,
        scores=scores,
        header=header,
        direction=direction,
        by_group=by_group,
        groups=[(name, len(list(found))) for name, found in groupby(group_of(metrics[place]) for place in by_group)],
        same_n=len({line.images for line in scores.lines}) == 1,
        others=[name for name in FILES if not embedded and (out / name).exists()],
        plots=[(plot, _plot_address(out / FOLDER / plot.file, out, embedded)) for plot in plots],
        costs=costs,
    )


def _source(name: str) -> str:
    return (files("srbench.reporting") / "templates" / name).read_text(encoding="utf-8")


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


def _manifest_text(manifest: Manifest) -> str:
    return json.dumps(asdict(manifest), indent=1, ensure_ascii=False)


def _contents(measurements: Measurements, scores: Scores, out: Path, embedded: bool) -> dict[str, object]:
    """All that the scripts show: columns, and for every picture its files, size, thumbnail and values."""
    rows, metrics = measurements.rows, measurements.manifest.metrics
    settings = list(dict.fromkeys((row.model, row.temperature) for row in rows))
    by_image: dict[str, dict[int, Row]] = {}
    for row in rows:
        by_image.setdefault(row.image, {})[settings.index((row.model, row.temperature))] = row
    saved = {name: _saved(measurements, name, measured) for name, measured in by_image.items()}
    drawn = {column for found in saved.values() for column in found} - {LR, HR}
    columns = [LR, HR, *sorted(drawn, key=lambda column: (column.setting, column.sample))]
    pictures = []
    for name in sorted(by_image, key=measurements.images.index):
        found, measured = saved[name], by_image[name]
        pictures.append(
            {
                "name": name,
                **_size_and_thumbnail([found[column] for column in (LR, HR) if column in found]),
                "files": [_address(found[c], out, embedded) if c in found else None for c in columns],
                "maps": {} if embedded else _maps(out, name, columns),
                "values": [_values(measured.get(place), metrics) for place in range(len(settings))],
            }
        )
    return {
        "scale": measurements.protocol.scale,
        "metrics": [
            asdict(metric) | {"direction": direction(metric), "group_place": place_of(metric)} for metric in metrics
        ],
        "opening": _opening(measurements, scores, columns),
        "settings": [setting_label(*setting) for setting in settings],
        "maps": [asdict(kind) for kind in KINDS],
        "columns": [asdict(column) for column in columns],
        "pictures": pictures,
    }


def _opening(measurements: Measurements, scores: Scores, columns: Sequence[Column]) -> dict[str, object] | None:
    """What is compared at first, by columns."""
    found = opening(measurements, scores)
    if found is None:
        return None
    first = {column.setting: place for place, column in enumerate(columns) if not column.sample}
    return asdict(found) | {"a": first[found.a], "b": first[found.b]}


def _saved(measurements: Measurements, name: str, measured: dict[int, Row]) -> dict[Column, Path]:
    """The files of a picture that are still there."""
    found = dict(zip((LR, HR), measurements.pair(name) or (), strict=False))
    for place, row in measured.items():
        for number, path in enumerate(measurements.outputs(row)):
            found[_column(row, place, number if row.sample.drawn else None)] = path
    return found


def _column(row: Row, place: int, sample: int | None) -> Column:
    name, label = setting_folder(row.model, row.temperature), setting_label(row.model, row.temperature)
    if sample is not None:
        name = f"{name}_{sample + 1}"
        label = f"{label} #{sample + 1}" if row.samples > 1 else label
    return Column(name, label, row.model, row.temperature, sample, place)


def _maps(out: Path, name: str, columns: Sequence[Column]) -> dict[str, list[str | None]]:
    """By kind the map of every column, from those that the report wrote into ``out``; of a model's first sample."""
    found: dict[str, list[str | None]] = {}
    for kind in KINDS:
        paths = [out / MAPS / setting_folder(c.model, c.temperature) / f"{name}_{kind.name}.png" for c in columns]
        shown = [c.model != "" and not c.sample and path.exists() for c, path in zip(columns, paths, strict=True)]
        if any(shown):
            found[kind.name] = [
                _address(path, out, embedded=False) if there else None for path, there in zip(paths, shown, strict=True)
            ]
    return found


def _size_and_thumbnail(pair: Sequence[Path]) -> dict[str, object]:
    """Width and height of HR, and a small picture: of LR where that is large enough, which is quicker."""
    facts: dict[str, object] = {"width": 1, "height": 1, "thumbnail": "data:,"}
    for path in pair:
        with Image.open(path) as file:
            facts |= {"width": file.width, "height": file.height}
            if facts["thumbnail"] == "data:," and (path is pair[-1] or max(file.size) >= THUMBNAIL):
                small = file.convert("RGB")
                small.thumbnail((THUMBNAIL, THUMBNAIL))
                facts["thumbnail"] = _data_address(small, quality=70)
    return facts


def _address(path: Path, out: Path, embedded: bool) -> str:
    """Of a picture file, relative to the page; or its pixels, exactly."""
    if not embedded and path.is_relative_to(out):
        return quote(path.relative_to(out).as_posix())
    with Image.open(path) as file:
        return _data_address(file.convert("RGB"), lossless=True, method=1)


def _plot_address(path: Path, out: Path, embedded: bool) -> str:
    if not embedded:
        return quote(path.relative_to(out).as_posix())
    return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _data_address(picture: Image.Image, **options: object) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", **options)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


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
