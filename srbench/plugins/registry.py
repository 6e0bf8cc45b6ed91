"""Plug-ins by the names that users type: models, metrics, datasets, trainers and converters.

    psnr                        an entry point
    package.module:Name         a class or function of an installed package
    path/to/file.py:Name        a class or function of a file

Only the named plug-in is imported, so a broken one does not affect the others. ``srbench.models`` and
``srbench.metrics.loading`` list further names of models and metrics.
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
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from srbench.interfaces import Dataset, SRBenchError
from srbench.plugins import PluginError
from srbench.plugins.code_digest import imported_again, our_packages, reachable
from srbench.plugins.identity import Loading
from srbench.words import one_line, unknown

_OF_FILE = "srbench_user_"
"""First part of the names of modules that are files named by users."""


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
        return argument in self.arguments()

    def arguments(self) -> tuple[str, ...]:
        """Names of the factory's arguments."""
        return tuple(self._parameters())

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
            return _member(module_of_file(Path(before)), name, text, kind)
        if text.endswith(".py"):
            return _member(module_of_file(Path(text)), "", text, kind)
        if colon and re.fullmatch(r"\w+(\.\w+)*", before) and importlib.util.find_spec(before.partition(".")[0]):
            return _member(call(f"module {before}", importlib.import_module, before), name, text, kind)
    ways = [*points, "package.module:Name", "file.py:Name"]
    raise PluginError(unknown(kind.removesuffix("s"), text if text.isidentifier() else before or text, ways))


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


def _member(module: ModuleType, name: str, text: str, kind: str) -> Plugin:
    factory = getattr(module, name, None)
    if not callable(factory):
        names = [
            key
            for key, value in vars(module).items()
            if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == module.__name__
        ]
        if not name and names:
            example = f"{text}:{names[-1]}"
            checkpoint = f", or with its checkpoint, {example}:FILE.pth" if kind == "models" else ""
            raise PluginError(f"{text} defines {', '.join(names)}; name one of them, as in {example}{checkpoint}")
        raise PluginError(f"{text}: {unknown('class or function', name, names)}")
    if getattr(module, "__file__", None) is None:
        raise PluginError(f"{text}: {module.__name__} has no file in which to detect changes; name code in a file")
    return Plugin(factory, name, module, name)
