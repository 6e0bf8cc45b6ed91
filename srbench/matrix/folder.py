"""Folder of a matrix: a run folder for every cell, and the list of them. Nothing here loads torch."""

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
class Cell:
    """Place of a run in a matrix."""

    data: str
    """Dataset, as the table names it."""
    scale: int
    suite: str
    """Name of the suite without its version; empty if the metrics are named instead."""
    degrade: str | None = None
    """Degradation, as the table names it; None for MATLAB's bicubic downscaling."""

    @property
    def name(self) -> str:
        """Name of the run folder: ``set5-x4-classic-y``."""
        return "-".join(filter(None, [self.data, f"x{self.scale}", self.suite, self.degrade]))

    @property
    def dataset(self) -> str:
        """Dataset and degradation, as the table names them."""
        return f"{self.data}, {self.degrade}" if self.degrade else self.data


@dataclass(frozen=True)
class Matrix:
    """Contents of ``matrix.json``."""

    format: int
    command: str
    cells: tuple[Cell, ...]


def is_matrix(path: Path) -> bool:
    """True if a folder holds a matrix."""
    return (path / FILE).is_file()


def has_started(run: Path) -> bool:
    """True if the folder of a cell holds a manifest or records."""
    return any((run / name).exists() for name in (MANIFEST, *(kind.FILE for kind in KINDS)))


def runs_in(path: Path) -> list[Path]:
    """Run folders of a matrix that have been started, damaged ones too; or the folder itself if it is no matrix.

    Raises MatrixError for a damaged matrix, and if no run has been started.
    """
    if not is_matrix(path):
        return [path]
    matrix = read_matrix(path)
    started = [path / cell.name for cell in matrix.cells if has_started(path / cell.name)]
    if not started:
        raise MatrixError(f"{path}: no run of it has started; run its command: {matrix.command}")
    return started


def read_matrix(path: Path) -> Matrix:
    """Read the list of a folder. Raises MatrixError if it is missing or damaged."""
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


def write_matrix(path: Path, command: str, cells: Iterable[Cell]) -> None:
    """Write the list, and make its folder. Raises MatrixError if that fails."""
    listed = asdict(Matrix(FORMAT, command, tuple(cells)))
    try:
        write_whole(path / FILE, (json.dumps(listed, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as error:
        raise MatrixError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None
