"""The leaderboard: tables of all runs below some folders, a block for each set of images, scale and protocol.

A block is a ``Runs``, as the table of ``srbench report A B`` is. Nothing is compared across blocks.
"""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from urllib.parse import quote

from srbench.interfaces import SRBenchError
from srbench.reporting import ReportError
from srbench.reporting.figures.first_view import Strip, strip_of_run
from srbench.reporting.generated_folder import FOLDER, Choices, read_listing, records_of, replacing
from srbench.reporting.results import (
    NOT_CHECKED,
    Run,
    Runs,
    by_setting,
    difference,
    read_results,
    read_run,
    united_metrics,
    verdict_on,
)
from srbench.reporting.sections.notes import projected
from srbench.reporting.tables.csv import PAIRS, PAIRS_FILE, csv_text, pair_lines
from srbench.reporting.tables.latex import latex_tables
from srbench.reporting.tables.markdown import markdown_table
from srbench.reporting.tables.summary import summary
from srbench.reporting.tables.table import Block, Line, Tables, table_of_runs
from srbench.reporting.tables.templating import code_of_report, rendered, style_and_script
from srbench.reporting.writers.report import FORMATS, Report, images_of, require_formats, write_report
from srbench.run_folder import NothingMeasuredError
from srbench.run_folder.folder import IMAGES, RunFolder
from srbench.run_folder.location import is_begun, is_folder_of_runs, runs_below
from srbench.run_folder.protocol import protocol_line, tasks
from srbench.run_folder.records import digest
from srbench.run_folder.values import is_missing
from srbench.run_folder.verified import VERDICTS
from srbench.terminal.progress import Progress, Step, silent
from srbench.words import joined, number_of, one_line, printable

_CSV = (
    *("suite", "data", "scale", "model", "temperature", "samples", "seed", "metric", "mean", "low", "high", "n"),
    *("best", "signature", "state", "runs"),
)
MOST_DATASETS = 3
"""Largest number of datasets that a title lists."""
_DEFAULT = Choices()


@dataclass(frozen=True)
class RunsBlock(Block):
    """The table of some runs, verified runs first."""

    results: Runs

    def subject(self, times: str = "x") -> str:
        """Return dataset and scale, such as ``set5 4x``, or ``set5, restoration`` at scale 1."""
        return f"{self.dataset} {self.scale}{times}" if self.scale > 1 else f"{self.dataset}, {tasks([1]).lower()}"

    def runs(self, line: Line) -> list[Run]:
        """Return the runs that measured a line."""
        return list(self.results.by_setting[line.setting])

    def run_names(self, line: Line) -> list[str]:
        """Return the names of these runs."""
        return [run.name for run in self.runs(line)]

    @cached_property
    def strip(self) -> tuple[Run, Strip] | None:
        """One image by the models of a run that saved its images; None without such a run."""
        for run in (run for run in self.results.runs if (run.folder.path / IMAGES).is_dir()):
            results = read_results([run.folder.path])
            if strip := strip_of_run(results, table_of_runs(results)):
                return run, strip
        return None

    @property
    def metric_names(self) -> dict[str, str]:
        """Names of metrics in their runs, by name in the table, which is longer for metrics of the same name."""
        return {name: metric.name for run in self.results.runs for name, metric in run.metrics.items()}

    @property
    def verdicts(self) -> dict[str, list[Run]]:
        """Runs by verdict and reason."""
        by_words: dict[str, list[Run]] = {}
        for run in self.results.runs:
            by_words.setdefault(f"{run.state}, {run.reason}", []).append(run)
        return by_words

    @property
    def summary(self) -> list[str]:
        """The result in a few sentences, and the note on projected models, as in the report of a run."""
        return [*summary(self.table), *projected(self.table)]

    @property
    def origin(self) -> str:
        """Number and origin of the images: ``5 images, LR made from HR by MATLAB-exact bicubic``."""
        protocol, groups = self.results.protocol, len(set(self.table.values.unit_of.values()))
        means = f", means over {number_of(groups, 'group')}" if groups else ""
        crop = "" if protocol.crop is None else f", the central {protocol.crop} x {protocol.crop} of each"
        tiles = "" if protocol.tile is None else f", upscaled in tiles of {protocol.tile} x {protocol.tile} LR pixels"
        return (
            f"{number_of(self.table.lines[0].images, 'image')}{crop}{means}, {protocol.lr_title} {protocol.lr}{tiles}"
        )


