"""A request that spans datasets, scales or suites: a matrix of runs. Each cell is a run folder of its own."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from srbench.config import ConfigError, structure
from srbench.images import write_whole
from srbench.manifest import FILE as MANIFEST
from srbench.models import scale_of
from srbench.plan import RunSpec
from srbench.suite import read_suite
from srbench.types import SRBenchError

FILE = "matrix.json"
FORMAT = 1


class MatrixError(SRBenchError):
    """A matrix that cannot be laid out, or a folder that holds none."""


@dataclass(frozen=True)
class Cell:
    """Where a run stands in a matrix."""

    data: str
    """The dataset as the table names it."""
    scale: int
    suite: str
    """Its name without the version."""

    @property
    def name(self) -> str:
        """Of its folder: ``set5-x4-classic-y``."""
        return f"{self.data}-x{self.scale}-{self.suite}"

    @property
    def group(self) -> str:
        """Of its columns in the table."""
        return self.data


SPANNED = tuple(field.name for field in fields(Cell))
"""What may have several values in one request; names of RunSpec too."""


@dataclass(frozen=True)
class Matrix:
    """Some cells, and where they are."""

    path: Path
    command: str
    cells: tuple[Cell, ...]

    def folder(self, cell: Cell) -> Path:
        """The run folder of a cell."""
        return self.path / cell.name


@dataclass(frozen=True)
class MatrixSpec:
    """A request for several runs."""

    command: str
    out: str | None
    runs: Mapping[Cell, RunSpec]
    """By cell; none of them says where it is kept."""


def span(runs: Sequence[RunSpec], command: str, out: str | None) -> MatrixSpec:
    """Lay some runs out as the cells of a matrix.

    ``{data}`` and ``{scale}`` in a model stand for those of the cell. A model that is made for another scale is left
    out of a cell, with a warning. Raises MatrixError where two cells have one name, or a cell has no model.
    """
    sources = [str(run.hr if run.data is None else run.data) for run in runs]
    titles = _titles(list(dict.fromkeys(sources)))
    cells: dict[Cell, RunSpec] = {}
    for run, source in zip(runs, sources, strict=True):
        cell = Cell(titles[source], run.scale, read_suite(run.suite).name)
        if cell in cells:
            raise MatrixError(f"two runs would be kept in {cell.name}; name no dataset, scale or suite twice")
        cells[cell] = replace(run, out=None, models=_fitting(run.models, cell))
    return MatrixSpec(command, out, cells)


def _titles(data: Sequence[str]) -> dict[str, str]:
    """Names for datasets: as much from the end of a path as tells them apart: ``set5``, ``a-hr`` and ``b-hr``."""
    parts = {text: re.sub("[^A-Za-z0-9._/+-]", "-", text).removesuffix("/").split("/") for text in data}
    titles = {}
    for text, own in parts.items():
        length = 1
        while length < len(own) and sum(own[-length:] == other[-length:] for other in parts.values()) > 1:
            length += 1
        titles[text] = "-".join(own[-length:]).lstrip(".-") or "data"
    return titles


def _fitting(models: Sequence[str], cell: Cell) -> tuple[str, ...]:
    """Those that are not made for another scale, with the names of the cell put in."""
    here = [text.replace("{data}", cell.data).replace("{scale}", str(cell.scale)) for text in models]
    fitting = tuple(text for text in here if scale_of(text) in (None, cell.scale))
    if not fitting:
        raise MatrixError(f"x{cell.scale}: no model is made for this scale; leave it out of --scale")
    for text in here:
        if text not in fitting:
            warnings.warn(f"{text} is made for another scale; it is left out of x{cell.scale}", stacklevel=4)
    return fitting


def is_matrix(path: Path) -> bool:
    """Does a folder hold a matrix?"""
    return (path / FILE).is_file()


def runs_in(path: Path) -> list[Path]:
    """The run folders of a matrix that are there, or the folder itself. Raises MatrixError for a damaged matrix."""
    if not is_matrix(path):
        return [path]
    matrix = read_matrix(path)
    begun = [matrix.folder(cell) for cell in matrix.cells if (matrix.folder(cell) / MANIFEST).is_file()]
    if not begun:
        raise MatrixError(f"{path}: nothing of it has been run yet; run its command: {matrix.command}")
    return begun


def read_matrix(path: Path) -> Matrix:
    """What the list in a folder says. Raises MatrixError."""
    file = path / FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        listed = structure(found, _List, str(file))
    except (OSError, ValueError, ConfigError) as error:
        raise MatrixError(f"{file}: cannot be read ({' '.join(str(error).split())}); run its command again") from None
    if listed.format != FORMAT:
        raise MatrixError(f"{file}: of format {listed.format}, not {FORMAT}; run again with another --out")
    for cell in listed.cells:
        if Path(cell.name).name != cell.name:
            raise MatrixError(f"{file}: {cell.name!r} cannot be the name of a folder")
    return Matrix(path, listed.command, listed.cells)


def begin(path: Path, spec: MatrixSpec) -> Matrix:
    """The matrix of a request in a folder; cells that are there stay in the list.

    Raises MatrixError where the folder holds anything else.
    """
    known: tuple[Cell, ...] = ()
    if is_matrix(path):
        known = read_matrix(path).cells
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise MatrixError(f"{path}: is there already, and no matrix of srbench; choose another --out")
    matrix = Matrix(path, spec.command, tuple(dict.fromkeys([*known, *spec.runs])))
    write_matrix(matrix)
    return matrix


def write_matrix(matrix: Matrix) -> None:
    """Write the list; its folder is made. Raises MatrixError where that cannot be written."""
    listed = asdict(_List(FORMAT, matrix.command, matrix.cells))
    content = (json.dumps(listed, indent=1, ensure_ascii=False) + "\n").encode()
    try:
        matrix.path.mkdir(parents=True, exist_ok=True)
        write_whole(matrix.path / FILE, content)
    except OSError as error:
        raise MatrixError(f"{matrix.path}: cannot be written ({error.strerror}); choose another --out") from None


@dataclass(frozen=True)
class _List:
    """``matrix.json``."""

    format: int
    command: str
    cells: tuple[Cell, ...]
