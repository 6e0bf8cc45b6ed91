"""Plug-ins by the names that users type: models, metrics, datasets, trainers and converters.

    psnr                        an entry point
    package.module:Name         a class or function of an installed package
    path/to/file.py:Name        a class or function of a file
    pyiqa:dists                 a metric of a registered family

Only the named plug-in is imported, so a broken one does not affect the others. ``srbench.models`` lists further names
of models.
"""

from __future__ import annotations

import filecmp
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from srbench.files.hashes import sha256_file
from srbench.interfaces import GROUPS, Dataset, MappedMetric, Metric, MetricFacts, SRBenchError
from srbench.plugins import PluginError
from srbench.plugins.code_digest import (
    imported_again,
    our_packages,
    package_digest,
    reachable,
    source_of,
    texts_digest,
)
from srbench.plugins.identity import Loading
from srbench.words import one_line, unknown

MOST_DIGITS = 12
"""Largest number of decimals of a printed metric."""
_PARAMETERS = "srbench.metrics.parameters"
"""Module through which our metrics read their packaged parameters, which lie in a folder of the same name."""
_OF_FILE = "srbench_user_"
"""First part of the names of modules that are files named by users."""
FAMILIES = "metric_families"
"""Entry point group of classes that implement many metrics, chosen by an argument ``variant``: ``pyiqa:dists``; all
other arguments that a user typed are handed on."""


@dataclass(frozen=True)
class Plugin:
    """An imported plug-in."""

    factory: Callable[..., Any]
    name: str
    """Registered name, or name of the class or function."""
    module: ModuleType
    member: str
    """Name of the class or function in the module."""

    def takes(self, argument: str) -> bool:
        """True if the factory has an argument of that name."""
        return argument in self._parameters()

    def lacking(self, given: Collection[str]) -> list[str]:
        """Arguments without a default that are not among the given ones."""
        return [
            name
            for name, one in self._parameters().items()
            if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD) and name not in given
        ]

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        try:
            return inspect.signature(self.factory).parameters
        except ValueError:  # built-in callables have no signature
            return {}


@dataclass(frozen=True)
class LoadedMetric:
    """A metric of a run."""

    metric: Metric
    facts: MetricFacts
    """The metric's own facts, completed for the run."""


@cache
def registered(kind: str) -> dict[str, EntryPoint]:
    """Entry points of the group ``srbench.KIND`` by name, sorted; looked up once per process, nothing is imported."""
    return {point.name: point for point in sorted(entry_points(group=f"srbench.{kind}"), key=lambda p: p.name)}


def find_plugin(kind: str, text: str) -> Plugin:
    """Import the plug-in of a kind that ``text`` names. Raises PluginError if that fails."""
    points = registered(kind)
    before, colon, name = text.rpartition(":")
    with Loading():  # what a module opens when it is imported also counts for the next plug-in that imports it
        if text in points:
            point = points[text]
            factory = call(f"{kind.removesuffix('s')} {text} ({point.value})", point.load)
            return Plugin(factory, text, sys.modules[point.module], point.attr)
        if colon and before.endswith(".py"):
            return _member(module_of_file(Path(before)), name, text)
        if text.endswith(".py"):
            return _member(module_of_file(Path(text)), "", text)
        if colon and re.fullmatch(r"\w+(\.\w+)*", before) and importlib.util.find_spec(before.partition(".")[0]):
            return _member(call(f"module {before}", importlib.import_module, before), name, text)
    ways = [*points, "package.module:Name", "file.py:Name"]
    raise PluginError(unknown(kind.removesuffix("s"), text if text.isidentifier() else before or text, ways))


def parse_metric(text: str) -> tuple[str, dict[str, str | int]]:
    """Take ``psnr+channels=Y+border=4`` apart: its name, as ``find_plugin`` takes it, and the arguments of its class.

    Whole numbers become integers, other values stay text.
    """
    found = re.fullmatch(r"(.+?)((?:\+\w+=[^+]+)*)", text)
    name, rest = (found[1], found[2]) if found else (text, "")
    pairs = (part.split("=", 1) for part in rest.split("+")[1:])
    return name, {key: int(value) if value.isdecimal() and len(value) < 19 else value for key, value in pairs}


