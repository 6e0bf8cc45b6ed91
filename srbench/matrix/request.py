"""Requests for several datasets, scales, suites or degradations, laid out as cells: a run for every combination."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from srbench.benchmark.request import RunSpec
from srbench.data.degradations.read import DEFAULT as BICUBIC
from srbench.data.degradations.read import read_degradation
from srbench.matrix import MatrixError
from srbench.matrix.folder import Cell
from srbench.metrics.suite import read_suite
from srbench.models.loading import scale_of


@dataclass(frozen=True)
class MatrixSpec:
    """A request for several runs."""

    command: str
    out: str | None
    runs: Mapping[Cell, RunSpec]
    """Cell -> run, without its folder."""


def span(runs: Sequence[RunSpec], command: str, out: str | None) -> MatrixSpec:
    """Lay runs out as the cells of a matrix.

    ``{data}`` and ``{scale}`` in a model stand for those of the cell. A model made for another scale is left out of a
    cell, with a warning. Raises MatrixError if two cells have one name, or a cell has no model.
    """
    sources = [str(run.hr if run.data is None else run.data) for run in runs]
    titles = _titles(list(dict.fromkeys(sources)))
    cells: dict[Cell, RunSpec] = {}
    for run, source in zip(runs, sources, strict=True):
        degrade = None if run.degrade in (None, BICUBIC) else read_degradation(str(run.degrade)).name
        cell = Cell(titles[source], run.scale, read_suite(run.suite).name, degrade)
        if cell in cells:
            raise MatrixError(f"two runs would share the folder {cell.name}; name datasets and suites once")
        cells[cell] = replace(run, out=None, models=_fitting(run.models, cell))
    return MatrixSpec(command, out, cells)


def _titles(data: Sequence[str]) -> dict[str, str]:
    """Shortest ends of paths that tell datasets apart: ``set5``, ``a-hr`` and ``b-hr``."""
    parts = {text: re.sub("[^A-Za-z0-9._/+-]", "-", text).removesuffix("/").split("/") for text in data}
    titles = {}
    for text, own in parts.items():
        length = 1
        while length < len(own) and sum(own[-length:] == other[-length:] for other in parts.values()) > 1:
            length += 1
        titles[text] = "-".join(own[-length:]).lstrip(".-") or "data"
    return titles


def _fitting(models: Sequence[str], cell: Cell) -> tuple[str, ...]:
    """Models that fit the scale of the cell, with its names filled in."""
    here = [text.replace("{data}", cell.data).replace("{scale}", str(cell.scale)) for text in models]
    fitting = tuple(text for text in here if scale_of(text) in (None, cell.scale))
    if not fitting:
        raise MatrixError(f"x{cell.scale}: no model has this scale; leave it out of --scale")
    for text in here:
        if text not in fitting:
            warnings.warn(f"{text} has another scale; it is left out of x{cell.scale}", stacklevel=4)
    return fitting
