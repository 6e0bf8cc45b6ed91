"""The stack: tables of all runs below some folders, one for each set of images, scale and protocol.

Runs share a table if the names and pixels of all their images, scale, crop, tiles, protocol and unit of means are
equal, even if the names of their datasets differ. A model that several runs measured with equal values is one line.
Nothing is compared across tables.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from urllib.parse import quote

from srbench.interfaces import MetricInfo, SRBenchError
from srbench.metrics.loading import located
from srbench.models import ModelInfo
from srbench.reporting import ReportError
from srbench.reporting.answer import answer
from srbench.reporting.files import FOLDER, Choices, read_listing, records_of, replacing
from srbench.reporting.latex import latex_stacks
from srbench.reporting.notes import projected
from srbench.reporting.page.opening import Strip, strip_of_run
from srbench.reporting.rendering import code_of_report, rendered, style_and_script
from srbench.reporting.report import FORMATS, require_formats
from srbench.reporting.results import read_results
from srbench.reporting.table import Block, Stack, distinct, table_of, table_of_runs
from srbench.reporting.text import PAIRS, PAIRS_FILE, csv_text, markdown_table, pair_lines
from srbench.run_folder import NothingMeasuredError
from srbench.run_folder.folder import IMAGES, RunFolder, edited_records
from srbench.run_folder.location import is_begun, runs_below
from srbench.run_folder.measurements import Measurement, measurements_of, recorded_of_many, values_of
from srbench.run_folder.protocol import Manifest, Protocol, Setting
from srbench.run_folder.records import Value, digest
from srbench.run_folder.request import dataset_titles
from srbench.run_folder.values import Values, agree, is_missing
from srbench.run_folder.verified import VERDICTS, Verdict, read_verified
from srbench.terminal.progress import Progress, Step, silent
from srbench.words import number_of, one_line, printable

_CSV = (
    *("suite", "data", "scale", "model", "temperature", "samples", "seed", "metric", "mean", "low", "high", "n"),
    *("best", "signature", "state", "runs"),
)


@dataclass(frozen=True)
class Entry:
    """A model at one temperature in one run."""

    model: ModelInfo
    setting: Setting
    sampling: tuple[int, int] | None
    """Number of samples and seed; None for a model that does not sample."""
    sources: tuple[str, ...]
    """SHA-256 of the files of precomputed results, which the model's digest does not cover."""
    pixels: str
    """SHA-256 of the pixels of all outputs."""
    values: Mapping[str, Mapping[str, Value | None]]
    """Values by column and subject, for metrics measured on all images of the run."""

    def has_outputs_of(self, other: Entry) -> bool:
        """Return whether two entries have the same outputs, given equal data, scale and tiles.

        They do if everything that determines outputs is equal, up to rounding on different machines; or, of a model of
        the same label whose code changed, if all pixels are equal.
        """
        made_by = [(each.model.digest, each.setting.temperature, each.sampling, each.sources) for each in (self, other)]
        return made_by[0] == made_by[1] or (self.setting, self.pixels) == (other.setting, other.pixels)

    @property
    def is_whole(self) -> bool:
        """True if a metric was measured on all images of the run."""
        return bool(self.values)


@dataclass(frozen=True, eq=False)
class StackedRun:
    """A run of a stack."""

    path: Path
    name: str
    """Path of its folder below the folders of the stack."""
    state: Verdict
    reason: str
    """Date and extent of the verification, or why there is none."""
    protocol: Protocol
    dataset: str
    """Name of the dataset, or of the folder of a dataset whose images lie in a folder HR or GT."""
    pairs: tuple[tuple[str, str, str], ...]
    """Name, SHA-256 of LR pixels and SHA-256 of HR pixels ("" without HR) of every image, sorted."""
    unit_of: Mapping[str, str]
    """Group of every image if means are over groups, else empty."""
    metrics: dict[str, MetricInfo]
    """Metrics by column; values are comparable if their columns are equal."""
    entries: tuple[Entry, ...]

    def page(self, *formats: str) -> Path | None:
        """Return its report in the first of some formats in which there is one; None if there is none."""
        pages = (self.path / FOLDER / FORMATS[name] for name in formats)
        return next((page for page in pages if page.is_file()), None)