def open_metric(text: str, quantize: str = "floor", samples: int | None = None) -> LoadedMetric:
    """Create the metric that ``text`` names, for outputs that became 8-bit images by ``quantize``.

    ``samples`` is the number of samples per image, which the signatures of some metrics state; None: unknown.
    Raises PluginError, or the metric's own SRBenchError for unusable parameters.
    """
    name, parameters = parse_metric(text)
    family, colon, variant = name.partition(":")
    is_variant = bool(colon) and family in registered(FAMILIES)
    with Loading() as loading:
        plugin = find_plugin(FAMILIES, family) if is_variant else find_plugin("metrics", name)
        # a family knows the arguments of each of its metrics itself
        refused = [key for key in parameters if (key == "variant" if is_variant else not plugin.takes(key))]
        if refused:
            raise PluginError(f"metric {text}: {plugin.name} takes no parameter {refused[0]}; leave it out")
        arguments = parameters | ({"variant": variant} if is_variant else {})
        metric: Metric = call(f"metric {text}", plugin.factory, **arguments)
    facts = _checked_facts(metric, f"metric {text}")
    digest = metric_digest(text, quantize)
    if digest is None:
        code = call(f"digest of metric {text}", loading.digest, plugin.module, plugin.member, metric)
        digest = texts_digest(code, repr(sorted(arguments.items())), quantize)
    facts = completed(facts, text, digest, quantize)
    return LoadedMetric(metric, facts if samples is None else counted(facts, str(samples)))


def metric_digest(text: str, quantize: str) -> str | None:
    """The digest that ``open_metric`` gives a metric of this distribution, without loading it; None for any other.

    It covers its code, its arguments (files among them by their content), and the packaged parameters, if its code
    reads any.
    """
    name, parameters = parse_metric(text)
    if name not in registered("metrics") or not is_ours("metrics", name):
        return None
    point = registered("metrics")[name]
    files = [Path(value) for value in parameters.values() if isinstance(value, str) and Path(value).is_file()]
    source = reachable(point.module, source_of(point.module))[0].get(_PARAMETERS)
    files += sorted(source.with_suffix("").glob("*.safetensors")) if source else []
    sums = [sha256_file(file) for file in files]
    return texts_digest(package_digest(point.module), point.attr, repr(sorted(parameters.items())), quantize, *sums)


def _checked_facts(metric: Metric, what: str) -> MetricFacts:
    """The facts of a metric. Raises PluginError for facts that no table could show."""
    facts = getattr(metric, "facts", None)
    if not isinstance(facts, MetricFacts) or not callable(metric):
        raise PluginError(f"{what} needs facts (srbench.interfaces.MetricFacts) and has to be callable")
    if not re.fullmatch(r"[A-Za-z0-9_]{1,100}", facts.name):
        raise PluginError(f"{what}: its name {facts.name!r} may contain only letters, digits and _")
    if not (str(facts.title).strip() and type(facts.digits) is int and 0 <= facts.digits <= MOST_DIGITS):
        raise PluginError(f"{what}: needs a title, and 0 to {MOST_DIGITS} digits after the point")
    if (facts.map is not None) != isinstance(metric, MappedMetric):
        raise PluginError(f"{what}: the fact map and a method map go together; add the missing one, or drop both")
    if facts.group not in GROUPS or facts.direction not in (-1, 0, 1):
        raise PluginError(f"{what}: its group must be one of {', '.join(GROUPS)}, and its direction -1, 0 or 1")
    return facts


