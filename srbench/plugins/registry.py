"""Lookup of plug-ins by name: models, metrics, datasets, trainers and converters.

    psnr                        an entry point
    package.module:Name         a class or function of an installed package
    path/to/file.py:Name        a class or function of a file

Only the named plug-in is imported, so a broken plug-in does not affect the rest. ``srbench.models.names`` and
``srbench.metrics.loading`` describe further names of models and metrics.
"""

from __future__ import annotations

import ast
import filecmp
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from contextlib import chdir
from dataclasses import dataclass
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

from srbench.files.hashes import sha256_texts
from srbench.interfaces import Dataset, SRBenchError
from srbench.machine.memory import out_of_memory, shortage
from srbench.plugins import PluginError
from srbench.plugins.code_digest import has_changed, is_installed, our_packages, reachable, source_of
from srbench.words import one_line, unknown

_FILE_MODULE = "srbench_user_"
"""Prefix of module names for files that users name."""
_NAMES = {"metric_families": "metric family"}
"""Kinds of plug-ins in messages; other kinds lose their last letter."""


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
        """Return whether the factory has a parameter of that name."""
        return argument in self.arguments()

    def arguments(self) -> tuple[str, ...]:
        """Names of the factory's parameters."""
        return tuple(self._parameters())

    def missing(self, arguments: Collection[str]) -> list[str]:
        """Parameters without a default that are not among the arguments."""
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return [
            name
            for name, parameter in self._parameters().items()
            if parameter.default is parameter.empty and parameter.kind not in variadic and name not in arguments
        ]

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        try:
            return inspect.signature(self.factory).parameters
        except ValueError:  # some built-in callables have no signature
            return {}


@cache
def registered(kind: str) -> dict[str, EntryPoint]:
    """Entry points of the group ``srbench.KIND``, sorted by name; looked up once per process without importing them."""
    return {point.name: point for point in sorted(entry_points(group=f"srbench.{kind}"), key=lambda p: p.name)}


def find_plugin(kind: str, text: str) -> Plugin:
    """Import the plug-in named ``text`` of a kind, such as ``models``. Raises PluginError if that fails."""
    points, what = registered(kind), _NAMES.get(kind, kind.removesuffix("s"))
    before, colon, name = text.rpartition(":")
    if text in points:
        point = points[text]
        factory = call(f"{what} {text} ({point.value})", point.load)
        return Plugin(factory, text, sys.modules[point.module], point.attr)
    if colon and before.endswith(".py"):
        return _member(module_of_file(Path(before)), name, text, kind)
    if text.endswith(".py"):
        return _member(module_of_file(Path(text)), "", text, kind)
    if colon and re.fullmatch(r"\w+(\.\w+)*", before) and importlib.util.find_spec(before.partition(".")[0]):
        return _member(call(f"module {before}", importlib.import_module, before), name, text, kind)
    families = [f"{family}:NAME" for family in registered(f"{what}_families")]  # such as pyiqa:NAME
    ways = [*points, *families, "package.module:Name", "file.py:Name"]
    raise PluginError(unknown(what, text if text.isidentifier() else before or text, ways))


def docstring_of(kind: str, name: str) -> str:
    """Return the docstring of a plug-in, or "".

    Registered plug-ins of srbench's distribution are not imported, because many load torch. Raises PluginError if the
    import of any other plug-in fails.
    """
    if name not in registered(kind) or not is_ours(kind, name):
        return find_plugin(kind, name).factory.__doc__ or ""
    point = registered(kind)[name]
    statements = ast.parse(source_of(point.module).read_bytes()).body
    named = (
        each for each in statements if isinstance(each, ast.ClassDef | ast.FunctionDef) and each.name == point.attr
    )
    return next((ast.get_docstring(each) or "" for each in named), "")


def load_dataset(text: str, scale: int) -> Dataset:
    """Open the dataset named ``text``. Raises PluginError, or the dataset's own SRBenchError."""
    dataset: Dataset = call(f"dataset {text}", find_plugin("datasets", text).factory, scale)
    return dataset


