"""Requests: a run, or a matrix of runs, as asked for by bench.toml and the command line, which overrides the file."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from srbench.data.degradations import DEFAULT as BICUBIC
from srbench.data.degradations.read import read_degradation
from srbench.files.config import load_toml, register
from srbench.matrix import MatrixError
from srbench.matrix.folder import SPANNED, Cell
from srbench.metrics.suite import DEFAULT, read_suite
from srbench.models.loading import scale_of
from srbench.run_folder.request import RunSpec


class RequestError(MatrixError):
    """A request that lacks models or a scale, or a command line that contradicts itself."""


def _one_or_more(kind: type) -> Callable[[object], object]:
    def read(value: object) -> object:
        values = tuple(value) if isinstance(value, list) else (value,)
        if not values or any(type(one) is not kind for one in values):
            raise ValueError(f"{value!r} is neither {kind.__name__} nor a list of them")
        return values

    return read


register(str | tuple[str, ...] | None, _one_or_more(str))
register(int | tuple[int, ...] | None, _one_or_more(int))


def _kind(name: str, kind: Any) -> Any:  # noqa: ANN401 - types
    one: Any = int if name == "scale" else str
    return (one | tuple[one, ...] if name in SPANNED else kind) | None


BenchFile = make_dataclass(
    "BenchFile",
    [(name, _kind(name, kind), None) for name, kind in get_type_hints(RunSpec).items() if name != "shard"],
    frozen=True,
)
"""Keys of a bench.toml: all options of a run but the shard."""


def read_spec(path: Path | None, given: Mapping[str, Any]) -> RunSpec | MatrixSpec:
    """The run, or the matrix of runs, that a file and the options of a command line request.

    ``given`` are options by their names in RunSpec; those of SPANNED may be tuples. Raises ConfigError for an unknown
    key or a value of the wrong type, RequestError for missing models or scale, MatrixError for a contradiction.
    """
    where = "the command line" if path is None else str(path)
    file = {} if path is None else vars(load_toml(path, BenchFile))
    asked = {name: value for name, value in file.items() if value is not None}
    if "data" in given:
        asked.pop("hr", None), asked.pop("lr", None)
    if "hr" in given or ("lr" in given and "hr" not in asked):
        asked.pop("data", None)
    asked |= given
    if "models" not in asked:
        raise RequestError(f"{where}: models is missing; give --models, or write it into a file")
    if not asked["models"]:
        raise MatrixError(f"{where}: models is empty; name at least one")
    if "hr" in asked or "lr" in asked:
        if "data" in asked or "lr" not in asked:
            kind = RequestError if path is None else MatrixError
            raise kind(f"{where}: give data, or hr and lr together, or lr alone")
        asked["data"] = (None,)
    if "scale" not in asked:
        asked["scale"] = agreed_scale({model: scale_of(model) for model in asked["models"]}, where)
    values = {name: asked.pop(name) for name in SPANNED if name in asked}
    spanned = {name: value if isinstance(value, tuple) else (value,) for name, value in values.items()}
    runs = [
        _run(asked | dict(zip(spanned, chosen, strict=True)), where) for chosen in itertools.product(*spanned.values())
    ]
    if len(runs) == 1:
        return runs[0]
    return span(runs, runs[0].command({name: one for name, one in spanned.items() if len(one) > 1}), asked.get("out"))


def _run(asked: dict[str, Any], where: str) -> RunSpec:
    """A run of single values; a suite may fix the number of samples."""
    if "samples" not in asked and (samples := read_suite(asked.get("suite", DEFAULT)).samples) is not None:
        asked["samples"] = samples
    return RunSpec(**asked).checked(where)


def agreed_scale(stated: Mapping[str, int | None], where: str, option: str = "--scale") -> int:
    """The one scale that models state by their weights or classes: name of a model -> its scale.

    Raises RequestError if none states one, MatrixError if they state several.
    """
    said = {model: scale for model, scale in stated.items() if scale is not None}
    if not said:
        raise RequestError(
            f"{where}: scale is missing, and no model states one ({', '.join(stated)}); give {option}, "
            "or add an attribute scale to the class of the model"
        )
    if len(set(said.values())) > 1:
        listed = ", ".join(f"{model} {scale}" for model, scale in said.items())
        raise MatrixError(
            f"{where}: the models are made for several scales ({listed}); choose one with {option}, or measure each"
        )
    return next(iter(said.values()))


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
    sources = [str(run.data or run.hr or run.lr) for run in runs]
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
