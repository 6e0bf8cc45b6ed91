"""The report of a run: rows, pictures and manifest -> report.md, table.csv, picture strips, a table for the terminal.

A pure function of the run's folder: the same rows, manifest and pictures give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import jinja2
import pandas as pd
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from srbench.images import write_whole
from srbench.manifest import read_manifest
from srbench.results import ResultTable, Row, read_rows, write_csv
from srbench.strips import Panel, busiest_window, write_strip

STRIPS = 3
"""How many pictures of the run are shown, spread evenly over the list."""
SHOWN_TEMPERATURE = 0.8
"""Of several temperatures the strips show the nearest to this one, which SRFlow's paper reports."""

Facts = dict[str, Any]
Mark = Literal["", "best", "second"]
_TERMINAL: dict[Mark, str] = {"": "", "best": "bold", "second": "underline"}
_MARKDOWN: dict[Mark, str] = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}


def write_report(run: Path) -> Path:
    """Write report.md, table.csv and strips/ into the folder of a run, each whole; returns report.md.

    Raises SRBenchError where the folder is no run, or has no measured rows yet.
    """
    manifest, rows, results = read_manifest(run), read_rows(run), ResultTable.from_run(run)
    write_csv(results, run / "table.csv")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("srbench"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("report.md.jinja").render(
        manifest=manifest,
        header=_header,
        score_table=_score_table(manifest["metrics"], results.summary()),
        notes=_notes(manifest, rows, results.summary()),
        strips=_write_strips(run, manifest, rows),
        weights_table=_weights_table(manifest["models"]),
        cost_table=_cost_table(rows),
    )
    path = run / "report.md"
    write_whole(path, text.encode())
    return path


def terminal_table(run: Path) -> Table:
    """The table of the report for the terminal: best bold, second underlined.

    Raises SRBenchError where the folder is no run, or has no measured rows yet.
    """
    manifest = read_manifest(run)
    summary = ResultTable.from_run(run).summary()
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, header_style="")
    table.add_column("model", no_wrap=True)
    columns = []
    for metric in manifest["metrics"]:
        # one word a line, so that eight metrics fit 80 columns
        table.add_column(_header(metric).replace(" ", "\n"), justify="right")
        columns.append([Text(text, _TERMINAL[mark]) for text, mark in _column(summary, metric)])
    table.add_column("n", justify="right", no_wrap=True)
    columns.append([Text(str(n)) for n in summary["n"]])
    for label, *cells in zip(_labels(summary), *columns, strict=True):
        table.add_row(label, *cells)
    return table


def marks(values: Sequence[float], metric: Facts) -> list[Mark]:
    """Which cells of a column are best and second, compared as printed.

    Ties share a mark, and after a shared best there is no second. A column without a difference has no marks. No
    value (NaN) takes no part, nor has a spread of 0 where higher is better: that is a model with one answer.
    """
    better = 1 if metric["higher_is_better"] else -1
    ranks = [better * round(value, metric["digits"]) for value in values]
    taking_part = [not math.isnan(rank) and not (better > 0 and rank == 0) for rank in ranks]
    ranked = sorted((rank for rank, part in zip(ranks, taking_part, strict=True) if part), reverse=True)
    if len(values) < 2 or not ranked or (len(ranked) > 1 and ranked[0] == ranked[-1]):
        return [""] * len(values)
    best = ranked[0]
    second = ranked[1] if len(ranked) > 1 and ranked[1] != best else None
    named: dict[float | None, Mark] = {second: "second", best: "best"}
    return [named.get(rank, "") if part else "" for rank, part in zip(ranks, taking_part, strict=True)]


def printed(value: float, metric: Facts) -> str:
    """A value with the decimals that are worth printing; ``inf`` and, where there is none, a dash."""
    return "–" if math.isnan(value) else f"{value:.{metric['digits']}f}"


def setting_label(model: str, temperature: float) -> str:
    """``srflow τ=0.8``; a model without temperature (NaN) has its name alone."""
    return model if math.isnan(temperature) else f"{model} τ={temperature:g}"


def _labels(summary: pd.DataFrame) -> list[str]:
    return [setting_label(str(model), float(temperature)) for model, temperature in summary.index.tolist()]


def _label(row: Row) -> str:
    return setting_label(row.model, math.nan if row.temperature is None else row.temperature)


def _column(summary: pd.DataFrame, metric: Facts) -> list[tuple[str, Mark]]:
    values = [float(value) for value in summary[str(metric["name"])].to_list()]
    return [(printed(value, metric), mark) for value, mark in zip(values, marks(values, metric), strict=True)]


def _header(metric: Facts) -> str:
    return f"{metric['title']} {'↑' if metric['higher_is_better'] else '↓'}"


