"""Digests of source code, found by following imports, also those inside functions; nothing is imported to find it.

A digest covers a module, the sources that it leads to, and the versions of the installed packages that these import. From
a module of this distribution, sources of this distribution are followed; from a third-party one, all that is not
installed, such as files beside it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

_DISTRIBUTION = "sr-bench"
_ROOTS: dict[str, tuple[Path, ...]] = {}
_AS_IMPORTED: dict[Path, str] = {}
"""SHA-256 of sources as they were when they were first looked at: Python imports a module once, too."""


@cache
def our_packages() -> tuple[str, ...]:
    """Top-level packages of this distribution."""
    try:
        points = distribution(_DISTRIBUTION).entry_points
    except PackageNotFoundError:
        return ("srbench",)
    return tuple(sorted({"srbench", *(point.module.partition(".")[0] for point in points)}))


@lru_cache(maxsize=4096)
def is_library(path: str) -> bool:
    """True for a file of the standard library, an installed package, or this distribution."""
    real = os.path.realpath(path)
    installed = {"site-packages", "dist-packages"} & set(Path(real).parts)
    return bool(installed) or path.startswith("<frozen ") or real.startswith(_library_folders())


@cache
def _library_folders() -> tuple[str, ...]:
    ours = [str(root) for package in our_packages() for root in source_roots(package)]
    folders = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), str(Path(os.__file__).parent), *ours]
    return tuple(os.path.realpath(folder) + os.sep for folder in folders)


@cache
def package_digest(module: str) -> str:
    """SHA-256 of the code behind a module of this distribution, such as ``srbench.models.inference``."""
    return code_digest(module, source_of(module))


def source_of(module: str) -> Path:
    """The source file of a module of this distribution."""
    path = _find(module)
    assert path is not None, module
    return path


def code_digest(module: str, file: Path) -> str:
    """SHA-256 of the code behind ``module``, whose source is ``file``; the name of the module does not count."""
    sources, libraries = reachable(module, file)
    lines = [f"{'' if path == file else name} {source_sha256(path)}" for name, path in sources.items()]
    lines += [f"{name} {version_of(name)}" for name in libraries]
    return texts_digest(*sorted(lines))


def reachable(module: str, file: Path) -> tuple[dict[str, Path], set[str]]:
    """The sources that a module leads to, by name, and the installed top-level packages among its imports.

    The packages around a module count as well, as Python executes their ``__init__.py`` first.
    """
    is_followed = _is_ours if _is_ours(module) else _is_not_installed
    sources: dict[str, Path] = {}
    libraries: set[str] = set()
    waiting = [(module, file)]
    while waiting:
        name, path = waiting.pop()
        if name in sources:
            continue
        sources[name] = path
        parts = name.split(".")
        imports = [".".join(parts[:end]) for end in range(1, len(parts))]
        imports += _imports(name, path.name == "__init__.py", path.read_bytes())
        for imported in imports:
            if not is_followed(imported):
                libraries.add(imported.partition(".")[0])
            elif (found := _find(imported)) is not None:
                waiting.append((imported, found))
    return sources, libraries - set(sys.stdlib_module_names)


@cache
def _imports(name: str, is_package: bool, source: bytes) -> tuple[str, ...]:
    """Absolute names of what a source imports; ``from a import b`` may mean the module a.b, or a name in a."""
    package = name if is_package else name.rpartition(".")[0]
    found: list[str] = []
    try:
        for node in _executed(ast.parse(source).body):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    except (SyntaxError, ValueError, ImportError):
        return ()
    return tuple(found)


def _executed(statements: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Yield statements and all within them, except those for type checkers only."""
    for statement in statements:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            continue
        yield statement
        for field in ("body", "handlers", "cases", "orelse", "finalbody"):
            inner = getattr(statement, field, ())
            yield from _executed(inner if isinstance(inner, list) else ())


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in our_packages()


def _is_not_installed(name: str) -> bool:
    return not _is_ours(name) and not all(is_library(str(root)) for root in source_roots(name.partition(".")[0]))


def _find(name: str) -> Path | None:
    """The source of a module, by its place below its top-level package."""
    top, *rest = name.split(".")
    for root in source_roots(top) if top else ():
        path = root.joinpath(*rest)  # the file itself for a module without a package
        for candidate in (path / "__init__.py", path.with_name(f"{path.name}.py") if rest else path):
            if candidate.is_file():
                return candidate
    return None


def source_roots(package: str) -> tuple[Path, ...]:
    """Folders of a top-level package, or the file of a module without a package; empty for any other name."""
    if package not in _ROOTS:
        try:
            found = importlib.util.find_spec(package)
        except ValueError:  # a module that was not loaded from anywhere
            found = None
        if found is None:
            return ()  # it may be there later, as plug-ins add their folders to the path
        single = [found.origin] if found.has_location and found.origin else []
        _ROOTS[package] = tuple(map(Path, found.submodule_search_locations or single))
    return _ROOTS[package]


@cache
def version_of(package: str) -> str:
    """Version of the distribution behind a top-level package; builds of one version (``+cpu``) are equal."""
    installed = _distributions().get(package, [])
    if not installed and _is_ours(package):  # an editable installation lists none of our files
        installed = list(distributions(name=_DISTRIBUTION))
    found = {one.name: one.version.partition("+")[0] for one in reversed(installed)}
    return ", ".join(f"{name} {found[name]}" for name in sorted(found)) or "unknown"


@cache
def _distributions() -> dict[str, list[Distribution]]:
    """Distributions by top-level package, in a tenth of the time of the standard library's function."""
    found: dict[str, list[Distribution]] = {}
    for installed in distributions():
        files = (installed.read_text("top_level.txt") or "").split() or (
            installed.read_text("RECORD") or ""
        ).splitlines()
        for name in {re.split(r"[/.,]", file, maxsplit=1)[0] for file in files}:
            found.setdefault(name, []).append(installed)
    return found


def source_sha256(path: Path) -> str:
    """SHA-256 of a source as it was when it was imported, whatever its line ends."""
    if path not in _AS_IMPORTED:
        _AS_IMPORTED[path] = hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    return _AS_IMPORTED[path]


def imported_again(path: Path) -> None:
    """Forget a source that is about to be executed once more."""
    _AS_IMPORTED.pop(path, None)


def texts_digest(*parts: str) -> str:
    """SHA-256 of texts, one per line."""
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()