def call(action: str, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
    """Call a plug-in's code; ``action`` describes the call in messages.

    Passes on SRBenchErrors and turns any other exception, including ``sys.exit``, into a PluginError naming the line of
    the plug-in that failed. If the code changes the working folder, it is changed back, so that relative paths stay
    valid.
    """
    try:
        with chdir("."):
            return function(*arguments, **named)
    except SRBenchError:
        raise
    except (Exception, SystemExit) as error:
        if out_of_memory(error):
            lack = shortage(error)
            advice = "use a machine with more memory" if "on the CPU" in lack else "use --device cpu"
            raise PluginError(f"{action} failed: {lack}; {advice}") from error
        raise PluginError(f"{action} failed: {with_place(error)}") from error


def with_place(error: BaseException) -> str:
    """Describe an exception with its place, ``ValueError: too small (net.py line 7)``.

    The place is the innermost line outside of installed packages, Python and this distribution, if there is one. A
    syntax error names its place itself.
    """
    text = f"{type(error).__name__}: {one_line(error)}"
    if isinstance(error, SyntaxError) and error.filename:
        return text
    frames = [*traceback.walk_tb(error.__traceback__)]
    frame, line = next((each for each in reversed(frames) if _is_third_party(each[0])), frames[-1])
    return f"{text} ({Path(frame.f_code.co_filename).name} line {line})"


def _is_third_party(frame: FrameType) -> bool:
    """Return whether a frame runs code outside of installed packages, Python and this distribution."""
    top = str(frame.f_globals.get("__name__")).partition(".")[0]
    return top not in (*sys.stdlib_module_names, *our_packages()) and not is_installed(Path(frame.f_code.co_filename))


class _SourceLoader(SourceFileLoader):
    """Compiles a file at every import, and leaves no ``__pycache__`` beside it.

    Python takes cached bytecode for that of a file of the same size and second: after a quick edit, an image would come
    from code that its digest does not cover.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def module_of_file(path: Path) -> ModuleType:
    """Import a file, which may import modules beside it; a second time only if it has changed.

    Raises PluginError if the file is missing or fails.
    """
    if not path.is_file():
        raise PluginError(f"{path}: no such file; name a plug-in as path/to/file.py:Name")
    file = path.resolve()
    name = f"{_FILE_MODULE}{sha256_texts(str(file))[:12]}"
    if not has_changed(file) and name in sys.modules:
        return sys.modules[name]
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # last, so that a file cannot shadow an installed package
    loader = _SourceLoader(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module
    try:
        call(str(path), loader.exec_module, module)
        _require_own_modules(name, file)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _require_own_modules(module: str, file: Path) -> None:
    """Raise PluginError if a file imports a module beside or below it, but Python has another module of that name."""
    for name, source in reachable(module, file)[0].items():
        try:
            spec = importlib.util.find_spec(name.partition(".")[0])
        except ValueError:  # a module in ``sys.modules`` without a spec
            spec = None
        if name == module or spec is None:
            continue
        locations = [Path(location) for location in spec.submodule_search_locations or [str(spec.origin)]]
        found = [location.parent / source.relative_to(file.parent) for location in locations]
        # identical copies are harmless
        if not any(path.is_file() and filecmp.cmp(path, source, shallow=False) for path in found):
            raise PluginError(
                f"{file}: imports {name}, but Python has already found {locations[0]} by that name; rename "
                f"{source.name}, run the plug-ins separately, or move {file.name} to another folder"
            )


def is_ours(kind: str, text: str) -> bool:
    """Return whether a plug-in is in srbench's distribution, without importing it."""
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
            choice = "name one of them, as in" if len(names) > 1 else "write"
            raise PluginError(f"{text} defines {', '.join(names)}; {choice} {example}{checkpoint}")
        raise PluginError(f"{text}: {unknown('class or function', name, names)}")
    if getattr(module, "__file__", None) is None:
        raise PluginError(
            f"{text}: {module.__name__} has no source file, so changes cannot be detected; name code in a file"
        )
    return Plugin(factory, name, module, name)
