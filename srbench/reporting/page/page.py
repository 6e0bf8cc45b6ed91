"""The page of a report, report.html, which works offline and makes no requests.

Jinja escapes names of images and models, licences and other text from users; values and file names reach the scripts as
JSON. A Content Security Policy with the hashes of our style and scripts blocks everything else.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from srbench.interfaces import GROUPS
from srbench.pages.fragments import in_script
from srbench.reporting.figures.error_maps import kinds_of
from srbench.reporting.figures.first_view import leaders, opening_of
from srbench.reporting.figures.page_images import MAILABLE, Column, Embedded, columns_of, embed, kept_files
from srbench.reporting.figures.plots import FOLDER, Plot
from srbench.reporting.generated_folder import Choices, Draft
from srbench.reporting.page.image_data import image_contents
from srbench.reporting.results import Runs
from srbench.reporting.tables.table import Table
from srbench.reporting.tables.templating import rendered, style_and_script
from srbench.run_folder.measurements import Measurement

_SLACK = 2_000
"""Bytes reserved for the sentences on embedded images."""

_SCRIPTS = (
    "theme.js",
    "tables.js",
    "long_list.js",
    "image_data.js",
    "viewer.js",
    "copying.js",
    "address.js",
    "report.js",
    "strip.js",
    "sides.js",
    "images.js",
    "controls.js",
)
"""Scripts in the order in which they are joined; the last starts the page."""


def page(
    results: Runs,
    table: Table,
    draft: Draft,
    facts: Mapping[str, object],
    choices: Choices,
    copies: Mapping[str, str],
) -> str:
    """Return the text of report.html in a draft, which already has the plots.

    ``facts`` are the values that all templates of a report share; ``copies`` are the texts of its table, by format,
    that the page copies to the clipboard. A page in its run links to the images there, elsewhere it embeds them. A
    single-file page stays below 8 MB: it embeds at most as many as ``choices`` say, those on which the leading models
    differ most.
    """
    embedded = choices.single_file

    def source(plot: Plot) -> str:
        """Return the address of the file of a plot, or the file itself as a ``data:`` address."""
        file = f"{FOLDER}/{plot.file}"
        svg = base64.b64encode(draft.read(file)).decode() if embedded else ""
        return f"data:image/svg+xml;base64,{svg}" if embedded else quote(file)

    rows = _rows(results)
    files = {name: kept_files(results, name, lines) for name, lines in rows.items()}
    kept = {name: by_column for name, by_column in files.items() if by_column}
    lines, leading = leaders(results, table)
    opening = opening_of(results, leading)
    columns = columns_of(results, files)
    of_images = [metric for metric in table.columns if metric.is_of_images]
    contents = {
        "scale": results.protocol.scale,
        "metrics": [metric.stored() | {"group_place": GROUPS.index(metric.group)} for metric in of_images],
        "opening": None,
        "compressed": False,
        "copies": copies,
        "settings": [setting.label for setting in results.settings],
        "competing": [index for index, line in enumerate(table.lines) if not line.is_variant],
        "projected": [index for index, line in enumerate(table.lines) if line.is_projected],
        "maps": [
            {"name": kind.name, "title": kind.title, "unit": kind.unit, "upper": kind.upper}
            for kind in kinds_of(results)
        ],
        "columns": [asdict(column) for column in columns],
        "images": image_contents(results, of_images, files, columns, rows, None if embedded else draft),
    }
    if opening is not None:
        image = kept[opening.image]
        there = {place: column for place, column in enumerate(columns) if not column.sample and column in image}
        first = {column.setting: place for place, column in there.items()}  # the key None is HR
        a, b = (first[line] for line in (None, *lines)[-2:])
        contents["opening"] = {"image": opening.image, "a": a, "b": b, **opening.view}
    metrics = sorted(table.columns, key=lambda metric: GROUPS.index(metric.group))
    manifests = [asdict(run.folder.manifest) for run in results.runs]
    facts = {
        **facts,
        **style_and_script(["report.css"], _SCRIPTS),
        "manifest_texts": [json.dumps(manifest, indent=1, ensure_ascii=False) for manifest in manifests],
        "by_group": metrics,
        "groups": [(name, len(list(group))) for name, group in groupby(metric.group for metric in metrics)],
        "others": [name for name in draft.listing.files if not embedded and "/" not in name],
        "source": source,
    }
    if not embedded:
        return rendered("report.html.jinja", shown=len(kept), limits="", contents=_json(contents), **facts)
    shell = rendered("report.html.jinja", shown=0, limits="", contents=_json(contents), **facts)
    order = list(dict.fromkeys([*leading, *kept]))
    images = embed({name: kept[name] for name in order[: choices.most]}, MAILABLE - _SLACK - len(shell.encode()))
    _fill(contents, columns, images)
    text, shown = _sentences(images, len(kept)), len(images.addresses)
    return rendered("report.html.jinja", shown=shown, limits=text, contents=_json(contents), **facts)


def _json(value: object) -> Markup:
    return Markup(in_script(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))))


def _rows(results: Runs) -> dict[str, dict[int, Measurement]]:
    """Return the rows of every measured image by index in the table, in the order of the run."""
    lines = {setting: line for line, setting in enumerate(results.settings)}
    rows: dict[str, dict[int, Measurement]] = {name: {} for name in results.images}
    for row in results.measurements:
        rows[row.image][lines[row.setting]] = row
    return {name: by_line for name, by_line in rows.items() if by_line}


def _fill(contents: dict[str, Any], columns: Sequence[Column], images: Embedded) -> None:
    """Insert embedded images into the contents of a page; drop the first view if its image is not embedded."""
    contents["compressed"] = images.quality is not None
    files = dict(zip(columns, contents["images"]["files"], strict=True))
    for place, name in enumerate(contents["images"]["names"]):
        for column, address in images.addresses.get(name, {}).items():
            files[column][place] = address
    if contents["opening"] and contents["opening"]["image"] not in images.addresses:
        contents["opening"] = None


def _sentences(images: Embedded, kept: int) -> str:
    """Return sentences on the limits of embedded images."""
    sentences = []
    if len(images.addresses) < kept:
        sentences.append(f"This file includes {len(images.addresses)} of {kept} images, and the values of all.")
    if not images.all_samples:
        sentences.append("Of models that sample, it includes only the first sample.")
    if images.quality is not None:
        sentences.append(
            f"Images are compressed here (WebP, quality {images.quality}); values were measured on the lossless images "
            "in the run folder."
        )
    return " ".join(sentences)