@dataclass(frozen=True)
class RunsBlock(Block):
    """The table of comparable runs."""

    protocol: Protocol
    images: tuple[str, ...]
    """Names of the images."""
    runs: dict[Setting, tuple[StackedRun, ...]]
    """Runs that measured a line, verified runs first."""
    sampling: dict[Setting, tuple[int, int] | None]
    """Number of samples and seed of a line; None for a model that does not sample."""
    names: dict[str, str]
    """Names of metrics in their runs, by name in the table, which is longer for metrics of the same name."""

    @cached_property
    def strip(self) -> tuple[StackedRun, Strip] | None:
        """One image by the models of a run that saved its images; None without such a run."""
        for run in (run for run in self.all_runs if (run.path / IMAGES).is_dir()):
            results = read_results([run.path])
            if strip := strip_of_run(results, table_of_runs(results)):
                return run, strip
        return None

    @property
    def all_runs(self) -> list[StackedRun]:
        """All runs of the table, verified runs first."""
        return list({run.path: run for runs in self.runs.values() for run in runs}.values())

    @property
    def verdicts(self) -> dict[str, list[StackedRun]]:
        """Runs by verdict and reason, verified runs first."""
        by_words: dict[str, list[StackedRun]] = {}
        for run in self.all_runs:
            by_words.setdefault(f"{run.state}, {run.reason}", []).append(run)
        return by_words

    @property
    def findings(self) -> list[str]:
        """The result in a few sentences, and the note on projected models, as in the report of a run."""
        return [*answer(self.table), *projected(self.table)]

    @property
    def origin(self) -> str:
        """Number and origin of the images: ``5 images, LR made from HR by MATLAB-exact bicubic``."""
        protocol, groups = self.protocol, len(set(self.table.values.unit_of.values()))
        means = f", means over {number_of(groups, 'group')}" if groups else ""
        crop = "" if protocol.crop is None else f", the central {protocol.crop} x {protocol.crop} of each"
        tiles = "" if protocol.tile is None else f", upscaled in tiles of {protocol.tile} x {protocol.tile} LR pixels"
        return f"{number_of(len(self.images), 'image')}{crop}{means}, LR {protocol.lr}{tiles}"


@dataclass(frozen=True)
class StackOfRuns:
    """The tables of all runs below some folders, by protocol."""

    stacks: tuple[Stack[RunsBlock], ...]
    """A stack for each protocol, with a block for each set of images and scale."""
    runs: tuple[StackedRun, ...]
    """All runs of the tables."""
    left_out: tuple[str, ...]
    """A line for every run, or model of a run, that is in no table."""
    damaged: tuple[str, ...]
    """Those of ``left_out`` that name a run that cannot be read."""
    records: dict[Path, str]
    """Digest of the records of every run, read or not, before it was read."""

    @cached_property
    def made_from(self) -> str:
        """Digest of everything that the report shows."""
        shown = [(run.name, run.state, run.reason) for run in self.runs]
        pages = [page and page.name for run in self.runs for page in (run.page("html", "md"), run.page("md", "html"))]
        strips = [
            block.strip and [path.parts[-3:] for _, path, _ in block.strip[1].panels]
            for stack in self.stacks
            for block in stack.blocks
        ]
        return digest("stack", list(self.records.values()), shown, pages, strips, self.left_out)


@dataclass(frozen=True)
class StackReport:
    """The files of the report of a stack."""

    files: list[Path]
    """Files, in the order of FORMATS."""
    stack: StackOfRuns


