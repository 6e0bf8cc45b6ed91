"""Run, score and merge the cells of a matrix. A cell that fails does not stop the remaining cells."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from srbench.benchmark.bench_file import SPANNED
from srbench.benchmark.engines import WorkerCount
from srbench.benchmark.estimate import estimate
from srbench.benchmark.run import Outcome, run, score_run
from srbench.data.degradations import DEFAULT as BICUBIC
from srbench.data.degradations.read import read_degradation
from srbench.files.paths import occupied
from srbench.interfaces import SRBenchError
from srbench.matrix import MatrixError
from srbench.matrix.folder import MatrixCell, is_matrix, read_matrix, runs_in, write_matrix
from srbench.metrics.suite import read_suite
from srbench.models.loading import scale_of
from srbench.run_folder import RunFolderError
from srbench.run_folder.location import dated_folder
from srbench.run_folder.manifest import is_run
from srbench.run_folder.merge import merge
from srbench.run_folder.request import RunSpec
from srbench.terminal.progress import Progress, silent
from srbench.words import number_of

Finished = Callable[[Outcome], None]
"""Called with the outcome of each cell once it is finished."""


def cells_of(specs: Sequence[RunSpec]) -> dict[MatrixCell, RunSpec]:
    """Return the cells of a matrix, each with its request, which names no folder yet.

    ``{data}`` and ``{scale}`` in names of models are replaced by those of the cell. Models of another scale are left
    out of a cell, with a warning. Raises MatrixError if two cells have the same name, or a cell has no model.
    """
    sources = [str(spec.data or spec.hr or spec.lr) for spec in specs]
    titles = titles_of(list(dict.fromkeys(sources)))
    several = len({spec.suite for spec in specs}) > 1
    cells: dict[MatrixCell, RunSpec] = {}
    for spec, source in zip(specs, sources, strict=True):
        degrade = None if spec.degrade in (None, BICUBIC) else read_degradation(str(spec.degrade)).name
        suite = read_suite(spec.suite).name
        if spec.metrics and not several:  # the suite then determines little of the table
            suite = ""
        cell = MatrixCell(titles[source], spec.scale, suite, degrade)
        if cell in cells:
            raise MatrixError(f"two runs would share the folder {cell.name}; name datasets and suites once")
        cells[cell] = replace(spec, out=None, models=_fitting(spec.models, cell))
    return cells


def titles_of(data: Sequence[str]) -> dict[str, str]:
    """Return the shortest unique ends of paths as names of datasets: ``set5``, ``a-images`` and ``b-images``.

    A folder called HR or GT is named after its parent, unless two datasets would then have the same path.
    """
    parts = {text: re.sub("[^A-Za-z0-9._/+-]", "-", text).removesuffix("/").split("/") for text in data}
    around = {text: _without_hr(own) for text, own in parts.items()}
    if len(set(map(tuple, around.values()))) == len(around):
        parts = around
    titles = {}
    for text, own in parts.items():
        length = 1
        while length < len(own) and sum(own[-length:] == other[-length:] for other in parts.values()) > 1:
            length += 1
        titles[text] = "-".join(own[-length:]).lstrip(".-") or "data"
    return titles


def _without_hr(parts: list[str]) -> list[str]:
    *around, last = parts
    is_named = bool(around) and around[-1] not in ("", ".", "..")
    return around if is_named and last.upper() in ("HR", "GT") else parts


def _fitting(models: Sequence[str], cell: MatrixCell) -> tuple[str, ...]:
    """Return the models of the cell's scale, with ``{data}`` and ``{scale}`` replaced."""
    here = [text.replace("{data}", cell.data).replace("{scale}", str(cell.scale)) for text in models]
    fitting = tuple(text for text in here if scale_of(text) in (None, cell.scale))
    if not fitting:
        raise MatrixError(f"x{cell.scale}: no model has this scale; leave it out of --scale")
    for text in here:
        if text not in fitting:
            warnings.warn(f"{text} has another scale; it is left out of x{cell.scale}", stacklevel=4)
    return fitting


