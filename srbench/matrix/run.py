"""Run, score and merge all cells of a matrix. A cell that fails is named and passed over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from srbench.benchmark.engines import Workers
from srbench.benchmark.estimate import estimate
from srbench.benchmark.run import Outcome, run, score_run
from srbench.files.paths import occupied
from srbench.interfaces import Progress, SRBenchError, silent
from srbench.matrix import MatrixError
from srbench.matrix.folder import Cell, is_matrix, read_matrix, runs_in, write_matrix
from srbench.matrix.request import MatrixSpec
from srbench.run_folder import RunFolderError
from srbench.run_folder.location import newest_first
from srbench.run_folder.merge import merge
from srbench.words import number_of


def combined(folder: Path, outcomes: Sequence[Outcome], failures: Sequence[str]) -> Outcome:
    """Outcome of several runs that belong together, such as cells or shards; ``failures`` are those of all."""
    return Outcome(
        folder=folder,
        items=sum(one.items for one in outcomes),
        sampled=sum(one.sampled for one in outcomes),
        scored=sum(one.scored for one in outcomes),
        usable=any(one.usable for one in outcomes),
        failures=tuple(failures),
    )


def run_matrix(
    spec: MatrixSpec,
    progress: Progress = silent,
    workers: Workers = 1,
    engine: str | None = None,
    finished: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Run the cells of a request one after the other; ``finished`` is called with the outcome of each.

    Cells that the folder already lists stay in it. Raises MatrixError if the folder holds anything but a matrix.
    """
    path = folder_of(spec)
    known: tuple[Cell, ...] = ()
    if is_matrix(path):
        known = read_matrix(path).cells
    elif occupied(path):
        raise MatrixError(f"{path}: already exists and is not a matrix of srbench; choose another --out")
    write_matrix(path, spec.command, dict.fromkeys([*known, *spec.runs]))
    specs = {path / cell.name: one for cell, one in spec.runs.items()}

    def run_cell(folder: Path) -> Outcome:
        return run(replace(specs[folder], out=str(folder)), progress, workers, engine)

    return combined(path, *_one_by_one(specs, run_cell, finished))


def _one_by_one(
    folders: Iterable[Path], work: Callable[[Path], Outcome], finished: Callable[[Outcome], None]
) -> tuple[list[Outcome], list[str]]:
    """Outcomes of the cells in some folders, and all failures: a cell that fails is named and passed over."""
    outcomes: list[Outcome] = []
    failures: list[str] = []
    for folder in folders:
        try:
            outcome = work(folder)
        except SRBenchError as error:
            failures.append(f"{folder.name}: {str(error).removeprefix(f'{folder}: ')}")
            continue
        failures += [f"{folder.name}: {failure}" for failure in outcome.failures]
        outcomes.append(outcome)
        finished(outcome)
    return outcomes, failures


def score_matrix(
    path: Path,
    metrics: Sequence[str],
    device: str = "auto",
    progress: Progress = silent,
    workers: Workers = 1,
    engine: str | None = None,
    finished: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Add metrics to all cells; ``finished`` is called with the outcome of each. A cell that fails is named and passed
    over. Raises MatrixError if none can be measured.
    """

    def score_cell(folder: Path) -> Outcome:
        return score_run(folder, metrics, device, progress, workers=workers, engine=engine)

    outcomes, failures = _one_by_one(runs_in(path), score_cell, finished)
    if not outcomes:
        raise MatrixError("; ".join(failures))
    return combined(path, outcomes, failures)


def estimate_matrix(spec: MatrixSpec) -> Iterator[str]:
    """Lines of ``--dry-run`` for every cell. Raises SRBenchError if one could not start."""
    path = folder_of(spec)
    yield f"matrix: {path}, {number_of(len(spec.runs), 'run')}"
    for cell, cell_spec in spec.runs.items():
        yield from estimate(replace(cell_spec, out=str(path / cell.name)))


def merge_matrices(paths: Sequence[Path], out: Path) -> list[Path]:
    """Merge matrices cell by cell, such as the shards of one; returns the new run folders.

    Raises RunFolderError if ``out`` is not empty or the matrices have different cells, and what
    ``srbench.run_folder.merge.merge`` raises.
    """
    if occupied(out):
        raise RunFolderError(f"{out}: already exists; choose another --out")
    matrices = [read_matrix(path) for path in paths]
    first = matrices[0]
    for path, other in zip(paths, matrices, strict=True):
        if set(other.cells) != set(first.cells):
            raise RunFolderError(f"{path}: its cells differ from those of {paths[0]}; merge matrices of one request")
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        whole = Path(temporary) / "matrix"  # so that a cell that cannot be merged leaves no part of a matrix
        for cell in first.cells:
            merge([path / cell.name for path in paths], whole / cell.name)
        write_matrix(whole, first.command, first.cells)
        whole.replace(out)
    return [out / cell.name for cell in first.cells]


def folder_of(spec: MatrixSpec) -> Path:
    """``--out``; else the newest matrix of the same command, whatever its date, else a new one of today."""
    if spec.out:
        return Path(spec.out)
    runs = Path("runs")
    pattern = re.compile(r"\d{4}(-\d\d){2}-matrix(-\d+)?")
    for path in newest_first(one for one in runs.glob("*-matrix*") if pattern.fullmatch(one.name)):
        try:
            if read_matrix(path).command == spec.command:
                return path
        except MatrixError:
            continue
    name, number = f"{date.today().isoformat()}-matrix", 2
    path = runs / name
    while path.exists():
        path, number = runs / f"{name}-{number}", number + 1
    return path