def write_stack(
    folders: Sequence[Path],
    formats: Sequence[str] = tuple(FORMATS),
    out: Path | None = None,
    progress: Progress = silent,
    *,
    intervals: bool = False,
    pairs: bool = False,
) -> StackReport:
    """Write report.md, report.html, table.tex and table.csv of all runs below some folders.

    They are written into ``report`` in the first folder, or into ``out``; with ``intervals``, table.tex has intervals on
    a line below each row, and with ``pairs`` there is pairs.csv, as in ``write_report``. Damaged and contradicted runs, and models that were not measured on all images of their run,
    are in no table; the report names them.

    Raises ReportError for an unknown format or none, if no run has results, or if the folder of the report is a run, or has
    files that srbench did not write or that were changed; RunFolderError if there is no run.
    """
    require_formats(formats)
    place = folders[0] / FOLDER if out is None else out
    for folder in (place, place.parent):
        if is_begun(folder):
            raise ReportError(f"{folder}: is a run, and its report shows that run alone; choose another --out")
    stack = read_stack(folders, progress)
    with replacing(place) as draft:
        if stack.records != {path: _records(path) for path in _paths(folders)}:
            stack = read_stack(folders, progress)  # another command has written since
        draft.listing.records, draft.listing.code = stack.made_from, code_of_report(__name__)
        draft.listing.choices = Choices(intervals=intervals, pairs=pairs)
        for name, text in stack_texts(stack, place, intervals=intervals, pairs=pairs).items():
            if name in {FORMATS[kind] for kind in formats} or (name == PAIRS_FILE and "csv" in formats):
                draft.write(name, text.encode())
    return StackReport([place / file for kind, file in FORMATS.items() if kind in formats], stack)


def renew_stack(folder: Path, progress: Progress = silent) -> None:
    """Write the report of a folder of runs again, with its previous choices. Raises SRBenchError as ``write_stack``."""
    listing = read_listing(folder / FOLDER)
    if listing is None:
        write_stack([folder], progress=progress)
        return
    formats = [name for name, file in FORMATS.items() if name == "html" or file in listing.files]
    choices = listing.choices
    write_stack([folder], formats, progress=progress, intervals=choices.intervals, pairs=choices.pairs)


def stack_texts(stack: StackOfRuns, place: Path, *, intervals: bool = False, pairs: bool = False) -> dict[str, str]:
    """Return the texts of the report of a stack in the folder ``place``, by file name."""

    def address(path: Path) -> str:
        return quote(os.path.relpath(path.resolve(), place.resolve()))

    facts = {
        "stack": stack,
        "address": address,
        "units": " or ".join(
            dict.fromkeys(f"{block.table.values.unit}s" for each in stack.stacks for block in each.blocks)
        ),
        "has_variants": any(block.table.variants for stack in stack.stacks for block in stack.blocks),
        "letters": pairs,
    }
    style = style_and_script(["report.css", "stack.css"], ["theme.js", "tables.js", "stack.js"])
    texts = {
        "report.md": rendered("stack.md.jinja", table=partial(markdown_table, letters=pairs), **facts) + "\n",
        "report.html": rendered("stack.html.jinja", **style, **facts) + "\n",
        "table.tex": latex_stacks(
            [(each, _origins(each)) for each in stack.stacks], intervals=intervals, letters=pairs
        ),
        "table.csv": csv_text([_CSV, *_csv_lines(stack)]),
    }
    if pairs:
        texts[PAIRS_FILE] = csv_text([[*_CSV[:3], *PAIRS], *_pair_lines(stack)])
    return texts


def _origins(stack: Stack[RunsBlock]) -> str:
    """Return number and origin of the images of every block: ``set5 4x, set5 8x: 5 images, LR ...; photos 4x: ...``."""
    places: dict[str, list[str]] = {}
    for block in stack.blocks:
        places.setdefault(block.origin, []).append(f"{block.dataset} {block.scale}x")
    return "; ".join(f"{', '.join(names)}: {origin}" for origin, names in places.items())


def _csv_lines(stack: StackOfRuns) -> list[list[object]]:
    """Return a line for every mean, variants included."""
    lines: list[list[object]] = []
    for each in stack.stacks:
        for block in each.blocks:
            for line in block.table.lines:
                runs = block.runs[line.setting]
                setting = (line.setting.model, line.setting.temperature, *(block.sampling[line.setting] or ("", "")))
                measured_by = (runs[0].state, " ".join(run.name for run in runs))
                for metric, cell in zip(block.table.columns, block.table.cells(line), strict=True):
                    if math.isnan(cell.mean):
                        continue
                    place = (each.title, block.dataset, block.scale)
                    mean = (cell.mean, cell.low, cell.high, line.n, cell.is_best)
                    lines.append([*place, *setting, block.names[metric.name], *mean, metric.signature, *measured_by])
    return lines


