"""Digests of code: the sources that a plug-in's numbers depend on, found by following its imports.

A digest covers the plug-in's own module and all modules of the same packages or folder that it imports, directly or
not, also inside functions. A package that merely contains such a module counts by its ``__init__`` alone, other
libraries by their versions. Nothing is imported to find out.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

OURS = "srbench"
"""Package that always counts by its sources, as most plug-ins are written against it."""


@cache
def code_digest(module: str, file: Path, packages: tuple[str, ...] = (), folder: Path | None = None) -> str:
    """SHA-256 of the code behind ``module``, whose source is ``file``, once per process, as modules are imported once.

    Modules count by their sources in the top-level packages ``packages`` and in ``folder``.
    """
    sources, foreign = reachable(module, file, packages, folder)
    digest = hashlib.sha256()
    for name, path in sorted(sources.items()):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    for name in sorted(foreign):
        digest.update(f"{name} {version_of(name)}\n".encode())
    return digest.hexdigest()


@cache
def package_digest(module: str) -> str:
    """``code_digest`` of a module of srbench itself, such as ``srbench.models.inference``."""
    path = _find(module, (OURS,), None)
    assert path is not None
    return code_digest(module, path, (OURS,))


def reachable(
    module: str, file: Path, packages: tuple[str, ...], folder: Path | None
) -> tuple[dict[str, Path], set[str]]:
    """The sources that a module leads to, by name, and the foreign top-level packages that it imports."""
    local = tuple(dict.fromkeys((*packages, OURS)))
    followed: dict[str, Path] = {}
    above: dict[str, Path] = {}
    foreign: set[str] = set()
    waiting = [(module, file)]
    while waiting:
        name, path = waiting.pop()
        if name in followed:
            continue
        followed[name] = path
        parts = name.split(".")
        for parent in (".".join(parts[:end]) for end in range(1, len(parts))):
            if (found := _find(parent, local, folder)) is not None:
                above[parent] = found
        for imported in _imports(name, path.name == "__init__.py", path.read_bytes()):
            top = imported.partition(".")[0]
            package, _, member = imported.rpartition(".")
            if (found := _find(imported, local, folder)) is not None:
                waiting.append((imported, found))
            elif (init := _find(package, local, folder)) is not None and init.name == "__init__.py":
                home = _exports(init.read_bytes()).get(member, "")
                if (found := _find(home, local, folder)) is not None:
                    waiting.append((home, found))
            elif top not in (*local, *sys.stdlib_module_names) and _find(top, local, folder) is None:
                foreign.add(top)
    return above | followed, foreign


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


@cache
def _exports(source: bytes) -> dict[str, str]:
    """Modules by the names that a package takes from them, also for type checkers only: those are loaded on use."""
    try:
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    except (SyntaxError, ValueError):
        return {}
    return {alias.asname or alias.name: node.module or "" for node in nodes for alias in node.names}


def _executed(statements: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Yield statements and all within them, except those for type checkers only."""
    for one in statements:
        if isinstance(one, ast.If) and "TYPE_CHECKING" in ast.unparse(one.test):
            continue
        yield one
        for field in ("body", "handlers", "cases", "orelse", "finalbody"):
            inner = getattr(one, field, ())
            yield from _executed(inner if isinstance(inner, list) else ())


def _find(name: str, packages: tuple[str, ...], folder: Path | None) -> Path | None:
    """The source of a module in one of the packages, or in the folder."""
    top, *rest = name.split(".")
    if top in packages:
        roots = source_roots(top)
    elif folder is not None and top:
        roots, rest = (folder,), [top, *rest]
    else:
        return None
    for root in roots:
        path = root.joinpath(*rest)  # the file itself for a module without a package
        for candidate in (path / "__init__.py", path.with_name(f"{path.name}.py") if rest else path):
            if candidate.is_file():
                return candidate
    return None


@cache
def source_roots(package: str) -> tuple[Path, ...]:
    """Folders of a top-level package, or the file of a module without a package."""
    found = importlib.util.find_spec(package)
    if found is None:
        return ()
    single = [found.origin] if found.has_location and found.origin else []
    return tuple(map(Path, found.submodule_search_locations or single))


@cache
def version_of(package: str) -> str:
    """Version of the distribution behind a top-level package; builds of one version (``+cpu``) are equal."""
    names = {found.name: found.version for found in reversed(distributions_by_package().get(package, []))}
    return ", ".join(f"{name} {names[name].partition('+')[0]}" for name in sorted(names)) or "unknown"


@cache
def distributions_by_package() -> dict[str, list[Distribution]]:
    """Distributions by top-level package, in 0.1 s; the standard library's ``packages_distributions`` takes 1 s."""
    found: dict[str, list[Distribution]] = {}
    for one in distributions():
        files = (one.read_text("top_level.txt") or "").split() or (one.read_text("RECORD") or "").splitlines()
        for name in {re.split(r"[/.,]", file, maxsplit=1)[0] for file in files}:
            found.setdefault(name, []).append(one)
    return found
