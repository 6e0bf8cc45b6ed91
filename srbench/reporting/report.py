"""Report of one run, or of several in one table: Markdown, HTML, LaTeX and CSV.

A pure function of the folders: the same rows, manifests and images give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from srbench.benchmark.error_maps import evenly
from srbench.interfaces import Progress, silent
from srbench.pages import markdown
from srbench.reporting import ReportError
from srbench.reporting.answer import anchor, answer
from srbench.reporting.figures.image_files import write_images
from srbench.reporting.figures.plots import FOLDER, Plot, write_plots
from srbench.reporting.files import Choices, Origin, ReportFolder, reporting
from srbench.reporting.latex import latex_table
from srbench.reporting.measurements import Measurements, read_runs
from srbench.reporting.notes import notes_of
from srbench.reporting.page.page import page
from srbench.reporting.published import published_rows, read_tables
from srbench.reporting.rendering import rendered
from srbench.reporting.scores import MARKDOWN, Line, Scores, header, score
from srbench.reporting.votes import vote_lines, votes_of
from srbench.run_folder.manifest import is_run
from srbench.run_folder.results import Row, csv_texts
from srbench.voting.words import sentence
from srbench.words import unknown

_PARTS = {
    "md": ("report.md", "strips/", "grids/", "maps/", "sheets/"),
    "html": ("report.html",),
    "tex": ("table.tex", "table_intervals.tex"),
    "csv": ("table.csv", "rows.csv"),
}
"""Files and folders of every format; the first one is to be opened."""
FORMATS = tuple(_PARTS)
EMBEDDED = 3
"""Images of the run in report.md, spread evenly over the list."""


@dataclass(frozen=True)
class Report:
    """Files that were written, and their table."""

    files: list[Path]
    """Files to open, at most one per format, in the order of the formats."""
    scores: Scores
    answer: list[str]
    """Result in two or three sentences."""
    moved: list[tuple[Path, Path]]
    """Other people's files that were in the way: old and new path."""


def write_report(
    folders: Sequence[Path],
    formats: Sequence[str] = FORMATS,
    out: Path | None = None,
    *,
    single_file: bool = False,
    most: int | None = None,
    baseline: str | None = None,
    published: bool = False,
    progress: Progress = silent,
) -> Report:
    """Write the report of the runs in ``folders`` into the folder ``out``, by default that of the only run.

    ``md`` is report.md with plots and images; ``html`` is report.html, which links the images or, as ``single_file``,
    embeds those of at most ``most`` images and stays below 8 MB; ``tex`` is table.tex and, with intervals,
    table_intervals.tex; ``csv`` is table.csv and rows.csv. Every file is written whole.
    ``published`` adds rows of published tables beneath the measured ones if data, scale and protocol agree.
    Another process may be writing rows meanwhile: the report shows those that were there when it began.
    ``progress`` is called for every image whose strips, grids and maps are made.
    Differences are plotted from ``baseline``, such as ``bicubic`` or ``srflow-t0.8``; by default the first row.
    Raises ReportError for an unknown format or baseline, for several runs without ``out``, and if their protocols
    disagree; SRBenchError if a folder is no run or has no measured rows yet.
    """
    if others := [name for name in formats if name not in FORMATS]:
        raise ReportError(f"unknown format {others[0]!r}; choose from {', '.join(FORMATS)}")
    choices = Choices(single_file, most, baseline, published)
    origin = Origin.of(folders[0], folders[:1], choices) if len(folders) == 1 else None
    measurements = read_runs(folders)
    if out is None and len(measurements.runs) > 1:
        raise ReportError("several runs have no folder in common; name one for the report with --out")
    own = measurements.runs[0].folder.path
    place = own if out is None or out.resolve() == own.resolve() else out
    if is_run(place) and (place is not own or len(measurements.runs) > 1):
        raise ReportError(f"{place}: a run, which has a report of its own; choose another --out")
    with reporting(own) if place is own else nullcontext(), ReportFolder(place) as folder:
        scores, sentences = make_report(measurements, folder, choices, formats, progress, origin)
    files = [folder.path / parts[0] for name, parts in _PARTS.items() if name in formats]
    return Report(files, scores, sentences, sorted(folder.moved))


def formats_in(folder: Path) -> list[str]:
    """The formats of the report in a folder."""
    return [name for name, parts in _PARTS.items() if (folder / parts[0]).is_file()]


