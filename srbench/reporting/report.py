"""The report of one run, or of several in one table: rows, images, manifests -> Markdown, HTML, LaTeX, CSV.

A pure function of the folders: the same rows, manifests and images give the same bytes.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import jinja2

from srbench.benchmark.error_maps import evenly
from srbench.interfaces import MetricFacts, Progress, silent
from srbench.reporting import ReportError
from srbench.reporting.answer import answer
from srbench.reporting.files import ReportFolder
from srbench.reporting.image_files import write_images
from srbench.reporting.latex import latex_table
from srbench.reporting.merge import Measurements, read_runs
from srbench.reporting.notes import notes_of
from srbench.reporting.page import page
from srbench.reporting.plots import FOLDER, Plot, write_plots
from srbench.reporting.published import PublishedTable, published_rows
from srbench.reporting.ranking import RULE, Mark
from srbench.reporting.scores import Scores, header, score
from srbench.run_folder.folder import writing
from srbench.run_folder.protocol import ModelFacts, setting_folder, setting_label
from srbench.run_folder.results import Row, csv_texts
from srbench.system import markdown
from srbench.system.file_names import unknown

FORMATS = ("md", "html", "tex", "csv")
WAIT = 10
"""Seconds that a report waits for somebody else who writes into the folder of the run."""
EMBEDDED = 3
"""How many images of the run report.md shows, spread evenly over the list."""

_MARKDOWN: dict[Mark, str] = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}


@dataclass(frozen=True)
class Report:
    """What was written, and the table of it."""

    files: tuple[Path, ...]
    """The files to open, one a format at most, in the order of the formats."""
    scores: Scores
    answer: tuple[str, ...]
    """What the table says, in two or three sentences."""
    moved: tuple[tuple[Path, Path], ...]
    """Files of somebody else that were in the way: where they were, where they are now."""


def write_report(
    folders: Sequence[Path],
    formats: Sequence[str] = FORMATS,
    out: Path | None = None,
    *,
    single_file: bool = False,
    most: int | None = None,
    baseline: str | None = None,
    published: Sequence[PublishedTable] | None = None,
    progress: Progress = silent,
) -> Report:
    """Write the report of the runs in ``folders`` into the folder ``out``; of one run, into its own folder.

    ``md`` is report.md with plots and images, ``html`` report.html, which shows the images where they are or, as
    ``single_file``, carries them, of ``most`` at most, and is below 8 MB; ``tex`` is table.tex and, with intervals,
    table_intervals.tex; ``csv`` is table.csv and rows.csv; each file is written whole.
    Rows of ``published`` tables stand beneath those measured, where data, scale and protocol agree.
    ``progress`` is told of every image whose strips, grids and maps are made.
    Differences are plotted from ``baseline``, named ``bicubic`` or ``srflow-t0.8``; by default the first row.
    Raises ReportError for an unknown format and for several runs without ``out``, ReportError where their protocols
    disagree, SRBenchError where a folder is no run, or has no measured rows yet.
    """
    for name in formats:
        if name not in FORMATS:
            raise ReportError(f"unknown format {name!r}; choose from {', '.join(FORMATS)}")
    measurements = read_runs(folders)
    if out is None and len(measurements.runs) > 1:
        raise ReportError("several runs have no folder in common; name one for the report with --out")
    own = measurements.runs[0].path
    # Into its own folder only while nobody writes there.
    with writing(own, WAIT) if out is None or out.resolve() == own.resolve() else nullcontext():
        return _write(
            measurements,
            formats,
            ReportFolder(out or own),
            baseline,
            published,
            progress,
            single_file=single_file,
            most=most,
        )


THREADS_MAY_PARSE = sys.version_info >= (3, 12)
"""In Python 3.11, ``ast.parse`` of two threads at once fails now and then (CPython issue 106905; seen on 3.11.7, not on
3.12.1): here that of matplotlib, which reads its styles with it, that of torch, and our own of ``source.py``."""
_PARTS = {
    "md": ("report.md", "strips/", "grids/", "maps/", "sheets/"),
    "html": ("report.html",),
    "tex": ("table.tex", "table_intervals.tex"),
    "csv": ("table.csv", "rows.csv"),
}
"""What belongs to a format, by the beginnings of names."""


def _baseline(scores: Scores, name: str | None) -> int:
    """The line of the table that a user means; the first where none is named."""
    names = [
        setting_folder(line.model, None if math.isnan(line.temperature) else line.temperature) for line in scores.lines
    ]
    if name is not None and name not in names:
        raise ReportError(unknown("baseline", name, names))
    return names.index(name) if name else 0


def _write(
    measurements: Measurements, formats: Sequence[str], out: ReportFolder, baseline: str | None,
    published: Sequence[PublishedTable] | None, progress: Progress, *, single_file: bool, most: int | None,
) -> Report:  # fmt: skip
    table = measurements.table()
    summary = table.summary()
    scores = score(table, summary, measurements.manifest.metrics)
    if published is not None:
        scores = replace(scores, published=published_rows(measurements.manifest, scores.metrics, published))
    notes = notes_of(measurements, scores)
    written: dict[str, Path] = {}
    plots: list[Plot] = []
    illustrated: list[str] = []
    with ThreadPoolExecutor(1) as beside:  # plots leave cores to the images, and images the interpreter to the plots
        if {"md", "html"} & set(formats):
            parsed, first = threading.Event(), _baseline(scores, baseline)
            drawn = beside.submit(write_plots, scores, table, measurements.models, out, first, parsed.set)
            drawn.add_done_callback(lambda _: parsed.set())
            if not THREADS_MAY_PARSE:
                parsed.wait()
        if "md" in formats:
            illustrated = write_images(measurements, out, progress)
        if {"md", "html"} & set(formats):
            plots = drawn.result()
    if "md" in formats:
        text = _report(measurements, scores, notes, plots, illustrated)
        written["md"] = out.write("report.md", text.encode())
    if "tex" in formats:
        written["tex"] = out.write("table.tex", latex_table(scores, measurements.manifest, intervals=False).encode())
        out.write("table_intervals.tex", latex_table(scores, measurements.manifest, intervals=True).encode())
    if "csv" in formats:
        texts = csv_texts(table, summary, measurements.manifest.metrics, measurements.protocol)
        written["csv"], _ = [out.write(name, text.encode()) for name, text in texts.items()]
    if "html" in formats:  # last, as it links to the others
        costs = _costs(measurements.rows)
        text = page(
            measurements, scores, out.path, answer=answer(scores), notes=notes, costs=costs, plots=plots,
            embedded=single_file, most=most,
        )  # fmt: skip
        written["html"] = out.write("report.html", text.encode())
    others = [part for name, parts in _PARTS.items() if name not in formats for part in parts]
    out.finish(kept=tuple(others if plots else [*others, f"{FOLDER}/"]))
    files = tuple(written[name] for name in FORMATS if name in written)
    return Report(files, scores, tuple(answer(scores)), tuple(sorted(out.moved)))


def _report(
    measurements: Measurements, scores: Scores, notes: Sequence[str], plots: Sequence[Plot], illustrated: Sequence[str]
) -> str:
    costs = _costs(measurements.rows)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("srbench.reporting"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"escape": markdown.escape, "code": markdown.code, "block": markdown.block}
    return environment.get_template("report.md.jinja").render(
        measurements=measurements,
        protocol=measurements.protocol,
        metrics=measurements.manifest.metrics,
        header=header,
        image=markdown.image,
        answer=answer(scores),
        published=scores.published,
        rule=RULE.format(best="**Bold**", second="<u>underlined</u>", less="<"),
        score_table=_score_table(scores),
        interval_table=_interval_table(scores),
        notes=notes,
        plots=plots,
        illustrated=illustrated,
        embedded=evenly(illustrated, EMBEDDED),
        weights_table=_weights_table(measurements.models),
        cost_table=markdown.table(costs[0], [[markdown.escape(label), *numbers] for label, *numbers in costs[1:]]),
    )


def _header(metric: MetricFacts) -> str:
    return markdown.escape(header(metric))


def _score_table(scores: Scores) -> str:
    """A line of means for every row."""
    lines = []
    for line in scores.lines:
        means = [_MARKDOWN[cell.mark].format(cell.text) for cell in line.cells]
        lines.append([markdown.escape(line.label), *means, str(line.images)])
    for row in scores.published.lines:
        texts = (row.label, *(cell.text for cell in row.cells), str(row.images))
        lines.append([f"*{markdown.escape(text)}*" for text in texts])
    return markdown.table(["model", *map(_header, scores.metrics), "n"], lines)


def _interval_table(scores: Scores) -> str:
    """The 95 % intervals of the means; empty where there is none."""
    if not any(cell.interval for line in scores.lines for cell in line.cells):
        return ""
    lines = [[markdown.escape(line.label), *(cell.interval for cell in line.cells)] for line in scores.lines]
    return markdown.table(["model", *map(_header, scores.metrics)], lines)


def _weights_table(models: Sequence[ModelFacts]) -> str:
    headers = ["model", "licence", "trained on", "sha256", "parameters"]
    lines = []
    for model in models:
        weights = model.weights
        if weights is None:
            lines.append([markdown.escape(model.label), "–", "no weights", "–", "–"])
        else:
            facts = [markdown.escape(text) for text in (model.label, weights.licence, weights.trained_on)]
            lines.append([*facts, markdown.code(weights.sha256), _count(weights.parameters)])
    return markdown.table(headers, lines, texts=4)


def _count(parameters: int | None) -> str:
    return "unknown" if parameters is None else f"{parameters:,}"


def _costs(rows: Sequence[Row]) -> list[list[str]]:
    """Time and memory: a line a model and temperature, under a line of headers."""
    settings: dict[str, list[Row]] = {}
    for row in rows:
        settings.setdefault(setting_label(row.model, row.temperature), []).append(row)
    lines = [["model", "samples", "seconds per image", "metrics, seconds", "peak memory, MB"]]
    for label, group in settings.items():
        memory = [row.sample.peak_memory_mb for row in group if row.sample.peak_memory_mb is not None]
        lines.append(
            [
                label,
                str(max(row.samples for row in group)),
                f"{fmean(row.sample.seconds / row.samples for row in group):.2f}",
                f"{fmean(row.metric_seconds for row in group):.2f}",
                f"{max(memory):.0f}" if memory else "–",
            ]
        )
    return lines