@dataclass(frozen=True)
class Leaderboard:
    """The tables of all runs below some folders."""

    protocols: tuple[Tables[RunsBlock], ...]
    """The tables of each protocol, a block for each set of images and scale."""
    left_out: tuple[str, ...]
    """A line for every run, or model of a run, that is in no table."""
    damaged: tuple[str, ...]
    """Those of ``left_out`` that name a run that cannot be read."""
    records: dict[Path, str]
    """Digest of the records of every run, read or not, before it was read."""

    def title(self, times: str = "x") -> str:
        """Return task, scales, datasets and, if all tables agree, images:
        ``Super-resolution 8x on photos, 22 images``.
        """
        scales = joined([f"{scale}{times}" for scale in sorted({block.scale for block in self.blocks}) if scale > 1])
        falling = sorted(self.blocks, key=lambda block: -block.scale)
        task = joined(list(dict.fromkeys(block.results.protocol.task(scales) for block in falling))).capitalize()
        datasets = list(dict.fromkeys(block.results.protocol.dataset for block in self.blocks))
        named = joined(datasets) if len(datasets) <= MOST_DATASETS else number_of(len(datasets), "dataset")
        counts = {len(block.results.images) for block in self.blocks}
        images = f", {number_of(counts.pop(), 'image')}" if len(datasets) == len(counts) == 1 else ""
        return f"{task} on {named}{images}"

    @property
    def blocks(self) -> list[RunsBlock]:
        """All blocks."""
        return [block for tables in self.protocols for block in tables.blocks]

    @property
    def runs(self) -> list[Run]:
        """All runs of the tables."""
        return [run for block in self.blocks for run in block.results.runs]

    @cached_property
    def made_from(self) -> str:
        """Digest of everything that the report shows."""
        shown = [(run.name, run.state, run.reason) for run in self.runs]
        pages = [
            page and page.name for run in self.runs for page in (_page(run, "html", "md"), _page(run, "md", "html"))
        ]
        strips = [block.strip and [path.parts[-3:] for _, path, _ in block.strip[1].panels] for block in self.blocks]
        return digest("leaderboard", list(self.records.values()), shown, pages, strips, self.left_out)


def write_leaderboard(
    folders: Sequence[Path],
    formats: Sequence[str] = tuple(FORMATS),
    out: Path | None = None,
    progress: Progress = silent,
    choices: Choices = _DEFAULT,
) -> Report:
    """Write report.md, report.html, table.tex and table.csv of all runs below some folders.

    They are written into ``report`` in the first folder, or into ``out``; of the ``choices``, ``intervals`` and
    ``pairs`` count, as in ``write_report``. Damaged and contradicted runs, and models that were not measured on all
    images of their block, are in no table; the report names them.

    Raises ReportError for an unknown format or none, if no run has results, or if the folder of the report is a run, or
    has files that srbench did not write or that were changed; RunFolderError if there is no run.
    """
    require_formats(formats)
    place = folders[0] / FOLDER if out is None else out
    for folder in (place, place.parent):
        if is_begun(folder):
            raise ReportError(f"{folder}: is a run, and its report shows that run alone; choose another --out")
    board = read_leaderboard(folders, progress)
    with replacing(place) as draft:
        if board.records != {path: _records(path) for path in _paths(folders)}:
            board = read_leaderboard(folders, progress)  # another command has written since
        draft.listing.records, draft.listing.code = board.made_from, code_of_report(__name__)
        draft.listing.choices = choices
        for name, text in leaderboard_texts(board, place, choices).items():
            if Path(name).suffix[1:] in formats:
                draft.write(name, text.encode())
    files = [place / file for kind, file in FORMATS.items() if kind in formats]
    remarks = [f"left out: {text}" for text in board.left_out]
    protocols = [protocol_line(tables.title, tables.columns) for tables in board.protocols]
    return Report(files, board.protocols, remarks, protocols, folders[0] if out is None else None, board.damaged)


def renew(path: Path, progress: Progress = silent) -> None:
    """Write the report of a run, unless it is up to date, or of a folder of runs again, with its previous choices.

    Raises as ``write_report`` or ``write_leaderboard`` does.
    """
    listing = read_listing(path / FOLDER)
    formats = [name for name, file in FORMATS.items() if listing is None or name == "html" or file in listing.files]
    choices = _DEFAULT if listing is None else listing.choices
    if is_folder_of_runs(path):
        write_leaderboard([path], formats, progress=progress, choices=choices)
    elif (
        listing is None
        or not (path / FOLDER / FORMATS["html"]).is_file()
        or (listing.records, listing.images) != (records_of(path), images_of(read_results([path])))
    ):
        write_report([path], formats, progress=progress, **asdict(choices))