def make_report(
    measurements: Measurements,
    folder: ReportFolder,
    choices: Choices,
    formats: Sequence[str] = FORMATS,
    progress: Progress = silent,
    origin: Origin | None = None,
) -> tuple[Scores, list[str]]:
    """Make all files of a report with the arguments of ``write_report``; returns its table and the answer in words."""
    table = measurements.table()
    summary = table.summary()
    scores = score(table, summary, measurements.metrics, measurements.models)
    if choices.published:
        scores = replace(scores, published=published_rows(measurements.manifest, scores.metrics, read_tables()))
    votes, unshown = votes_of(measurements)
    scores = replace(scores, votes=votes)
    sentences = [*answer(scores), *anchor(measurements), *([sentence(votes)] if votes else [])]
    facts = {
        "measurements": measurements,
        "protocol": measurements.protocol,
        "metrics": measurements.metrics,
        "scores": scores,
        "answer": sentences,
        "notes": [*notes_of(measurements, scores), *([unshown] if unshown else [])],
        "votes": vote_lines(votes),
        "costs": _costs(measurements.rows),
    }
    folder.kept = tuple(part for name, parts in _PARTS.items() if name not in formats for part in parts)
    plots: list[Plot] = []
    illustrated: list[str] = []
    if {"md", "html"} & set(formats):
        illustrate = partial(write_images, measurements, folder, progress) if "md" in formats else list
        first = _baseline(scores, choices.baseline)
        plots, illustrated = write_plots(scores, table, measurements.models, folder, first, illustrate)
    else:
        folder.kept += (f"{FOLDER}/",)
    texts = {}
    if "md" in formats:
        facts["sheets"] = [name for name in evenly(illustrated, EMBEDDED) if folder.has(f"sheets/{name}.png")]
        texts["report.md"] = _markdown(measurements, scores, plots, illustrated, facts)
    if "tex" in formats:
        texts["table.tex"] = latex_table(scores, measurements.manifest, intervals=False)
        texts["table_intervals.tex"] = latex_table(scores, measurements.manifest, intervals=True)
    if "csv" in formats:
        texts |= csv_texts(table, summary, measurements.metrics, measurements.protocol, scores.family_columns)
    for name, text in texts.items():
        folder.write(name, text.encode())
    if "html" in formats:  # last, as it links to the others
        text = page(measurements, scores, folder, plots, facts, choices)
        folder.write("report.html", text.encode())
    folder.finish(origin)
    return scores, sentences


def _baseline(scores: Scores, name: str | None) -> int:
    names = [line.setting.folder for line in scores.lines]
    if name is not None and name not in names:
        raise ReportError(unknown("baseline", name, names))
    return names.index(name) if name else 0


def _markdown(
    measurements: Measurements,
    scores: Scores,
    plots: Sequence[Plot],
    illustrated: Sequence[str],
    facts: Mapping[str, Any],
) -> str:
    headers, *lines = facts["costs"]
    text = rendered(
        "report.md.jinja",
        **facts,
        score_table=score_table(scores),
        interval_table=interval_table(scores),
        plots=plots,
        illustrated=illustrated,
        embedded=evenly(illustrated, EMBEDDED),
        cost_table=markdown.table(headers, [[markdown.escape(label), *numbers] for label, *numbers in lines]),
    )
    return f"{text}\n"


def score_table(scores: Scores, *, variants: bool = True) -> str:
    """Table of means in Markdown, with marks; ``variants`` and published rows stand below the rows that compete."""
    lines = [_scored(line, scores) for line in scores.competing]
    if variants and scores.variants:
        empty = [""] * (len(scores.metrics) + len(scores.last_columns))
        lines += [["*variants*", *empty], *(_scored(line, scores) for line in scores.variants)]
    lines += [[f"*{markdown.escape(text)}*" for text in texts] for texts in scores.published_texts]
    return markdown.table(["model", *_headers(scores), *scores.last_columns], lines)


def _scored(line: Line, scores: Scores) -> list[str]:
    means = [MARKDOWN[cell.mark].format(cell.shown) for cell in line.cells.values()]
    return [markdown.escape(line.label), *means, *scores.last_cells(line)]


def interval_table(scores: Scores) -> str:
    """Table of the 95 % intervals of the means; empty if there are none."""
    votes = ["votes"] if scores.votes else []
    lines = [
        [markdown.escape(line.label), *(cell.interval for cell in line.cells.values())]
        + [scores.vote_of(line)[1] for _ in votes]
        for line in (*scores.competing, *scores.variants)
    ]
    return markdown.table(["model", *_headers(scores), *votes], lines) if any(any(line[1:]) for line in lines) else ""


def _headers(scores: Scores) -> list[str]:
    return [markdown.escape(header(metric)) for metric in scores.metrics]


def _costs(rows: Sequence[Row]) -> list[list[str]]:
    """Time and memory: headers, then a line per model and temperature."""
    lines = [["model", "samples", "seconds per image", "metrics, seconds", "peak memory, MB"]]
    for label, found in groupby(rows, key=lambda row: row.setting.label):
        group = list(found)
        memory = [row.sample.peak_memory_mb for row in group if row.sample.peak_memory_mb is not None]
        seconds = fmean(row.sample.seconds / row.samples for row in group), fmean(row.metric_seconds for row in group)
        samples, peak = str(max(row.samples for row in group)), f"{max(memory):.0f}" if memory else "–"
        lines.append([label, samples, *(f"{mean:.2f}" for mean in seconds), peak])
    return lines
