"""Check a written report against the report that follows from the records of its run, or of the runs of its folder."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Literal, NamedTuple

from srbench.interfaces import SRBenchError
from srbench.reporting.generated_folder import FILE, FOLDER, Listing, changed_files, read_listing, records_of
from srbench.reporting.results import read_results
from srbench.reporting.tables.templating import code_of_report
from srbench.reporting.writers.leaderboard import leaderboard_texts, read_leaderboard
from srbench.reporting.writers.report import FORMATS, images_of, remade_texts
from srbench.reporting.writers.small_report import small_text
from srbench.run_folder.location import is_folder_of_runs

Kind = Literal["differs", "not compared"]
"""``differs``: a file differs from report.json, or a text from the text made again; ``not compared``: a file is gone,
the report was written from other records or images, or its texts differ and were written by other code."""
_NUMBER = re.compile(r"(-?\d+\.\d+(?:e[-+]?\d+)?)")
_TOLERANCE = 1e-9
"""Tolerance for numbers in texts, which covers the last bits of another processor."""


class ReportFinding(NamedTuple):
    """A fault of a report: its kind, the file in the run folder, and what is wrong."""

    kind: Kind
    where: str
    text: str


def report_findings(path: Path) -> list[ReportFinding]:
    """Compare the report of a run with its listing report.json, and its texts with the texts made again.

    Plots and images are compared with their hashes alone. ``path`` may also be a folder of runs. Returns an empty
    list if there is no report.
    """
    folder = path / FOLDER
    if not folder.is_dir():
        return []
    listing = read_listing(folder)
    if listing is None:
        return [ReportFinding("not compared", f"{FOLDER}/{FILE}", "missing or damaged; run srbench report")]
    changed = [file.relative_to(path).as_posix() for file in changed_files(folder, listing)]
    findings = [ReportFinding("differs", name, f"does not match its SHA-256 in {FILE}") for name in changed]
    missing = [f"{FOLDER}/{name}" for name in listing.files if not (folder / name).is_file()]
    findings += [ReportFinding("not compared", name, "is not here; run srbench report") for name in missing]
    try:
        reason, texts = _made_again(path, listing)
    except SRBenchError as error:
        return [*findings, ReportFinding("not compared", FOLDER, f"cannot be made again: {error}")]
    added = [name for name in listing.files if Path(name).suffix[1:] in FORMATS and name not in texts]
    differing = [ReportFinding("differs", f"{FOLDER}/{name}", "is no part of a report") for name in added]
    for name, made in texts.items():
        file = folder / name
        if file.is_file() and (difference := _difference(file.read_bytes().decode(errors="replace"), made)):
            differing.append(ReportFinding("differs", f"{FOLDER}/{name}", difference))
    if reason and differing:
        return [*findings, ReportFinding("not compared", FOLDER, f"was written {reason}")]
    return [*findings, *differing]


def _made_again(path: Path, listing: Listing) -> tuple[str, dict[str, str]]:
    """Return the texts of a report, made again, and what may explain a difference: when it was written.

    There are no texts if the report was written from other records or images.
    """
    if is_folder_of_runs(path):
        if not listing.records:
            return "for several runs in one table, not for this folder; run srbench report", {}
        board = read_leaderboard([path])
        if listing.records != board.made_from:
            return "before the last records, checks or reports of its runs; run srbench report", {}
        texts = leaderboard_texts(board, path / FOLDER, listing.choices)
        texts = {name: text for name, text in texts.items() if name in listing.files}
        code = code_of_report("srbench.reporting.writers.leaderboard")
    else:
        results = read_results([path])
        if listing.records != records_of(path):
            return "before the last records; run srbench report", {}
        if listing.images != images_of(results):
            return "with images that are missing now, or without images that are here; its texts were not compared", {}
        texts = remade_texts(results, listing)
        if not listing.code:
            texts[FORMATS["md"]] = small_text(texts[FORMATS["md"]])
        code = code_of_report("srbench.reporting.writers.report")
    other = "by another version of srbench or of a library, whose texts differ; run srbench report"
    return "" if listing.code == code else other, texts


def _difference(shown: str, made: str) -> str:
    """Describe the first difference of a text from the text made again; empty if there is none."""
    shown_parts, made_parts = _NUMBER.split(shown), _NUMBER.split(made)  # texts and numbers in turn
    for place, (part, right) in enumerate(zip(shown_parts, made_parts, strict=False)):
        is_number = place % 2 == 1
        if part == right or (
            is_number and math.isclose(float(part), float(right), rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        ):
            continue
        line = "".join(shown_parts[:place]).count("\n") + 1
        if is_number:
            return f"shows {part} in line {line}, and its records give {right}"
        return f"line {line} is not that of the report made from its records"
    return "" if len(shown_parts) == len(made_parts) else "is longer or shorter than the report made from its records"
