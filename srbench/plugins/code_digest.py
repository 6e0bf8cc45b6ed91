"""Digests of source code, which is found by following import statements, including those in functions.

Nothing is imported. A digest covers a module, the sources that it imports directly or indirectly, and the versions of
the installed packages that these import. From a module of srbench's distribution, imports are followed within the
distribution; from a third-party module, within the folder that holds it (of a package, the folder that holds the
package).
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from types import ModuleType

from srbench.files.hashes import sha256_bytes, sha256_texts

_DISTRIBUTION = "sr-bench"
_FOLDER = Path(__file__).parents[2]
"""Folder of the packages of this distribution."""
_AS_IMPORTED: dict[Path, str] = {}
"""SHA-256 of sources when first read. Later changes do not count, because Python imports a module only once."""


@cache
def our_packages() -> tuple[str, ...]:
    """Top-level packages of this distribution."""
    try:
        points = distribution(_DISTRIBUTION).entry_points
    except PackageNotFoundError:
        return ("srbench",)
    return tuple(sorted({"srbench", *(point.module.partition(".")[0] for point in points)}))


@cache
def package_digest(module: str) -> str:
    """SHA-256 of the code that a module of this distribution runs, such as ``srbench.models.inference``."""
    return code_digest(module, source_of(module))


def source_of(module: str) -> Path:
    """The source file of a module of this distribution."""
    path = _find(module, _FOLDER)
    assert path is not None, module
    return path


def module_digest(module: ModuleType) -> str:
    """SHA-256 of the code of an imported module, or the version of its distribution if it is installed."""
    top, file = module.__name__.partition(".")[0], getattr(module, "__file__", None)
    if file is None or (not _is_ours(top) and (top in sys.stdlib_module_names or is_installed(Path(file)))):
        return f"{top} {version_of(top)}"
    return code_digest(module.__name__, Path(file))


def is_installed(file: Path) -> bool:
    """Return whether a file is of an installed package."""
    return bool({"site-packages", "dist-packages"} & set(file.resolve().parts))


def code_digest(module: str, file: Path) -> str:
    """SHA-256 of the code that ``module``, with source ``file``, runs; the name of the module does not count."""
    sources, libraries = reachable(module, file)
    lines = [f"{'' if path == file else name} {source_sha256(path)}" for name, path in sources.items()]
    lines += [f"{name} {version_of(name)}" for name in libraries]
    return sha256_texts(*sorted(lines))


def reachable(module: str, file: Path) -> tuple[dict[str, Path], set[str]]:
    """Sources that a module imports, directly or indirectly, by module name; also the installed packages among them.

    The packages that contain a module count as well, because Python executes their ``__init__.py`` first.
    """
    folder = file.parents[module.count(".") + (file.name == "__init__.py")]
    sources: dict[str, Path] = {}
    known: set[str] = set()
    """All names imported so far: each is looked up once."""
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
            if imported in known:
                continue
            known.add(imported)
            if _is_ours(imported) == _is_ours(module) and (source := _find(imported, folder)) is not None:
                waiting.append((imported, source))
    packages = {name.partition(".")[0] for name in known}
    return sources, packages - {name.partition(".")[0] for name in sources} - set(sys.stdlib_module_names)


@cache
def _imports(name: str, is_package: bool, source: bytes) -> tuple[str, ...]:
    """Absolute names of all imports in a source; ``from a import b`` may mean the module a.b, or a name in a."""
    package = name if is_package else name.rpartition(".")[0]
    names: list[str] = []
    try:
        for node in _executed(ast.parse(source).body):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                with suppress(ImportError):  # a relative import outside of a package, for which a file may have another
                    base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                    names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    except (SyntaxError, ValueError):
        return ()
    return tuple(names)


def _executed(statements: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Yield all statements, nested ones included, except those for type checkers alone."""
    for statement in statements:
        if isinstance(statement, ast.If) and _is_type_checking(statement.test):
            yield from _executed(statement.orelse)
            continue
        yield statement
        for field in ("body", "handlers", "cases", "orelse", "finalbody"):
            inner = getattr(statement, field, ())
            yield from _executed(inner if isinstance(inner, list) else ())


def _is_type_checking(test: ast.expr) -> bool:
    """Return whether a condition is ``TYPE_CHECKING`` or ``typing.TYPE_CHECKING``."""
    return "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None))


def _find(name: str, folder: Path) -> Path | None:
    """The source of a module, located by its path below a folder; None if there is none."""
    path = folder.joinpath(*name.split("."))
    candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in our_packages()


@cache
def version_of(package: str) -> str:
    """Version of the distribution of a top-level package; local builds of a version (``+cpu``) count as equal."""
    installed = _distributions().get(package, [])
    if not installed and _is_ours(package):  # an editable installation does not list its files
        installed = list(distributions(name=_DISTRIBUTION))
    versions = {found.name: found.version.partition("+")[0] for found in reversed(installed)}
    return ", ".join(f"{name} {versions[name]}" for name in sorted(versions)) or "unknown"


@cache
def _distributions() -> dict[str, list[Distribution]]:
    """Distributions by top-level package, faster than by the standard library's function."""
    by_package: dict[str, list[Distribution]] = {}
    for installed in distributions():
        files = (installed.read_text("top_level.txt") or "").split() or (
            installed.read_text("RECORD") or ""
        ).splitlines()
        for name in {re.split(r"[/.,]", file, maxsplit=1)[0] for file in files}:
            by_package.setdefault(name, []).append(installed)
    return by_package


def source_sha256(path: Path) -> str:
    """SHA-256 of a source at the time of its import, independent of line endings."""
    if path not in _AS_IMPORTED:
        _AS_IMPORTED[path] = _sha256(path)
    return _AS_IMPORTED[path]


def has_changed(path: Path) -> bool:
    """Return whether a source is new to this process, or has changed since; its present content counts from now on."""
    before, _AS_IMPORTED[path] = _AS_IMPORTED.get(path), _sha256(path)
    return _AS_IMPORTED[path] != before


def _sha256(path: Path) -> str:
    return sha256_bytes(path.read_bytes().replace(b"\r\n", b"\n"))
