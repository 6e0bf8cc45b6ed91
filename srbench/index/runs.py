"""The runs of an index: found below some folders, read, and with the result of ``srbench verify``."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from srbench.interfaces import MetricFacts, SRBenchError
from srbench.models import ModelFacts
from srbench.reporting import ReportError
from srbench.reporting.results import mean_of
from srbench.run_folder.folder import RunFolder, edited_records
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.run_folder.measurements import Measurement, folder_values, measurements_of
from srbench.run_folder.protocol import Protocol, Setting
from srbench.run_folder.records import KINDS
from srbench.run_folder.verified import Verdict, read_verified
from srbench.terminal.progress import Progress, Step, silent
from srbench.words import number_of, one_line, printable

_RECORDS = (MANIFEST, *(kind.FILE for kind in KINDS))


@dataclass(frozen=True)
class Entry:
    """A model at one temperature in one run."""

    model: ModelFacts
    setting: Setting
    draw: tuple[int, int] | None
    """Number of samples and seed; None for a model that does not sample."""
    sources: tuple[str, ...]
    """SHA-256 of the files of precomputed results, which the model's digest does not cover."""
    values: dict[str, dict[str, float]]
    """Values (means over samples) by column and image, for metrics measured on all images; of a metric of all images
    together, such as FID, by column and ""."""


@dataclass(frozen=True)
class IndexedRun:
    """A run of the index."""

    name: str
    """Path of its folder, relative to the common parent of all runs."""
    report: str
    """Address of its report, relative to the index; empty without a report."""
    state: Verdict
    reason: str
    """Date and extent of the verification, or why there is none."""
    protocol: Protocol
    pairs: tuple[tuple[str, str, str], ...]
    """Name, SHA-256 of LR pixels and SHA-256 of HR pixels ("" without HR) of every image, sorted."""
    metrics: dict[str, MetricFacts]
    """Metrics by column; values are comparable if their columns are equal."""
    entries: tuple[Entry, ...]

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the images."""
        return tuple(image for image, _, _ in self.pairs)


def read_runs_below(
    folders: Sequence[Path], out: Path, progress: Progress = silent
) -> tuple[list[IndexedRun], list[str]]:
    """Read all runs below some folders; return them and a line for everything left out.

    Damaged and contradicted runs are left out, and models that were not measured on all images of their run. Addresses
    are relative to ``out``. Raises ReportError if there is no run folder.
    """
    paths = _run_folders(folders)
    if not paths:
        given = ", ".join(map(str, folders))
        raise ReportError(f"{given}: no run in it; give folders with runs, as srbench run --out writes them")
    runs: list[IndexedRun] = []
    left_out: list[str] = []
    above = os.path.commonpath([path.parent for path in paths])
    for done, path in enumerate(paths):
        name = printable(path.relative_to(above).as_posix())
        progress(Step(done, len(paths), name))
        try:
            run = _read(path, name, out)
        except (SRBenchError, OSError) as error:
            reason = one_line(error).removeprefix(f"{path}: ").replace(f"{path}/", "")
            left_out.append(f"{name}: {reason.replace(str(path), name)}")
            continue
        if run.state == "contradicted":
            left_out.append(f"{name}: contradicted: {run.reason}")
            continue
        images = number_of(len(run.pairs), "image")
        left_out += [
            f"{name}, {entry.setting.label}: not measured on all of {images}"
            for entry in run.entries
            if not entry.values
        ]
        runs.append(replace(run, entries=tuple(entry for entry in run.entries if entry.values)))
    progress(Step(len(paths), len(paths), "tables"))
    return runs, left_out


def _run_folders(folders: Iterable[Path]) -> list[Path]:
    """Return all folders with a manifest or records, sorted; hidden folders and subfolders of runs are not searched."""
    runs = set()
    for folder in folders:
        for path, subfolders, files in os.walk(folder):
            if not set(_RECORDS).isdisjoint(files):
                runs.add(Path(path).resolve())
                subfolders.clear()
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
    return sorted(runs)


def _read(path: Path, name: str, out: Path) -> IndexedRun:
    """Read a run. Raises SRBenchError if it is damaged or has no results."""
    folder = RunFolder.read(path)
    manifest = folder.manifest
    read = {image: pair for image in manifest.scope if (pair := folder.of(image).pair) and not pair.failed}
    pixels = {
        (image, pair.lr.pixels if pair.lr else "", pair.hr.pixels if pair.hr else "") for image, pair in read.items()
    }
    metrics = {
        f"{metric.name} {metric.signature} {metric.direction}": metric
        for metric in manifest.metrics
        if metric.group != "Cost"  # depends on the machine
    }
    by_setting: dict[Setting, list[Measurement]] = {}
    for row in (all_rows := measurements_of(folder)):
        by_setting.setdefault(row.setting, []).append(row)
    of_all = folder_values(all_rows, manifest.folder_metrics, folder.folder_scores, folder.hr_pixels)
    entries = []
    for setting, rows in by_setting.items():
        draw = (manifest.protocol.samples, manifest.protocol.seed) if any(row.sample.drawn for row in rows) else None
        values = {
            column: {row.image: mean_of(row, metric) for row in rows if metric.name in row.values and row.image in read}
            for column, metric in metrics.items()
        }
        whole = {column: by_image for column, by_image in values.items() if by_image and len(by_image) == len(read)}
        for column, metric in metrics.items():
            if not math.isnan(value := of_all.get(setting, {}).get(metric.name, math.nan)):
                whole[column] = {"": value}
        sources = tuple(row.sample.source for row in rows if row.sample.source)
        entries.append(Entry(manifest.model(setting.model), setting, draw, sources, whole))
    report = next((page for page in ("report/report.html", "report/report.md") if (path / page).is_file()), "")
    state, reason = _state(folder)
    return IndexedRun(
        name,
        report and quote(os.path.relpath(path / report, out)),
        state,
        reason,
        manifest.protocol,
        tuple(sorted(pixels)),
        metrics,
        tuple(entries),
    )


def _state(folder: RunFolder) -> tuple[Verdict, str]:
    """Return the state of a run from its ``verified.json``, and the reason. Edited records are contradicted."""
    for name in edited_records(folder):
        return "contradicted", f"{name} does not match SHA256SUMS"
    verified = read_verified(folder.path)
    if verified is None:
        return "unverified", "srbench verify has not checked these records"
    reason = f"{verified.date[:10]}: {verified.words}"
    if verified.verdict == "contradicted":
        return "contradicted", f"{reason}; {', '.join(verified.rules)}"
    return verified.verdict, reason