def run_matrix(
    specs: Sequence[RunSpec],
    progress: Progress = silent,
    workers: WorkerCount = 1,
    engine: str | None = None,
    finished: Finished = lambda outcome: None,
) -> Outcome:
    """Run the cells of a matrix one after the other.

    Cells that the folder already lists stay in it. Raises MatrixError if the folder is neither empty nor a matrix.
    """
    cells = cells_of(specs)
    path = _folder_of(specs)
    known: tuple[MatrixCell, ...] = ()
    if is_matrix(path):
        known = read_matrix(path).cells
    elif occupied(path):
        raise MatrixError(f"{path}: already exists and is not a matrix of srbench; choose another --out")
    write_matrix(path, _command(specs), dict.fromkeys([*known, *cells]))
    runs = {path / cell.name: spec for cell, spec in cells.items()}

    def run_cell(folder: Path) -> Outcome:
        return run(replace(runs[folder], out=str(folder)), progress, workers, engine)

    return _one_by_one(path, runs, run_cell, finished)


def score_matrix(
    path: Path,
    metrics: Sequence[str],
    device: str = "auto",
    progress: Progress = silent,
    workers: WorkerCount = 1,
    engine: str | None = None,
    finished: Finished = lambda outcome: None,
) -> Outcome:
    """Add metrics to all cells of a matrix."""

    def score_cell(folder: Path) -> Outcome:
        return score_run(folder, metrics, device, progress, workers=workers, engine=engine)

    return _one_by_one(path, runs_in(path), score_cell, finished)


def _one_by_one(path: Path, folders: Iterable[Path], work: Callable[[Path], Outcome], finished: Finished) -> Outcome:
    """Do ``work`` on all cells and return their joint outcome. Raises MatrixError if all cells fail."""
    outcomes: list[Outcome] = []
    failures: list[str] = []
    for folder in folders:
        try:
            outcome = work(folder)
            outcomes.append(outcome)
            failures += [f"{folder.name}: {failure}" for failure in outcome.failures]
            finished(outcome)
        except SRBenchError as error:
            failures.append(f"{folder.name}: {str(error).removeprefix(f'{folder}: ')}")
    if not outcomes:
        raise MatrixError("; ".join(failures))
    return Outcome(
        folder=path,
        items=sum(outcome.items for outcome in outcomes),
        sampled=sum(outcome.sampled for outcome in outcomes),
        scored=sum(outcome.scored for outcome in outcomes),
        usable=any(outcome.usable for outcome in outcomes),
        failures=tuple(failures),
    )


def estimate_matrix(specs: Sequence[RunSpec]) -> Iterator[str]:
    """Yield the lines of ``--dry-run`` for every cell. Raises SRBenchError if a cell could not start."""
    path = _folder_of(specs)
    cells = cells_of(specs)
    yield f"matrix: {path}, {number_of(len(cells), 'run')}"
    for cell, spec in cells.items():
        yield from estimate(replace(spec, out=str(path / cell.name)))


def merge_matrices(paths: Sequence[Path], out: Path) -> list[Path]:
    """Merge matrices, such as shards, cell by cell; return the new run folders.

    Raises RunFolderError if ``out`` is neither empty nor the merge of these matrices or the matrices have different
    cells, and as ``srbench.run_folder.merge.merge`` does.
    """
    matrices = [read_matrix(path) for path in paths]
    first = matrices[0]
    for path, other in zip(paths, matrices, strict=True):
        if set(other.cells) != set(first.cells):
            raise RunFolderError(f"{path}: its cells differ from those of {paths[0]}; merge matrices of one request")
    if occupied(out):
        if not all(is_run(out / cell.name) for cell in first.cells):
            raise RunFolderError(f"{out}: already exists, and is not the merge of these folders; choose another --out")
        return [merge([path / cell.name for path in paths], out / cell.name) for cell in first.cells]
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        whole = Path(temporary) / "matrix"  # a failure must not leave part of a matrix
        for cell in first.cells:
            merge([path / cell.name for path in paths], whole / cell.name)
        write_matrix(whole, first.command, first.cells)
        whole.replace(out)
    return [out / cell.name for cell in first.cells]


def _command(specs: Sequence[RunSpec]) -> str:
    """Return the command that makes all runs of a matrix."""
    values = {name: tuple(dict.fromkeys(getattr(spec, name) for spec in specs)) for name in SPANNED}
    return specs[0].command({name: several for name, several in values.items() if len(several) > 1})


def _folder_of(specs: Sequence[RunSpec]) -> Path:
    """Return ``--out``, else the newest matrix of the same command, else a new folder named after today."""
    command = _command(specs)

    def is_same(path: Path) -> bool:
        with suppress(MatrixError):
            return read_matrix(path).command == command
        return False

    return Path(specs[0].out) if specs[0].out else dated_folder("matrix", is_same, lambda path: not path.exists())