def _markdown_table(headers: Sequence[str], lines: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A Markdown table that is aligned as plain text too: ``texts`` columns to the left, the others to the right."""
    lines = [[cell.replace("|", "\\|") for cell in cells] for cells in lines]
    columns = list(zip(headers, *lines, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if place < texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if place < texts else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    return "\n".join(line(cells) for cells in [headers, rule, *lines])


def _score_table(metrics: Sequence[Facts], summary: pd.DataFrame) -> str:
    columns = [_labels(summary)]
    for metric in metrics:
        columns.append([_MARKDOWN[mark].format(text) for text, mark in _column(summary, metric)])
    columns.append([str(n) for n in summary["n"]])
    headers = ["model", *map(_header, metrics), "n"]
    return _markdown_table(headers, list(zip(*columns, strict=True)))


def _weights_table(models: Sequence[Facts]) -> str:
    headers = ["model", "licence", "trained on", "sha256", "parameters"]
    lines = []
    for model in models:
        weights = model["weights"]
        if weights is None:
            lines.append([model["label"], "–", "no weights", "–", "–"])
        else:
            facts = [weights["licence"], weights["trained_on"], f"`{weights['sha256']}`"]
            lines.append([model["label"], *facts, f"{weights['parameters']:,}"])
    return _markdown_table(headers, lines, texts=4)


def _cost_table(rows: Sequence[Row]) -> str:
    headers = ["model", "samples", "model, s per picture", "metrics, s per picture", "peak memory, MB"]
    settings: dict[str, list[Row]] = {}
    for row in rows:
        settings.setdefault(_label(row), []).append(row)
    lines = []
    for label, group in settings.items():
        memory = [row.peak_memory_mb for row in group if row.peak_memory_mb is not None]
        lines.append(
            [
                label,
                str(max(row.samples for row in group)),
                f"{fmean(row.model_seconds for row in group):.2f}",
                f"{fmean(row.metric_seconds for row in group):.2f}",
                f"{max(memory):.0f}" if memory else "–",
            ]
        )
    return _markdown_table(headers, lines)


def _notes(manifest: Facts, rows: Sequence[Row], summary: pd.DataFrame) -> list[str]:
    """What a reader must know before comparing two cells: missing pictures, infinite values."""
    planned = len(manifest["dataset"]["names"])
    pictures: dict[str, set[str]] = {
        model["label"]: set() for model in manifest["models"] if all(row.model != model["label"] for row in rows)
    }
    for row in rows:
        pictures.setdefault(_label(row), set()).add(row.image)
    counts = ", ".join(f"{label} {len(measured)}" for label, measured in pictures.items())
    notes = []
    if len(set(map(frozenset, pictures.values()))) > 1:
        notes.append(
            f"**The means are not over the same pictures** and cannot be compared. Measured of {planned}: {counts}."
        )
    elif len(next(iter(pictures.values()))) < planned:
        notes.append(f"Not all of the {planned} pictures are measured: {counts}.")
    notes += [f"Failed: {failure}" for failure in manifest["failures"]]
    counted = zip(_labels(summary), summary["infinite"].tolist(), strict=True)
    infinite = [f"{n} of {label}" for label, n in counted if n]
    if infinite:
        notes.append(f"Pictures with an infinite value (equal to HR), not in the mean: {', '.join(infinite)}.")
    return notes


def _write_strips(run: Path, manifest: Facts, rows: Sequence[Row]) -> list[str]:
    """Write one strip for each of a few pictures, remove those of others; returns the names of the pictures."""
    measured = {row.image for row in rows}
    names = [
        name
        for name in manifest["dataset"]["names"]
        if name in measured and (run / "images" / "hr" / f"{name}.png").exists()
    ]
    count = min(STRIPS, len(names))
    shown = [names[(2 * place + 1) * len(names) // (2 * count)] for place in range(count)]
    for old in (run / "strips").glob("*.png"):
        if old.stem not in shown:
            old.unlink()
    for name in shown:
        _write_strip(run, name, [row for row in rows if row.image == name], manifest["metrics"][0])
    return shown


def _write_strip(run: Path, name: str, rows: Sequence[Row], metric: Facts) -> None:
    """LR, every model at one temperature, HR."""
    pictures = run / "images"
    hr, lr = _open(pictures / "hr" / f"{name}.png"), _open(pictures / "lr" / f"{name}.png")
    scale = hr.width // lr.width
    enlarged = lr.resize(hr.size, Image.Resampling.NEAREST)
    panels = [Panel("LR", f"{lr.width} x {lr.height}, enlarged {scale} times", enlarged)]
    for row in _shown_settings(rows):
        panels += _panels(pictures, row, metric)
    panels.append(Panel("HR", f"{hr.width} x {hr.height}", hr))
    write_strip(run / "strips" / f"{name}.png", panels, busiest_window(hr, scale))


def _shown_settings(rows: Sequence[Row]) -> list[Row]:
    """One row a model: the one whose temperature is nearest to the shown one."""
    nearest: dict[str, Row] = {}
    for row in rows:
        other = nearest.setdefault(row.model, row)
        if row.temperature is not None and other.temperature is not None:
            distance = abs(row.temperature - SHOWN_TEMPERATURE)
            if distance < abs(other.temperature - SHOWN_TEMPERATURE):
                nearest[row.model] = row
    return list(nearest.values())


def _panels(pictures: Path, row: Row, metric: Facts) -> list[Panel]:
    """The one answer of a model, or the two samples that are saved; each with its value of the first column."""
    folder = pictures / (row.model if row.temperature is None else f"{row.model}-t{row.temperature:g}")
    drawn = row.temperature is not None or row.samples > 1
    values = row.values[metric["name"]]
    panels = []
    for sample, ending in enumerate(["_sample0", "_sample1"] if drawn else [""]):
        file = folder / f"{row.image}{ending}.png"
        if not file.exists():
            continue
        notes = [] if row.temperature is None else [f"temperature {row.temperature:g}"]
        notes += [f"sample {sample + 1}"] if drawn else []
        notes += [f"{metric['title']} {printed(values[sample], metric)}"] if isinstance(values, list) else []
        panels.append(Panel(row.model, ", ".join(notes), _open(file)))
    return panels


def _open(path: Path) -> Image.Image:
    with Image.open(path) as file:
        return file.convert("RGB")
