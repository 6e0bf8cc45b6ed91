"""From bench.toml and command line to runs. The command line overrides the file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from srbench.benchmark import BenchmarkError, RequestError
from srbench.benchmark.checkpoints import stated_scale
from srbench.data.datasets import scale_of_folders
from srbench.files.config import load_toml, structure
from srbench.metrics.suite import read_suite
from srbench.models.names import ModelSpec
from srbench.models.precomputed import ResultFolder
from srbench.run_folder.limits import SUITE
from srbench.run_folder.manifest import is_run, read_manifest
from srbench.run_folder.request import OneOrMore, RunSpec, Scale

SPANNED = ("data", "scale", "suite", "degrade")
"""Fields of RunSpec for which a request may list several values; every combination is a run."""


def _kind(name: str, kind: Any) -> Any:  # noqa: ANN401 - types
    several: Any = OneOrMore[Scale] if name == "scale" else OneOrMore[str]
    return (kind | several if name in SPANNED else kind) | None


BenchFile = make_dataclass(
    "BenchFile",
    [
        (name, _kind(name, kind), None)
        for name, kind in get_type_hints(RunSpec, include_extras=True).items()
        if name not in ("shard", "again")
    ],
    frozen=True,
)
"""Keys of a bench.toml: all options of ``srbench run`` except ``shard`` and ``again``."""


def requested_runs(path: Path | None, typed: Mapping[str, Any]) -> list[RunSpec]:
    """Return the runs that a file and the command line request: one per combination of the SPANNED values.

    Args:
        path: A bench.toml, or None.
        typed: Options of the command line by their names in RunSpec; values of SPANNED options may be tuples.

    Raises:
        RequestError: The command line lacks models, scale or data.
        ConfigError: The file has an unknown key, or a value of the wrong type or out of range.
        BenchmarkError: The file is missing or a folder, or the request contradicts itself.
        ImageError: HR and LR images are not pairs of a common scale.
    """
    if path is not None and path.is_dir():
        raise BenchmarkError(f"{path}: a folder, not a TOML file; to measure its images, write --data {path}")
    if path is not None and not path.exists():
        raise BenchmarkError(f"{path}: missing, not a TOML file; check the path, and separate several names by commas")
    where = "the command line" if path is None else str(path)
    file = {} if path is None else vars(load_toml(path, BenchFile))
    options = {name: value for name, value in file.items() if value is not None}
    if "data" in typed:
        options.pop("hr", None)
        options.pop("lr", None)
    if "hr" in typed or ("lr" in typed and "hr" not in options):
        options.pop("data", None)
    options |= typed
    if "models" not in options:
        raise RequestError(f"{where}: models is missing; give --models, or write it into a file")
    if "hr" in options or "lr" in options:
        if "data" in options or "lr" not in options:
            kind = RequestError if path is None else BenchmarkError
            raise kind(f"{where}: give data, or hr and lr together, or lr alone")
        options["data"] = (None,)
    if (
        "scale" not in options
        and "hr" in options
        and (scale := scale_of_folders(Path(options["hr"]), Path(options["lr"])))
    ):
        options["scale"] = scale
    if "scale" not in options:
        options["scale"] = agreed_scale({model: stated_scale(model) for model in options["models"]}, where)
    values = {name: options.pop(name) for name in SPANNED if name in options}
    combinations = itertools.product(*(value if isinstance(value, tuple) else (value,) for value in values.values()))
    return [_run(options | dict(zip(values, combination, strict=True)), where) for combination in combinations]


def _run(options: dict[str, Any], where: str) -> RunSpec:
    """Return one run; the number of samples defaults to that of outputs made elsewhere,
    else to what its suite states.
    """
    if "samples" not in options:
        samples = (
            _samples_made(options["models"], options.get("out")) or read_suite(options.get("suite", SUITE)).samples
        )
        options |= {} if samples is None else {"samples": samples}
    spec = structure(options, RunSpec, where)
    if spec.shard is not None and spec.out is None:
        raise BenchmarkError(f"{where}: a shard needs a folder of its own; name it with --out")
    return spec


def _samples_made(models: Sequence[str], out: str | None) -> int | None:
    """Return the number of samples if all models are folders of equally many of every image; None otherwise.

    A run folder that is extended keeps its own number.
    """
    specs = [ModelSpec.parse(text) for text in models]
    if not all(spec.kind == "folder" for spec in specs):
        return None
    if out is not None and is_run(Path(out)):
        return read_manifest(Path(out)).protocol.samples
    counts = {ResultFolder(Path(spec.name), 1).samples for spec in specs}
    return counts.pop() if len(counts) == 1 else None


def agreed_scale(stated: Mapping[str, int | None], where: str, option: str = "--scale") -> int:
    """Return the scale on which the models agree.

    ``stated`` are scales by name of the model, None for a model without a fixed scale; ``option`` is how the caller
    sets the scale. Raises RequestError if no model states a scale, BenchmarkError if scales differ.
    """
    scales = {model: scale for model, scale in stated.items() if scale is not None}
    if not scales:
        raise RequestError(
            f"{where}: scale is missing, and no model states one ({', '.join(stated)}); give {option}, "
            "or add an attribute scale to the class of the model"
        )
    if len(set(scales.values())) > 1:
        listed = ", ".join(f"{model} {scale}" for model, scale in scales.items())
        raise BenchmarkError(
            f"{where}: the models are made for several scales ({listed}); choose one with {option}, or measure each"
        )
    return next(iter(scales.values()))