def leaderboard_texts(board: Leaderboard, place: Path, choices: Choices) -> dict[str, str]:
    """Return the texts of the report of a leaderboard in the folder ``place``, by file name."""

    def address(path: Path) -> str:
        return quote(os.path.relpath(path.resolve(), place.resolve()))

    facts = {
        "board": board,
        "address": address,
        "page_of": _page,
        "not_checked": NOT_CHECKED,
        "units": " or ".join(dict.fromkeys(f"{block.table.unit}s" for block in board.blocks)),
        "samples": sorted({number for block in board.blocks for number in block.table.samples}),
        "has_variants": any(block.table.variants for block in board.blocks),
        "letters": choices.pairs,
    }
    style = style_and_script(["report.css", "leaderboard.css"], ["theme.js", "tables.js", "leaderboard.js"])
    origins = [(tables, _origins(tables)) for tables in board.protocols]
    texts = {
        "report.md": rendered("leaderboard.md.jinja", table=partial(markdown_table, letters=choices.pairs), **facts)
        + "\n",
        "report.html": rendered("leaderboard.html.jinja", **style, **facts) + "\n",
        "table.tex": latex_tables(origins, intervals=choices.intervals, letters=choices.pairs),
        "table.csv": csv_text([_CSV, *_csv_lines(board)]),
    }
    if choices.pairs:
        texts[PAIRS_FILE] = csv_text([[*_CSV[:3], *PAIRS], *_pair_lines(board)])
    return texts


def _page(run: Run, *formats: str) -> Path | None:
    """Return the report of a run in the first of some formats in which there is one; None if there is none."""
    pages = (run.folder.path / FOLDER / FORMATS[name] for name in formats)
    return next((page for page in pages if page.is_file()), None)


def _origins(tables: Tables[RunsBlock]) -> str:
    """Return number and origin of the images of every block: ``set5 4x, set5 8x: 5 images, LR ...; photos 4x: ...``."""
    places: dict[str, list[str]] = {}
    for block in tables.blocks:
        places.setdefault(block.origin, []).append(block.subject())
    return "; ".join(f"{', '.join(names)}: {origin}" for origin, names in places.items())


def _csv_lines(board: Leaderboard) -> list[list[object]]:
    """Return a line for every mean, variants included."""
    lines: list[list[object]] = []
    for tables in board.protocols:
        for block in tables.blocks:
            names = block.metric_names
            for line in block.table.lines:
                runs = block.runs(line)
                sampling = runs[0].sampling(block.results.by_setting[line.setting][runs[0]].values())
                setting = (line.setting.model, line.setting.temperature, *(sampling or ("", "")))
                measured_by = (runs[0].state, " ".join(block.run_names(line)))
                for metric, cell in zip(block.table.columns, block.table.cells(line), strict=True):
                    if math.isnan(cell.mean):
                        continue
                    place = (tables.title, block.dataset, block.scale)
                    mean = (cell.mean, cell.low, cell.high, line.n, cell.is_best)
                    lines.append([*place, *setting, names[metric.name], *mean, metric.signature, *measured_by])
    return lines


def _pair_lines(board: Leaderboard) -> Iterator[list[object]]:
    """Yield a line for every pair of models."""
    for tables in board.protocols:
        for block in tables.blocks:
            for metric, *numbers in pair_lines(block.table):
                yield [tables.title, block.dataset, block.scale, block.metric_names[str(metric)], *numbers]


def read_leaderboard(folders: Sequence[Path], progress: Progress = silent) -> Leaderboard:
    """Read all runs below some folders into tables, sorted by protocol, dataset and scale.

    Raises RunFolderError if there is no run, ReportError if none has results.
    """
    paths = _paths(folders)
    above = Path(os.path.commonpath([folder.resolve() for folder in folders]))
    runs: list[Run] = []
    left_out: list[str] = []
    damaged: list[str] = []
    records = {}
    for done, path in enumerate(paths):
        name = printable(path.resolve().relative_to(above).as_posix())
        progress(Step(done, len(paths), name))
        records[path] = _records(path)
        try:
            run = read_run(path)
            state, reason = verdict_on(run.folder)
        except NothingMeasuredError:
            left_out.append(f"{name}: nothing is measured yet")
        except (SRBenchError, OSError) as error:
            reason = one_line(error).removeprefix(f"{path}: ").replace(f"{path}/", "")
            damaged.append(f"{name}: {reason.replace(str(path), name)}")
        else:
            if state == "contradicted":
                left_out.append(f"{name}: contradicted, {reason}")
            else:
                folder = RunFolder(path, run.folder.manifest)  # without its records, which need much memory
                runs.append(replace(run, folder=folder, name=name, state=state, reason=reason))
    progress(Step(len(paths), len(paths), "tables"))
    groups = []
    for group in _groups(runs):
        images = set().union(*(run.pixels for run in group))
        whole = []
        for run in group:
            kept, partial = _on_all_images(run, len(images))
            left_out += [
                f"{run.name}, {label}: not measured on all of {number_of(len(images), 'image')}" for label in partial
            ]
            whole += [kept] if kept.measurements else []
        groups += [whole] if whole else []
    left_out = sorted([*left_out, *damaged])
    if not groups:
        raise ReportError(f"{', '.join(map(str, folders))}: nothing to show: {'; '.join(left_out)}")
    blocks = _blocks(groups)
    suites = dict.fromkeys(block.results.protocol.suite for block in blocks)
    protocols = [
        Tables(suite, tuple(block for block in blocks if block.results.protocol.suite == suite)) for suite in suites
    ]
    return Leaderboard(tuple(protocols), tuple(left_out), tuple(damaged), records)