def _pair_lines(stack: StackOfRuns) -> Iterator[list[object]]:
    for each in stack.stacks:
        for block in each.blocks:
            for metric, *numbers in pair_lines(block.table):
                yield [each.title, block.dataset, block.scale, block.names[str(metric)], *numbers]


def read_stack(folders: Sequence[Path], progress: Progress = silent) -> StackOfRuns:
    """Read all runs below some folders into tables, sorted by protocol, dataset and scale.

    Raises RunFolderError if there is no run, ReportError if none has results.
    """
    paths = _paths(folders)
    above = Path(os.path.commonpath([folder.resolve() for folder in folders]))
    runs: list[StackedRun] = []
    left_out: list[str] = []
    damaged: list[str] = []
    records = {}
    for done, path in enumerate(paths):
        name = printable(path.resolve().relative_to(above).as_posix())
        progress(Step(done, len(paths), name))
        records[path] = _records(path)
        try:
            run = _read(path, name)
        except NothingMeasuredError:
            left_out.append(f"{name}: nothing is measured yet")
            continue
        except (SRBenchError, OSError) as error:
            reason = one_line(error).removeprefix(f"{path}: ").replace(f"{path}/", "")
            damaged.append(f"{name}: {reason.replace(str(path), name)}")
            left_out.append(damaged[-1])
            continue
        if run.state == "contradicted":
            left_out.append(f"{name}: contradicted, {run.reason}")
            continue
        images = number_of(len(run.pairs), "image")
        partial = [entry.setting.label for entry in run.entries if not entry.is_whole]
        left_out += [f"{name}, {label}: not measured on all of {images}" for label in partial]
        runs.append(replace(run, entries=tuple(entry for entry in run.entries if entry.is_whole)))
    progress(Step(len(paths), len(paths), "tables"))
    blocks = _blocks(runs)
    if not blocks:
        raise ReportError(f"{', '.join(map(str, folders))}: nothing to show: {'; '.join(left_out)}")
    protocols = dict.fromkeys(block.protocol.suite for block in blocks)
    stacks = [Stack(suite, tuple(block for block in blocks if block.protocol.suite == suite)) for suite in protocols]
    return StackOfRuns(tuple(stacks), tuple(runs), tuple(left_out), tuple(damaged), records)


def _paths(folders: Iterable[Path]) -> list[Path]:
    """Return all runs below some folders, each once."""
    return sorted({run.resolve(): run for folder in folders for run in runs_below(folder)}.values())


def _records(path: Path) -> str:
    """Return the digest of the records of a run; empty if they cannot be read."""
    try:
        return records_of(path)
    except OSError:
        return ""


def _read(path: Path, name: str) -> StackedRun:
    """Read a run. Raises SRBenchError if it is damaged or has no results."""
    folder = RunFolder.read(path)
    manifest = folder.manifest
    pairs = {image: pair for image in manifest.scope if (pair := folder.of(image).pair) and not pair.failed}
    pixels = {
        (image, pair.lr.pixels if pair.lr else "", pair.hr.pixels if pair.hr else "") for image, pair in pairs.items()
    }
    metrics = {
        f"{metric.name} {metric.signature} {metric.direction}": metric
        for metric in manifest.metrics
        if metric.group != "Cost"  # depends on the machine
    }
    measurements = measurements_of(folder)
    all_values = values_of(measurements, manifest.metrics, recorded_of_many([folder], folder.hr_pixels))
    by_setting: dict[Setting, dict[str, Measurement]] = {}
    for measurement in measurements:
        by_setting.setdefault(measurement.setting, {})[measurement.image] = measurement
    entries = []
    for setting, by_image in by_setting.items():
        columns = {column: all_values.of[setting, metric.name] for column, metric in metrics.items()}
        is_whole = by_image.keys() == pairs.keys()
        values = {
            column: of_subjects
            for column, of_subjects in columns.items()
            if is_whole and not any(map(is_missing, of_subjects.values()))
        }
        is_drawn = any(measurement.sample.drawn for measurement in by_image.values())
        sampling = (manifest.protocol.samples, manifest.protocol.seed) if is_drawn else None
        sources = tuple(each.sample.source for each in by_image.values() if each.sample.source)
        outputs = [[image, *(each.pixels for each in by_image[image].sample.outputs)] for image in sorted(by_image)]
        model = manifest.model(setting.model)
        entries.append(Entry(model, setting, sampling, sources, digest("outputs", outputs), values))
    state, reason = _state(folder)
    return StackedRun(
        path,
        name,
        state,
        reason,
        manifest.protocol,
        _dataset(manifest),
        tuple(sorted(pixels)),
        {image: group for image, group in manifest.unit_of.items() if image in pairs},
        metrics,
        tuple(entries),
    )


