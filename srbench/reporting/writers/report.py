"""The report of one run, or of several runs in one table: Markdown, HTML, LaTeX and CSV.

A report is a pure function of the run folders: the same records, manifests and images give the same bytes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from srbench.reporting import ReportError
from srbench.reporting.figures.image_files import EMBEDDED, evenly, write_images
from srbench.reporting.figures.plots import draw_plots, write_plots
from srbench.reporting.figures.saved_samples import FOLDER as SAMPLES
from srbench.reporting.generated_folder import (
    FOLDER,
    Choices,
    Draft,
    Listing,
    changed_files,
    read_listing,
    records_of,
    replacing,
)
from srbench.reporting.page.page import page
from srbench.reporting.results import Runs, read_results
from srbench.reporting.sections.distribution import distribution_section
from srbench.reporting.sections.notes import missing_maps, notes_of, urgent_notes
from srbench.reporting.sections.people import people_section
from srbench.reporting.sections.section import Section
from srbench.reporting.tables.csv import PAIRS_FILE, pairs_csv, rows_csv, table_csv
from srbench.reporting.tables.latex import latex_table
from srbench.reporting.tables.markdown import interval_table, markdown_table
from srbench.reporting.tables.summary import summary
from srbench.reporting.tables.table import Block, Table, Tables, table_of_runs
from srbench.reporting.tables.templating import code_of_report, rendered
from srbench.reporting.writers.small_report import CHECKED, CHECKED_ANEW
from srbench.run_folder.folder import edited_records
from srbench.run_folder.measurements import Measurement
from srbench.run_folder.protocol import protocol_line
from srbench.run_folder.records import digest
from srbench.terminal.progress import Progress, silent
from srbench.words import listed, unknown

FORMATS = {"md": "report.md", "html": "report.html", "tex": "table.tex", "csv": "table.csv"}
"""File to open, by format, which is also its ending."""
MOST_LABELS = 9
"""Largest number of models that a title lists."""


@dataclass(frozen=True)
class Report:
    """A written report: of runs in one table, or of a folder of runs."""

    files: list[Path]
    """Files to open, one per format, in the order of FORMATS."""
    tables: Sequence[Table | Tables[Block]]
    remarks: list[str]
    """What a terminal shows below the tables: what they lack, and conclusions."""
    protocols: list[str]
    """The protocol of each table in one line."""
    subject: Path | None
    """The run, or folder of runs, which has the report; None for a report elsewhere."""
    damaged: Sequence[str] = ()
    """Runs that cannot be read, with the reason."""


def write_report(
    folders: Sequence[Path],
    formats: Sequence[str] = tuple(FORMATS),
    out: Path | None = None,
    *,
    single_file: bool = False,
    most: int | None = None,
    baseline: str | None = None,
    intervals: bool = False,
    pairs: bool = False,
    caption: str | None = None,
    label: str | None = None,
    runs_code: bool = False,
    progress: Progress = silent,
) -> Report:
    """Write the report of one run, or of several runs in one table.

    An existing report is replaced as a whole, unless it is up to date. If another process is writing the run, the
    report shows the records at the time it began.

    Args:
        folders: Run folders.
        formats: ``md`` writes report.md with plots and images, ``html`` report.html, ``tex`` table.tex, ``csv``
            table.csv, rows.csv and, with ``pairs``, pairs.csv.
        out: Folder of the report; by default ``report`` in the folder of a single run.
        single_file: Embed images in report.html, which stays below 8 MB, instead of linking to them.
        most: Embed at most this many images of the run.
        baseline: Row that plots subtract from every row, such as ``bicubic`` or ``srflow-t0.8``; by default the first.
        intervals: Print intervals in table.tex, on a line below each row.
        pairs: Write difference, interval and p of every two rows, and in report.md and table.tex superscripts that name
            the rows that are significantly worse.
        caption: Caption of table.tex, in LaTeX; by default, it states protocol, means and marks.
        label: Label of table.tex; by default, ``tab:`` with dataset and scale.
        runs_code: Permit loading code that the run names: metrics in files, for their maps.
        progress: Called for every image whose strip and maps are made.

    Raises:
        ReportError: A format or baseline is unknown, no format is given, LaTeX does not allow the label, several runs
            are given without ``out`` or with different protocols, or ``out`` has files that srbench did not write or
            that were changed.
        SRBenchError: A folder is no run, or has no results yet.
    """
    require_formats(formats)
    if label is not None and not re.fullmatch(r"[^\\{}%#~^$&\s]+", label):
        raise ReportError(
            f"label {label!r}: choose one without spaces and characters special to LaTeX, such as tab:mine"
        )
    records = records_of(folders[0]) if len(folders) == 1 else ""
    results = read_results(folders)
    for run in results.runs:
        if edited := edited_records(run.folder):
            text = f"{run.folder.path}: {listed(edited)} changed since srbench wrote SHA256SUMS; see srbench verify"
            warnings.warn(text, stacklevel=2)
    if out is None and len(results.runs) > 1:
        raise ReportError("several runs have no folder in common; name one for the report with --out")
    choices = Choices(single_file, most, baseline, intervals, pairs, caption, label)
    place = results.runs[0].folder.path / FOLDER if out is None else out
    files = [place / file for name, file in FORMATS.items() if name in formats]
    made_from = (records, images_of(results), choices, code_of_report(__name__))
    listing = read_listing(place)
    facts = _facts(results)
    is_up_to_date = (
        listing is not None
        and records
        and made_from == (listing.records, listing.images, listing.choices, listing.code)
        and not (runs_code and listing.without_maps)
        and all(file.is_file() for file in files)
        and not any(changed_files(place, listing))
    )
    if not is_up_to_date:
        with replacing(place) as draft:
            draft.listing.records, draft.listing.images, draft.listing.choices, draft.listing.code = made_from
            _make_report(results, facts, draft, choices, formats, progress, runs_code=runs_code)
    table: Table = facts["table"]
    protocol = protocol_line(results.protocol.suite, table.columns, table.units)
    remarks = [*filter(None, [table.left_out]), *urgent_notes(results), *facts["summary"]]
    return Report(files, [table], remarks, [protocol], results.runs[0].folder.path if out is None else None)


def require_formats(formats: Sequence[str]) -> None:
    """Raise ReportError for an unknown format, or for none at all."""
    choices = ", ".join(FORMATS)
    if not formats:
        raise ReportError(f"no format of the report is given; choose from {choices}")
    if unknown_formats := [name for name in formats if name not in FORMATS]:
        raise ReportError(f"unknown format {unknown_formats[0]!r}; choose from {choices}")


def remade_texts(results: Runs, listing: Listing) -> dict[str, str]:
    """Make the texts of the report of a run again, by file name, with the choices of its listing. Nothing is written.

    Plots are drawn again and discarded; images of the report are reused, but not the numbers of samples, which texts
    show. Raises SRBenchError as ``write_report`` does.
    """
    place = results.runs[0].folder.path / FOLDER
    formats = [name for name, file in FORMATS.items() if file in listing.files]
    keys = {name: key for name, key in listing.keys.items() if not name.startswith(f"{SAMPLES}/")}
    with TemporaryDirectory() as temporary:
        draft = Draft(place, Path(temporary), replace(listing, keys=keys))
        _make_report(results, _facts(results), draft, listing.choices, formats)
        return {name: draft.read(name).decode() for name in draft.listing.files if Path(name).suffix[1:] in FORMATS}


def images_of(results: Runs) -> str:
    """Return a digest of which saved images exist and match their records: only these are shown."""
    pairs = [results.pair(name) is not None for name in results.images]
    return digest("images", pairs, [len(results.outputs(row)) for row in results.measurements])


def _make_report(
    results: Runs,
    facts: dict[str, Any],
    draft: Draft,
    choices: Choices,
    formats: Sequence[str],
    progress: Progress = silent,
    *,
    runs_code: bool = False,
) -> None:
    """Write all files of a report, given its variables. Raises ReportError for an unknown baseline."""
    rows = [setting.folder for setting in results.settings]
    if choices.baseline is not None and choices.baseline not in rows:
        raise ReportError(unknown("baseline", choices.baseline, rows))
    baseline = rows.index(choices.baseline) if choices.baseline else 0
    table = facts["table"]
    environments = [each for run in results.runs for each in run.folder.environments.values()]
    on_gpu = {each.key for each in environments if "gpu" in each.facts}
    facts |= {"notes": _notes(facts), "costs": _costs(results.measurements, on_gpu), "letters": choices.pairs}
    shown: list[str] = []
    if {"md", "html"} & set(formats):
        shown, missing = write_images(results, draft, progress, runs_code=runs_code)
        draft.listing.without_maps = missing
        facts["notes"] += missing_maps(missing)
        plots = write_plots(table, results.models, draft, baseline, results.machines)
        samples = distribution_section(results, table, draft, progress)
        draw_plots(samples.plots if samples else [], draft)
        sections = [facts["people"], samples, Section("plots", "Plots", plots=plots) if plots else None]
        facts["sections"] = [section for section in sections if section]
    tables = _tables(table, letters=choices.pairs)
    if "md" in formats:
        facts["has_maps"] = any(name.startswith("maps/") for name in draft.listing.files)
        embedded = evenly(shown, EMBEDDED)
        check = CHECKED if shown else CHECKED_ANEW
        text = rendered("report.md.jinja", **facts, **tables, illustrated=shown, check=check, embedded=embedded)
        draft.write("report.md", f"{text}\n".encode())
    intervals, caption, label = choices.intervals, choices.caption, choices.label
    protocol = results.protocol
    texts = {
        "table.tex": latex_table(
            table, results.manifest, intervals=intervals, letters=choices.pairs, caption=caption, label=label
        ),
        "table.csv": table_csv(table, protocol.suite, protocol),
        "rows.csv": rows_csv(table.values, results.metrics, protocol.suite),
    }
    if choices.pairs:
        texts[PAIRS_FILE] = pairs_csv(table)
    for name, text in texts.items():
        if Path(name).suffix[1:] in formats:
            draft.write(name, text.encode())
    if "html" in formats:  # last, because it links to the other files
        copies = {"LaTeX": texts["table.tex"], "Markdown": tables["score_table"], "CSV": texts["table.csv"]}
        text = page(results, table, draft, facts, choices, copies)
        draft.write("report.html", text.encode())


def _facts(results: Runs) -> dict[str, Any]:
    """Return the variables that the templates of Markdown and HTML share, but for notes and costs."""
    table = table_of_runs(results)
    people, unshown_votes = people_section(results, table)
    labels = list(dict.fromkeys(model.joint_label for model in results.models))
    return {
        "results": results,
        "subject": ", ".join(labels if len(labels) <= MOST_LABELS else [run.name for run in results.runs]),
        "protocol": results.protocol,
        "metrics": table.columns,
        "table": table,
        "summary": [*summary(table), *(people.summary if people else [])],
        "people": people,
        "unshown_votes": unshown_votes,
        "letters": False,
        "interval_table": interval_table(table),
    }


def _notes(facts: Mapping[str, Any]) -> list[str]:
    return [*notes_of(facts["results"], facts["table"]), *facts["unshown_votes"]]


def head(run: Path) -> str:
    """Return the head of the report.md of a run, without images: title, summary, tables and notes.

    Raises SRBenchError if the folder is no run or has no results.
    """
    facts = _facts(read_results([run]))
    tables = _tables(facts["table"], letters=False)
    return rendered("head.md.jinja", **facts, **tables, notes=_notes(facts), embedded=[]).strip()


def _tables(table: Table, *, letters: bool) -> dict[str, str]:
    return {
        "score_table": markdown_table(table, letters=letters),
        "variants_table": markdown_table(table, "variants") if table.variants else "",
    }


def _costs(rows: Sequence[Measurement], on_gpu: Collection[str]) -> list[list[str]]:
    """Return the table of time, and of memory in environments with a GPU: headers, then a row per model and
    temperature.

    Seconds are medians, which the first image of a process, with what torch loads and chooses for it, hardly moves.
    """
    has_memory = any(row.sample.environment in on_gpu for row in rows)
    lines = [["model", "samples", "seconds per image", "metrics, seconds", *["peak memory, MB"] * has_memory]]
    for label, rows_of_setting in groupby(rows, key=lambda row: row.setting.label):
        group = list(rows_of_setting)
        seconds = [
            median(row.sample.seconds / row.samples for row in group),
            median(row.metric_seconds for row in group),
        ]
        peak = max((row.sample.peak_memory_mb or 0 for row in group if row.sample.environment in on_gpu), default=0)
        memory = [f"{peak:.0f}" if peak else "–"] * has_memory
        lines.append([label, str(max(row.samples for row in group)), *(f"{each:.2f}" for each in seconds), *memory])
    return lines
