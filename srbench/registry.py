"""From what a user types to an object: models, metrics, data sets, trainers and converters, found by entry points.

Only what is asked for is imported, so a broken plugin harms nobody else. A model is named as

    srflow                      a registered model
    srflow:FILE                 a registered model with the weights of a file or an official checkpoint
    srflow:RUN                  the same, with those of the finished training in a folder
    srflow:NAME                 the same, by a name of ``srbench weights list`` that has been fetched
    esrgan@0.7                  0.7 of the weights and 0.3 of those they started from (network interpolation); also
                                with a colon and any of the above
    package.module:Name         a class or function that makes a model
    path/to/file.py:Name        the same, in a file
    label=FOLDER                results made elsewhere, paired by name
    label=ANY OF THE OTHERS     under another label
    ANY MODEL+consistent        its pictures made to shrink back to LR (``srbench.consistent``); no folder of results

A registered name comes before a folder of that name (write ``./srflow`` for the folder).
A class or function is called with ``scale=`` if it takes that, and with ``weights=`` if a file is named.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from srbench.consistent import Consistent, ConsistentSamples
from srbench.names import unknown
from srbench.precomputed import ResultFolder
from srbench.types import (
    Converter,
    Dataset,
    Metric,
    PrecomputedResults,
    SRBenchError,
    SRModel,
    StochasticSRModel,
    Trainer,
    Weighted,
    WeightsInfo,
)
from srbench.weights.files import WeightsError, sha256_file, weights_in
from srbench.weights.table import cached_path, released_weights

KINDS = ("models", "metrics", "datasets", "trainers", "converters")
"""Entry point groups are ``srbench.`` and one of these."""
SCALES = (2, 3, 4, 8)
"""Those that the field uses: what a registered model is asked for when it is described."""
RESERVED = ("hr", "lr")
"""Labels that no model may have: the folders of the pictures themselves."""

CONSISTENT = "+consistent"
"""Ends the name of a model whose pictures are made consistent."""

_INTERPOLATED = re.compile(r"([^:/@]+)@([^:/@]+)")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


class RegistryError(SRBenchError):
    """A name that stands for nothing, or for something that cannot be loaded."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run."""

    label: str
    """Its name in the table and in file names."""
    spec: str
    """What the user typed."""
    model: SRModel | StochasticSRModel | PrecomputedResults
    digest: str
    """sha256 of what determines its answers: the weights, and version or source of the code."""
    weights: WeightsInfo | None


@dataclass(frozen=True)
class _Source:
    """What makes a model."""

    factory: Callable[..., Any]
    label: str
    code: str
    """Version or hash of the code."""
    weights: Path | None = None
    strength: float | None = None
    """Share of the weights in an interpolated network."""


def registered(kind: str) -> dict[str, EntryPoint]:
    """The entry points of a kind (one of KINDS) by name, sorted; nothing is imported."""
    return {point.name: point for point in sorted(entry_points(group=f"srbench.{kind}"), key=lambda p: p.name)}


def load_model(spec: str, scale: int, device: str) -> LoadedModel:
    """Make the model that ``spec`` names, on a device and ready to run.

    Raises RegistryError where the name stands for nothing or cannot be loaded, and whatever SRBenchError the
    model itself raises (weights that are damaged or of another scale).
    """
    label, named, rest = spec.partition("=")
    if not named:
        label, rest = "", spec
    elif not _LABEL.fullmatch(label):
        raise RegistryError(f"label {label!r} in {spec!r}: use letters, digits and . _ + - only")
    if named and rest not in registered("models") and Path(rest).is_dir():
        return LoadedModel(label, spec, ResultFolder(Path(rest), scale), _sha256(f"results x{scale}"), None)
    rest, suffix = (rest.removesuffix(CONSISTENT), CONSISTENT) if rest.endswith(CONSISTENT) else (rest, "")
    source = _find(rest, spec)
    model = _made(source, rest, scale)
    if getattr(model, "scale", None) != scale:
        made_for = getattr(model, "scale", "no")
        raise RegistryError(f"{rest} has scale {made_for}, not {scale}; its attribute 'scale' must be --scale")
    weights = model.weights if isinstance(model, Weighted) and isinstance(model.weights, WeightsInfo) else None
    loaded = weights.sha256 if weights else sha256_file(source.weights) if source.weights else "no weights"
    if isinstance(model, nn.Module):
        model = model.to(device).eval()
    if suffix:
        model = ConsistentSamples(model) if isinstance(model, StochasticSRModel) else Consistent(model)
    digest = _sha256(f"{source.code} {loaded}{suffix}")
    return LoadedModel(label or source.label + suffix, spec, model, digest, weights)


def ready_models(name: str) -> dict[int, LoadedModel]:
    """A registered model by scale, for every one of SCALES at which it runs without a weights file.

    Raises the SRBenchError of the largest scale where there is none.
    """
    ready, fault = {}, None
    for scale in SCALES:
        try:
            ready[scale] = load_model(name, scale, "cpu")
        except SRBenchError as error:
            fault = error
    if fault is not None and not ready:
        raise fault
    return ready


def load_metric(name: str) -> Metric:
    """Make the registered metric of a name. Raises RegistryError."""
    metric: Metric = _call(f"metric {name}", _load("metrics", name))
    return metric


