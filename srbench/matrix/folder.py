"""The folder of a matrix: a run folder for every cell, listed in matrix.json. Nothing here loads torch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from srbench.files.atomic import write_whole
from srbench.files.config import ConfigError, structure
from srbench.matrix import MatrixError
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.run_folder.records import KINDS
from srbench.words import one_line

FILE = "matrix.json"
FORMAT = 1


@dataclass(frozen=True)
class MatrixCell:
    """A combination of dataset, scale, suite and degradation: one run of a matrix."""

    data: str
    """Name of the dataset in the table."""
    scale: int
    suite: str
    """Name of the suite without its version; empty if the user named the metrics."""
    degrade: str | None = None
    """Name of the degradation in the table; None for MATLAB's bicubic downscaling."""

    @property
    def name(self) -> str:
        """Name of the run folder: ``set5-x4-classic-y``."""
        return "-".join(filter(None, [self.data, f"x{self.scale}", self.suite, self.degrade]))

    @property
    def dataset(self) -> str:
        """Dataset and degradation in the table."""
        return f"{self.data}, {self.degrade}" if self.degrade else self.data


@dataclass(frozen=True)
class Matrix:
    """Content of ``matrix.json``."""

    format: int
    command: str
    cells: tuple[MatrixCell, ...]


def is_matrix(path: Path) -> bool:
    """Return whether a folder is a matrix."""
    return (path / FILE).is_file()


def has_started(run: Path) -> bool:
    """Return whether the run folder of a cell has a manifest or records."""
    return any((run / name).exists() for name in (MANIFEST, *(kind.FILE for kind in KINDS)))


def runs_in(path: Path) -> list[Path]:
    """Return the run folders of a matrix that were started, even if damaged; or the folder itself if it is no matrix.

    Raises MatrixError for a damaged matrix, and if no run was started.
    """
    if not is_matrix(path):
        return [path]
    matrix = read_matrix(path)
    started = [path / cell.name for cell in matrix.cells if has_started(path / cell.name)]
    if not started:
        raise MatrixError(f"{path}: none of its runs has started; run its command: {matrix.command}")
    return started


def read_matrix(path: Path) -> Matrix:
    """Read ``matrix.json``. Raises MatrixError if it is missing or damaged."""
    file = path / FILE
    try:
        matrix = structure(json.loads(file.read_text(encoding="utf-8")), Matrix, str(file))
    except (OSError, ValueError, RecursionError, ConfigError) as error:
        raise MatrixError(f"{file}: cannot be read ({one_line(error)}); run its command again") from None
    if matrix.format != FORMAT:
        raise MatrixError(f"{file}: format {matrix.format} instead of {FORMAT}; run again with another --out")
    for cell in matrix.cells:
        if Path(cell.name).name != cell.name:
            raise MatrixError(f"{file}: {cell.name!r} cannot be the name of a folder")
    return matrix


def write_matrix(path: Path, command: str, cells: Iterable[MatrixCell]) -> None:
    """Write ``matrix.json`` and make its folder. Raises MatrixError if that fails."""
    listed = asdict(Matrix(FORMAT, command, tuple(cells)))
    try:
        write_whole(path / FILE, (json.dumps(listed, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise MatrixError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None
