"""bench.toml: a run as a file, with the options of ``srbench run`` as keys. The command line overrides the file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import make_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

from srbench.benchmark.request import RunSpec, checked
from srbench.images.io import write_whole
from srbench.matrix import MatrixError
from srbench.matrix.folder import SPANNED
from srbench.matrix.request import MatrixSpec, span
from srbench.metrics.suite import DEFAULT, read_suite
from srbench.models.loading import scale_of
from srbench.system.config import load_toml, register

TEMPLATE = (files("srbench.matrix") / "bench.toml").read_text(encoding="utf-8")


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


BenchFile = make_dataclass("BenchFile", [
    (name, _kind(name, kind), None) for name, kind in get_type_hints(RunSpec).items() if name != "shard"
], frozen=True)  # fmt: skip
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
    if "hr" in given:
        asked.pop("data", None)
    asked |= given
    if "models" not in asked:
        raise RequestError(f"{where}: models is missing; give --models, or write it into a file")
    if not asked["models"]:
        raise MatrixError(f"{where}: models is empty; name at least one")
    if "hr" in asked or "lr" in asked:
        if "data" in asked or not ("hr" in asked and "lr" in asked):
            kind = RequestError if path is None else MatrixError
            raise kind(f"{where}: give data, or hr and lr together")
        asked["data"] = (None,)
    if "scale" not in asked:
        asked["scale"] = _scale_of(asked["models"], where)
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
    return checked(RunSpec(**asked), where)


def _scale_of(models: Sequence[str], where: str) -> int:
    """The scale that the weights or classes of the models are made for."""
    said = {model: scale for model in models if (scale := scale_of(model)) is not None}
    if not said:
        raise RequestError(f"{where}: scale is missing and no model implies it; give --scale, or write it into a file")
    if len(set(said.values())) > 1:
        listed = ", ".join(f"{model} {scale}" for model, scale in said.items())
        raise MatrixError(
            f"{where}: the models are made for several scales ({listed}); choose one, or give all: "
            f"--scale {','.join(map(str, sorted(set(said.values()))))}"
        )
    return next(iter(said.values()))


def write_template(path: Path) -> None:
    """Write a commented bench.toml. Raises MatrixError if the file already exists."""
    if path.exists():
        raise MatrixError(f"{path}: already exists; name another file")
    write_whole(path, TEMPLATE.encode())