def load_dataset(name: str, scale: int) -> Dataset:
    """Open the registered data set of a name. Raises RegistryError, or the data set's own SRBenchError."""
    dataset: Dataset = _call(f"dataset {name}", _load("datasets", name), scale)
    return dataset


def load_trainer(name: str) -> Trainer:
    """The function behind ``srbench train NAME``. Raises RegistryError."""
    trainer: Trainer = _load("trainers", name)
    return trainer


def load_converter(name: str) -> Converter:
    """The function that reads official checkpoints of a model. Raises RegistryError."""
    converter: Converter = _load("converters", name)
    return converter


def describe(kind: str, name: str) -> str:
    """The docstring of what is registered under a name. Raises RegistryError."""
    return inspect.getdoc(_load(kind, name)) or "(no description)"


def _load(kind: str, name: str) -> Any:  # noqa: ANN401 - whatever the entry point names
    points = registered(kind)
    if name not in points:
        raise RegistryError(unknown(kind.removesuffix("s"), name, points))
    return _call(f"{kind.removesuffix('s')} {name} ({points[name].value})", points[name].load)


def _find(text: str, spec: str) -> _Source:
    before, colon, after = text.rpartition(":")
    points = registered("models")
    if interpolated := _INTERPOLATED.fullmatch(before if colon else text):
        name, share = interpolated[1], interpolated[2]
        return _interpolated(_find(f"{name}:{after}" if colon else name, spec), spec, share)
    if not colon:
        if text not in points and Path(text).is_dir():
            raise RegistryError(f"{spec}: a folder of results needs a label; write NAME={text}")
        if text not in points and "/" in text:
            raise RegistryError(f"{text}: no such folder of results; check the path in {spec!r}")
        return _Source(_load("models", text), text, _version(points[text]))
    if before in points:
        path = _weights_file(after, spec)
        label = re.sub("[^A-Za-z0-9._+-]", "-", path.stem if path == Path(after) else Path(after).resolve().name)
        label = label if label.startswith(f"{before}-") else f"{before}-{label}"
        return _Source(_load("models", before), label, _version(points[before]), path)
    if before.endswith(".py"):
        return _from_module(_module_of_file(Path(before)), after, spec)
    if re.fullmatch(r"\w+(\.\w+)*", before) and importlib.util.find_spec(before.partition(".")[0]):
        return _from_module(_call(f"module {before}", importlib.import_module, before), after, spec)
    names = [*points, "package.module:Name", "file.py:Name", "label=FOLDER"]
    raise RegistryError(unknown("model", before, names))


def _interpolated(source: _Source, spec: str, share: str) -> _Source:
    try:
        strength = float(share)
    except ValueError:
        strength = math.nan
    if not 0 <= strength <= 1:
        raise RegistryError(f"{spec}: {share} is no share of the weights; write a number from 0 to 1, as in esrgan@0.7")
    if not _takes(source.factory, "strength"):
        raise RegistryError(f"{spec}: {source.label} cannot be interpolated; leave @{share} out")
    return replace(source, label=f"{source.label}-{share}", code=f"{source.code} @{strength}", strength=strength)


def _weights_file(text: str, spec: str) -> Path:
    path = weights_in(Path(text))
    if path.is_file():
        return path
    if text not in released_weights():
        raise WeightsError(f"{text}: no such weights file; check the path in {spec!r}")
    if not cached_path(text).is_file():
        raise WeightsError(f"{text}: not fetched yet; run srbench weights fetch {text}")
    return cached_path(text)


def _from_module(module: ModuleType, name: str, spec: str) -> _Source:
    factory = getattr(module, name, None)
    if not callable(factory):
        names = [key for key, value in vars(module).items() if inspect.isclass(value) or inspect.isfunction(value)]
        raise RegistryError(f"{spec}: {unknown('class or function', name, names)}")
    return _Source(factory, name, sha256_file(Path(str(module.__file__))))


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise RegistryError(f"{path}: no such file; a model is named as path/to/file.py:Name")
    name = f"srbench_user_{_sha256(str(path.resolve()))[:12]}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses look their module up
    _call(str(path), found.loader.exec_module, module)
    return module


def _made(source: _Source, text: str, scale: int) -> Any:  # noqa: ANN401 - a model of any kind
    arguments: dict[str, Any] = {"scale": scale} if _takes(source.factory, "scale") else {}
    if source.weights is not None:
        if not _takes(source.factory, "weights"):
            name = text.rpartition(":")[0]
            raise RegistryError(f"{text}: the model {name} takes no weights file; leave it out")
        arguments["weights"] = source.weights
    if source.strength is not None:
        arguments["strength"] = source.strength
    return _call(text, source.factory, **arguments)


def _takes(factory: Callable[..., Any], argument: str) -> bool:
    try:
        return argument in inspect.signature(factory).parameters
    except ValueError:  # built-in callables have no signature
        return False


def _call(what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
    """Run foreign code; its own SRBenchErrors pass, all else becomes one line that says where it failed."""
    try:
        return function(*arguments, **named)
    except SRBenchError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name} line {frame.lineno}"
        reason = " ".join(str(error).split())
        raise RegistryError(f"{what} failed: {type(error).__name__}: {reason} ({place})") from error


def _version(point: EntryPoint) -> str:
    version = point.dist.version if point.dist else "unknown"
    return f"{point.value} {version}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