def _paths(folders: Iterable[Path]) -> list[Path]:
    """Return all runs below some folders, each once."""
    return sorted({run.resolve(): run for folder in folders for run in runs_below(folder)}.values())


def _records(path: Path) -> str:
    """Return the digest of the records of a run; empty if they cannot be read."""
    try:
        return records_of(path)
    except OSError:
        return ""


def _groups(runs: Iterable[Run]) -> list[list[Run]]:
    """Group runs that can share a table, verified runs first."""
    groups: list[list[Run]] = []
    for run in sorted(runs, key=lambda run: (-VERDICTS.index(run.state), run.name)):
        group = next((group for group in groups if not any(difference(run, other) for other in group)), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return groups


def _on_all_images(run: Run, images: int) -> tuple[Run, list[str]]:
    """Return a run with what was measured on all images, and the labels of the models that were not.

    Costs are left out, too: they depend on the machine.
    """
    measurements, names, partial = [], set(), []
    for setting, own in by_setting(run.measurements).items():
        whole = {
            name
            for name, metric in run.metrics.items()
            if metric.group != "Cost" and not any(map(is_missing, run.values_of(name, own).values()))
        }
        if len(own) < images or not whole:
            partial.append(setting.label)
            continue
        names |= whole
        measurements += [
            each
            if whole.issuperset(each.values)
            else replace(each, values={name: value for name, value in each.values.items() if name in whole})
            for each in own
        ]
    metrics = {name: metric for name, metric in run.metrics.items() if name in names}
    of_many = {place: {} if any(map(is_missing, own.values())) else own for place, own in run.of_many.items()}
    return replace(run, measurements=measurements, metrics=metrics, of_many=of_many), partial


def _blocks(groups: Sequence[Sequence[Run]]) -> list[RunsBlock]:
    """Return the table of every group of runs, sorted by protocol, dataset and scale."""
    of_suite: dict[str, list[Run]] = defaultdict(list)
    for group in groups:
        of_suite[group[0].protocol.suite] += group
    columns = {suite: united_metrics(runs) for suite, runs in of_suite.items()}
    blocks = []
    for group, dataset in zip(groups, _datasets(groups), strict=True):
        results = Runs(group, columns[group[0].protocol.suite])
        blocks.append(RunsBlock(table_of_runs(results, best_first=True), dataset, results.protocol.scale, results))
    return sorted(blocks, key=lambda block: (block.results.protocol.suite, block.dataset, block.scale))


def _datasets(groups: Sequence[Sequence[Run]]) -> list[str]:
    """Return the name of the dataset of every group of runs; groups of one protocol and scale have different names."""
    names = [" = ".join(sorted({run.protocol.dataset for run in group})) for group in groups]
    for place, group in enumerate(groups):
        if degradation := re.match(r"made from HR by ([^@:]+)@", group[0].protocol.lr):
            names[place] += f", {degradation[1]}"
    differences: tuple[Callable[[Run], str], ...] = (
        lambda run: f"{run.protocol.lr_title} {run.protocol.lr}",
        lambda run: f"central {run.protocol.crop} px" if run.protocol.crop else "",
        lambda run: f"tiles of {run.protocol.tile} px" if run.protocol.tile else "",
        lambda run: number_of(len(run.pixels), "image"),
        lambda run: f"means over {run.protocol.average}",
        lambda run: run.name,
    )
    for words in differences:
        alike = defaultdict(list)
        for place, group in enumerate(groups):
            alike[group[0].protocol.suite, group[0].protocol.scale, names[place]].append(place)
        for places in alike.values():
            texts = {place: words(groups[place][0]) for place in places}
            if len(set(texts.values())) > 1:
                names = [f"{name}, {texts[place]}" if texts.get(place) else name for place, name in enumerate(names)]
    return names