def completed(facts: MetricFacts, spec: str, digest: str, quantize: str) -> MetricFacts:
    """The facts of a metric in a run: its name as typed, the full signature and protocol.

    A signature is name, channels, ``floor``, ``round`` or ``float`` for the outputs seen, and the rest. If the metric
    states none, a digest of the code and the parameters take its place.
    """
    name, seen = facts.name.upper().replace("_", "-"), {"returned": "float", "model": ""}.get(facts.sees, quantize)
    if facts.signature:
        first, *rest = facts.signature.split("|")
        parts = [name, first, seen, *rest]
    else:
        own = "".join(f"+{key}={value}" for key, value in parse_metric(spec)[1].items())
        parts = [name, f"code {digest[:8]}{own}", "" if seen in ("float", "floor") else seen]
    protocol = facts.protocol.replace("{quantize}", quantize)
    return replace(facts, spec=spec, digest=digest, protocol=protocol, signature="|".join(filter(None, parts)))


def counted(facts: MetricFacts, samples: str) -> MetricFacts:
    """The facts with the number of samples per image in the signature, if all samples of an image make one value."""
    if facts.per != "image" or facts.sees == "model":
        return facts
    return replace(facts, signature=f"{facts.signature}|n{samples}")


def load_metric(text: str) -> Metric:
    """Create the metric that ``text`` names. Raises PluginError."""
    return open_metric(text).metric


def load_dataset(text: str, scale: int) -> Dataset:
    """Open the dataset that ``text`` names. Raises PluginError, or the dataset's own SRBenchError."""
    dataset: Dataset = call(f"dataset {text}", find_plugin("datasets", text).factory, scale)
    return dataset


def call(what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
    """Call a plug-in's code. Raises its SRBenchErrors, and PluginError, which names the failing line, for all others.

    A plug-in that calls ``sys.exit`` has failed too.
    """
    try:
        return function(*arguments, **named)
    except SRBenchError:
        raise
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name} line {frame.lineno}"
        raise PluginError(f"{what} failed: {type(error).__name__}: {one_line(error)} ({place})") from error


def module_of_file(path: Path) -> ModuleType:
    """Import a file, which may import modules beside it. Raises PluginError if it is missing or fails."""
    if not path.is_file():
        raise PluginError(f"{path}: no such file; a plug-in is named as path/to/file.py:Name")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # at the end: a file of a common name must not take an installed package's place
    name = f"{_OF_FILE}{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    found = importlib.util.spec_from_file_location(name, path.absolute())
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses look their module up
    imported_again(Path(str(module.__file__)))
    call(str(path), found.loader.exec_module, module)
    _require_own_modules(name, path.resolve())
    return module


def _require_own_modules(name: str, path: Path) -> None:
    """Raise PluginError if a module beside the file is that of another plug-in, which Python keeps by its name."""
    for imported, source in reachable(name, path)[0].items():
        own = path.parent.joinpath(*imported.split("."))
        for candidate in (own / "__init__.py", own.with_name(f"{own.name}.py")):
            # copies may share a name
            if candidate.is_file() and not filecmp.cmp(candidate, source, shallow=False):
                raise PluginError(
                    f"{path}: imports {imported}, but that is {source} in this command; rename one, or run them "
                    "separately"
                )


def is_ours(kind: str, text: str) -> bool:
    """True for a plug-in of this distribution; nothing is imported to find out."""
    points = registered(kind)
    module = points[text].module if text in points else text.rpartition(":")[0]
    return not module.endswith(".py") and module.partition(".")[0] in our_packages()


def _member(module: ModuleType, name: str, text: str) -> Plugin:
    factory = getattr(module, name, None)
    if not callable(factory):
        names = [
            key
            for key, value in vars(module).items()
            if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == module.__name__
        ]
        if not name and names:
            raise PluginError(f"{text} defines {', '.join(names)}; name one of them, as in {text}:{names[-1]}")
        raise PluginError(f"{text}: {unknown('class or function', name, names)}")
    if getattr(module, "__file__", None) is None:
        raise PluginError(f"{text}: {module.__name__} has no file in which to detect changes; name code in a file")
    return Plugin(factory, name, module, name)