def _state(folder: RunFolder) -> tuple[Verdict, str]:
    """Return the verdict on a run in its ``verified.json``, and the reason. Edited records are contradicted."""
    for name in edited_records(folder):
        return "contradicted", f"{name} does not match SHA256SUMS"
    verified = read_verified(folder.path)
    if verified is None:
        return "unverified", "srbench verify has not checked these records"
    reason = f"{verified.date[:10]}: {verified.words}"
    if verified.verdict == "contradicted":
        return "contradicted", f"{reason}; {', '.join(verified.rules)}"
    return verified.verdict, reason


def _dataset(manifest: Manifest) -> str:
    """Return the name of the dataset of a run: ``Set5`` for the folder ``Set5/HR``."""
    dataset = manifest.protocol.dataset
    requests = [invocation.request for invocation in manifest.invocations if invocation.request is not None]
    if dataset.upper() not in ("HR", "GT") or not requests:
        return dataset
    path = requests[0].data or requests[0].hr or dataset
    return dataset_titles([path])[path]


def _blocks(runs: Iterable[StackedRun]) -> list[RunsBlock]:
    """Group runs into tables, sorted by protocol, dataset and scale."""
    groups: dict[tuple[object, ...], list[StackedRun]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (-VERDICTS.index(run.state), run.name)):
        protocol = run.protocol
        settings = (protocol.scale, protocol.crop, protocol.tile, protocol.suite, protocol.quantize, protocol.columns)
        groups[run.pairs, *settings, tuple(sorted(run.unit_of.items()))].append(run)
    measured = [group for group in groups.values() if any(run.entries for run in group)]
    rows = list(map(_rows, measured))
    metrics = [_metrics(*each) for each in zip(measured, rows, strict=True)]
    columns: dict[str, dict[str, MetricInfo]] = defaultdict(dict)
    for group, own in zip(measured, metrics, strict=True):
        columns[group[0].protocol.suite] |= own
    named = {suite: _told_apart(of_suite) for suite, of_suite in columns.items()}
    blocks = [
        _block(group, dataset, of_group, {column: named[group[0].protocol.suite][column] for column in own})
        for group, dataset, of_group, own in zip(measured, _datasets(measured), rows, metrics, strict=True)
    ]
    return sorted(blocks, key=lambda block: (block.protocol.suite, block.dataset, block.scale))


def _datasets(groups: Sequence[Sequence[StackedRun]]) -> list[str]:
    """Return the name of the dataset of every group of runs; groups of one protocol and scale have different names."""
    names = [" = ".join(sorted({run.dataset for run in group})) for group in groups]
    for place, group in enumerate(groups):
        if degradation := re.match(r"made from HR by ([^@:]+)@", group[0].protocol.lr):
            names[place] += f", {degradation[1]}"
    differences: tuple[Callable[[StackedRun], str], ...] = (
        lambda run: f"LR {run.protocol.lr}",
        lambda run: f"central {run.protocol.crop} px" if run.protocol.crop else "",
        lambda run: f"tiles of {run.protocol.tile} px" if run.protocol.tile else "",
        lambda run: number_of(len(run.pairs), "image"),
        lambda run: f"means over {run.protocol.average}",
        lambda run: run.name,
    )
    for difference in differences:
        alike = defaultdict(list)
        for place, group in enumerate(groups):
            alike[group[0].protocol.suite, group[0].protocol.scale, names[place]].append(place)
        for places in alike.values():
            texts = {place: difference(groups[place][0]) for place in places}
            if len(set(texts.values())) > 1:
                names = [f"{name}, {texts[place]}" if texts.get(place) else name for place, name in enumerate(names)]
    return names


