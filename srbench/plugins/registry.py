"""Plug-ins by the names that users type: models, metrics, datasets, trainers and converters.

    psnr                        an entry point
    package.module:Name         a class or function of an installed package
    path/to/file.py:Name        a class or function of a file
    pyiqa:dists                 a metric of a registered family

Only the named plug-in is imported, so a broken one does not affect the others. ``srbench.models`` lists further names
of models.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from srbench.interfaces import GROUPS, MOST_DIGITS, Dataset, MappedMetric, Metric, MetricFacts, SRBenchError, Trainer
from srbench.plugins import PluginError
from srbench.plugins.code_digest import code_digest, code_digest_now
from srbench.system.file_names import one_line, unknown
from srbench.weights.files import sha256_file

KINDS = ("models", "metrics", "datasets", "trainers", "converters")
"""Entry point groups, without ``srbench.``."""
FAMILIES = "metric_families"
"""Entry point group of classes that implement many metrics, chosen by an argument ``variant``: ``pyiqa:dists``."""


@dataclass(frozen=True)
class Plugin:
    """An imported plug-in."""

    factory: Callable[..., Any]
    name: str
    """Registered name, or name of the class or function."""
    digest: str
    """SHA-256 of its code (see ``srbench.plugins.code_digest``) and of its name, as a module may hold several."""

    def takes(self, argument: str) -> bool:
        """True if the factory has an argument of that name."""
        try:
            return argument in inspect.signature(self.factory).parameters
        except ValueError:  # built-in callables have no signature
            return False


@dataclass(frozen=True)
class LoadedMetric:
    """A metric of a run."""

    metric: Metric
    facts: MetricFacts
    """The metric's own facts, completed for the run."""


@cache
def registered(kind: str) -> dict[str, EntryPoint]:
    """Entry points of one of KINDS by name, sorted; looked up once per process, nothing is imported."""
    return {point.name: point for point in sorted(entry_points(group=f"srbench.{kind}"), key=lambda p: p.name)}


def find_plugin(kind: str, text: str) -> Plugin:
    """Import the plug-in of a kind that ``text`` names. Raises PluginError if that fails."""
    points, (before, colon, name) = registered(kind), text.rpartition(":")
    if text in points:
        point = points[text]
        factory = call(f"{kind.removesuffix('s')} {text} ({point.value})", point.load)
        module = sys.modules[point.module]
        code = code_digest(module.__name__, Path(str(module.__file__)), _packages(point))
        return Plugin(factory, text, _sha256(code, point.attr))
    if colon and before.endswith(".py"):
        return _member(module_of_file(Path(before)), name, text, Path(before).resolve().parent)
    if colon and re.fullmatch(r"\w+(\.\w+)*", before) and importlib.util.find_spec(before.partition(".")[0]):
        return _member(call(f"module {before}", importlib.import_module, before), name, text, None)
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
    plugin = find_plugin(FAMILIES, family) if is_variant else find_plugin("metrics", name)
    refused = [one for one in parameters if not plugin.takes(one)]
    if refused:
        raise PluginError(f"metric {text}: {plugin.name} takes no parameter {refused[0]}; leave it out")
    arguments = parameters | ({"variant": variant} if is_variant else {})
    metric: Metric = call(f"metric {text}", plugin.factory, **arguments)
    facts = _checked_facts(metric, f"metric {text}")
    files = [sha256_file(Path(path)) for path in facts.parameters]
    given = repr(sorted(parameters.items()))
    digest = _sha256(plugin.digest, *files, given, quantize, variant, facts.fingerprint)
    facts = completed(facts, text, digest, quantize)
    return LoadedMetric(metric, facts if samples is None else counted(facts, str(samples)))


def _checked_facts(metric: Metric, what: str) -> MetricFacts:
    """The facts of a metric. Raises PluginError for facts that no table could show."""
    facts = getattr(metric, "facts", None)
    if not isinstance(facts, MetricFacts) or not callable(metric):
        raise PluginError(f"{what} needs facts (srbench.interfaces.MetricFacts) and has to be callable")
    if not re.fullmatch(r"[A-Za-z0-9_]{1,100}", facts.name):
        raise PluginError(f"{what}: its name {facts.name!r} may have letters, digits and _ only")
    if not (str(facts.title).strip() and type(facts.digits) is int and 0 <= facts.digits <= MOST_DIGITS):
        raise PluginError(f"{what}: needs a title, and 0 to {MOST_DIGITS} digits after the point")
    if (facts.map is not None) != isinstance(metric, MappedMetric):
        raise PluginError(f"{what}: a metric with the fact map has a method map, and no other has")
    if facts.group not in GROUPS or facts.direction not in (-1, 0, 1):
        raise PluginError(f"{what}: its group is one of {', '.join(GROUPS)}, and its direction -1, 0 or 1")
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


def load_trainer(name: str) -> Trainer:
    """The function behind ``srbench train NAME``. Raises PluginError."""
    trainer: Trainer = find_plugin("trainers", name).factory
    return trainer


def describe(kind: str, name: str) -> str:
    """The docstring of a registered plug-in. Raises PluginError."""
    return inspect.getdoc(find_plugin(kind, name).factory) or "(no description)"


def source_digest(thing: object) -> str | None:
    """SHA-256 of the code of an object's class, or of a function; None without a source file."""
    subject = thing if inspect.isfunction(thing) else type(thing)
    try:
        file = Path(inspect.getsourcefile(subject) or "")
    except TypeError:
        return None
    known = getattr(sys.modules.get(subject.__module__), "__file__", None)  # not of code that was executed as text
    if not file.is_file() or known is None or subject.__qualname__.endswith("<lambda>"):
        return None
    module = sys.modules[subject.__module__]
    return _sha256(code_digest(module.__name__, Path(known), (), file.parent), subject.__qualname__)


def call(what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
    """Run foreign code; its SRBenchErrors pass, other errors become a PluginError that names the failing line."""
    try:
        return function(*arguments, **named)
    except (SRBenchError, KeyboardInterrupt):
        raise
    except BaseException as error:
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
    name = f"srbench_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses look their module up
    call(str(path), found.loader.exec_module, module)
    return module


def _member(module: ModuleType, name: str, text: str, folder: Path | None) -> Plugin:
    factory = getattr(module, name, None)
    if not callable(factory):
        names = [key for key, value in vars(module).items() if inspect.isclass(value) or inspect.isfunction(value)]
        raise PluginError(f"{text}: {unknown('class or function', name, names)}")
    if getattr(module, "__file__", None) is None:
        raise PluginError(f"{text}: {module.__name__} has no file that would tell a change; name code in a file")
    package = () if folder is not None else (module.__name__.partition(".")[0],)
    find_digest = code_digest if folder is None else code_digest_now
    code = find_digest(module.__name__, Path(str(module.__file__)), package, folder)
    return Plugin(factory, name, _sha256(code, name))


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _packages(point: EntryPoint) -> tuple[str, ...]:
    """Top-level packages of the distribution of an entry point, as far as its entry points show."""
    tops = {point.module.partition(".")[0]}
    if point.dist is not None:
        tops |= {other.module.partition(".")[0] for other in point.dist.entry_points if other.module}
    return tuple(sorted(tops))
