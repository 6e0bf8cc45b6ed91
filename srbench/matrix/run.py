"""What is done to a run, done to all cells of a matrix. A cell that cannot be done is named and passed over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from srbench.benchmark.engines.choice import Workers
from srbench.benchmark.estimate import estimate
from srbench.benchmark.request import RunSpec
from srbench.benchmark.run import Outcome, run
from srbench.interfaces import Progress, SRBenchError, silent
from srbench.matrix import MatrixError
from srbench.matrix.folder import Cell, Matrix, read_matrix, write_matrix
from srbench.matrix.request import MatrixSpec, begin
from srbench.run_folder import RunFolderError
from srbench.run_folder.merge import merge


@dataclass(frozen=True)
class Faults:
    """Of a matrix: what could not be done, a line each."""

    path: Path
    lines: tuple[str, ...]
    usable: bool
    """Does any cell hold what a report can be made of?"""


def run_matrix(
    spec: MatrixSpec, progress: Progress = silent, workers: Workers = 1, engine: str | None = None,
    finished: Callable[[Outcome], None] = lambda outcome: None,
) -> Faults:  # fmt: skip
    """Run the cells of a request that lack anything, one after the other; ``finished`` hears of each.

    Raises MatrixError where the folder holds anything but a matrix.
    """
    matrix = begin(folder_of(spec), spec)
    faults, usable = [], False
    for cell, cell_spec in _placed(spec, matrix):
        try:
            outcome = run(cell_spec, progress, workers, engine)
        except SRBenchError as error:
            faults.append(_fault(matrix, cell, error))
            continue
        faults += [f"{cell.name}: {fault}" for fault in outcome.failures]
        usable = usable or outcome.usable
        finished(outcome)
    return Faults(matrix.path, tuple(faults), usable)


def estimate_matrix(spec: MatrixSpec) -> Iterator[str]:
    """The lines of ``--dry-run`` of every cell. Raises SRBenchError where one could not start."""
    path = folder_of(spec)
    yield f"matrix: {path}, {len(spec.runs)} runs"
    for _, cell_spec in _placed(spec, Matrix(path, spec.command, tuple(spec.runs))):
        yield from estimate(cell_spec)


def merge_matrices(paths: Sequence[Path], out: Path) -> list[Path]:
    """Merge every cell with the same one of other matrices, such as the shards of one; returns the new cells.

    Raises RunFolderError where there is something in ``out``, where the matrices have
    different cells, and what ``srbench.run_folder.merge.merge`` raises.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunFolderError(f"{out}: is there already; choose another --out")
    matrices = [read_matrix(path) for path in paths]
    first = matrices[0]
    for other in matrices[1:]:
        if set(other.cells) != set(first.cells):
            raise RunFolderError(f"{other.path}: has other cells than {first.path}; merge matrices of the same request")
    merged = replace(first, path=out)
    folders = [merge([matrix.folder(cell) for matrix in matrices], merged.folder(cell)) for cell in first.cells]
    write_matrix(merged)
    return folders


def folder_of(spec: MatrixSpec) -> Path:
    """``--out``; else the newest matrix of the same command, whatever its day, else a new one of today."""
    if spec.out:
        return Path(spec.out)
    runs = Path("runs")
    pattern = re.compile(r"\d{4}(-\d\d){2}-matrix(-\d+)?")
    for path in sorted((one for one in runs.glob("*-matrix*") if pattern.fullmatch(one.name)), reverse=True):
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


def _placed(spec: MatrixSpec, matrix: Matrix) -> Iterator[tuple[Cell, RunSpec]]:
    for cell, cell_spec in spec.runs.items():
        yield cell, replace(cell_spec, out=str(matrix.folder(cell)))


def _fault(matrix: Matrix, cell: Cell, error: SRBenchError) -> str:
    return f"{cell.name}: {str(error).removeprefix(f'{matrix.folder(cell)}: ')}"