@dataclass
class _Row:
    """A model at one temperature, and the runs that measured it, verified runs first."""

    entries: list[Entry]
    """Entries of the runs, which have the same outputs."""
    model: ModelInfo
    setting: Setting
    """Label of the line and temperature."""
    values: dict[str, Mapping[str, Value | None]]
    """Values by column and subject: those of the first run that has the column."""
    runs: list[StackedRun]

    def agrees(self, entry: Entry, metrics: Mapping[str, MetricInfo]) -> bool:
        """Return whether an entry has the same outputs, and no value that differs from the row's."""
        return any(map(entry.has_outputs_of, self.entries)) and all(
            agree(value, self.values[column][subject], metrics[column])
            for column in entry.values.keys() & self.values.keys()
            for subject, value in entry.values[column].items()
        )

    def join(self, entry: Entry, run: StackedRun) -> None:
        """Add a run that agrees, and the values of metrics that earlier runs lack."""
        self.values = {**entry.values, **self.values}
        self.entries.append(entry)
        self.runs.append(run)


def _rows(group: Sequence[StackedRun]) -> list[_Row]:
    """Return the rows of comparable runs; a label with several models, seeds or values gets the name of the run."""
    rows: list[_Row] = []
    for run in group:
        for entry in run.entries:
            row = next((row for row in rows if run not in row.runs and row.agrees(entry, run.metrics)), None)
            if row is None:
                rows.append(_Row([entry], entry.model, entry.setting, {**entry.values}, [run]))
            else:
                row.join(entry, run)
    repeated = {setting.model for setting, count in Counter(row.setting for row in rows).items() if count > 1}
    models = {(row.setting.model, row.model.digest, row.entries[0].sampling) for row in rows}
    repeated |= {label for label, count in Counter(label for label, _, _ in models).items() if count > 1}
    for row in rows:
        if row.setting.model in repeated:
            label = f"{row.setting.model} @ {row.runs[0].name}"
            row.model = replace(row.model, label=label)
            row.setting = replace(row.setting, model=label)
    return rows


def _block(
    group: Sequence[StackedRun], dataset: str, rows: Sequence[_Row], metrics: Mapping[str, MetricInfo]
) -> RunsBlock:
    """Make the table of comparable runs, given its rows and its metrics by column."""
    protocol = group[0].protocol
    images = tuple(image for image, _, _ in group[0].pairs)
    missing = dict.fromkeys(images, math.nan)
    of = {
        (row.setting, metric.name): row.values.get(column, missing if metric.is_of_images else {"": math.nan})
        for row in rows
        for column, metric in metrics.items()
    }
    values = Values(of, {row.setting: images for row in rows}, group[0].unit_of)
    table = table_of(values, list(metrics.values()), [row.model for row in rows])
    runs = {row.setting: tuple(row.runs) for row in rows}
    sampling = {row.setting: row.entries[0].sampling for row in rows}
    names = {
        metric.name: run.metrics[column].name
        for run in group
        for column, metric in metrics.items()
        if column in run.metrics
    }
    return RunsBlock(table, dataset, protocol.scale, protocol, images, runs, sampling, names)


def _metrics(group: Sequence[StackedRun], rows: Sequence[_Row]) -> dict[str, MetricInfo]:
    """Return the metrics of some rows by column, in the order of the suite.

    A metric of diversity that was only measured of models that do not sample is left out, unless it is the only metric.
    """
    measured = {column for row in rows for column in row.values}
    sampled = {column for row in rows for column in row.values if row.entries[0].sampling}
    metrics = {column: metric for run in group for column, metric in run.metrics.items() if column in measured}
    metrics = {
        column: metric for column, metric in metrics.items() if metric.group != "Diversity" or column in sampled
    } or metrics
    suite = list(map(located, group[0].protocol.columns))
    return dict(sorted(metrics.items(), key=lambda item: [*suite, item[1].spec].index(item[1].spec)))


def _told_apart(metrics: Mapping[str, MetricInfo]) -> dict[str, MetricInfo]:
    """Give the metrics of all tables of a protocol, by column, different names and titles, the same in every table."""
    names = Counter(metric.name for metric in metrics.values())
    return {
        column: metric if names[metric.name] == 1 else replace(metric, name=column)
        for column, metric in zip(metrics, distinct(list(metrics.values())), strict=True)
    }
