"""Digests of code: which sources a plug-in's numbers depend on, found by following its imports.

A digest covers the plug-in's own module and every module of the same packages or folder that it imports, directly or
not, also inside functions. A package that a module merely lies in counts by its ``__init__`` alone. Other libraries
count by their versions. Nothing is imported to find out.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

OURS = "srbench"
"""Always counts by its sources: most plug-ins are written against it."""


@cache
def code_digest(module: str, file: Path, packages: tuple[str, ...] = (), folder: Path | None = None) -> str:
    """sha256 of the code behind ``module``, whose source is ``file``.

    ``packages`` are the names of top-level packages that count by their sources, ``folder`` is one whose modules do.
    It is found once a process, as modules are imported once.
    """
    return code_digest_now(module, file, packages, folder)


def code_digest_now(module: str, file: Path, packages: tuple[str, ...], folder: Path | None) -> str:
    """The same of the sources as they are now: of a file that was executed again."""
    sources, foreign = reachable(module, file, packages, folder)
    digest = hashlib.sha256()
    for name, path in sorted(sources.items()):
        digest.update(f"{name} {hashlib.sha256(_text(path)).hexdigest()}\n".encode())
    for name in sorted(foreign):
        digest.update(f"{name} {_version(name)}\n".encode())
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
    """The sources that a module leads to, by name, and the names of the foreign top-level packages it imports."""
    local = tuple(dict.fromkeys((*packages, OURS)))
    followed: dict[str, Path] = {}
    packages_above: dict[str, Path] = {}
    foreign: set[str] = set()
    waiting = [(module, file)]
    while waiting:
        name, path = waiting.pop()
        if name in followed:
            continue
        followed[name] = path
        for parent in _parents(name):
            if (above := _find(parent, local, folder)) is not None:
                packages_above[parent] = above
        for imported in _imports(name, path.name == "__init__.py", path.read_bytes()):
            top = imported.partition(".")[0]
            if (found := _find(imported, local, folder)) is not None:
                waiting.append((imported, found))
            elif top not in (*local, *sys.stdlib_module_names) and _find(top, local, folder) is None:
                foreign.add(top)
    return packages_above | followed, foreign


@cache
def _imports(name: str, is_package: bool, source: bytes) -> tuple[str, ...]:
    """Absolute names of what a source imports; ``from a import b`` may mean the module a.b, or a name in a."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    package = name if is_package else name.rpartition(".")[0]
    found: list[str] = []
    for node in _executed(tree.body):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(found)


def _executed(statements: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """These statements and all within them, but those that only a type checker sees."""
    for one in statements:
        if isinstance(one, ast.If) and "TYPE_CHECKING" in ast.unparse(one.test):
            continue
        yield one
        parts = [one, *getattr(one, "handlers", ()), *getattr(one, "cases", ())]
        for part in parts:
            for field in ("body", "orelse", "finalbody"):
                yield from _executed(getattr(part, field, ()))


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _parents(name: str) -> Iterator[str]:
    """``a.b.c`` -> ``a``, ``a.b``."""
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts)))


def _find(name: str, packages: tuple[str, ...], folder: Path | None) -> Path | None:
    """The source of a module in one of the packages, or in the folder."""
    top, *rest = name.split(".")
    if top in packages:
        roots = [Path(root) for root in _locations(top)]
    elif folder is not None and top:
        roots, rest = [folder], [top, *rest]
    else:
        return None
    for root in roots:
        path = root.joinpath(*rest)
        for candidate in (path / "__init__.py", path.with_name(f"{path.name}.py") if rest else path):
            if candidate.is_file():
                return candidate
    return None


@cache
def _locations(package: str) -> tuple[str, ...]:
    found = importlib.util.find_spec(package)
    if found is None:
        return ()
    return tuple(found.submodule_search_locations or ())


@cache
def _version(package: str) -> str:
    """Of the distribution that a top-level package comes from; builds of one version (``+cpu``) are one."""
    names = {found.name: found.version for found in reversed(_distributions().get(package, []))}
    return ", ".join(f"{name} {names[name].partition('+')[0]}" for name in sorted(names)) or "unknown"


@cache
def _distributions() -> dict[str, list[Distribution]]:
    """By top-level package; ``packages_distributions`` reads all metadata of every distribution, which takes longer."""
    found: dict[str, list[Distribution]] = {}
    for one in distributions():
        files = (one.read_text("top_level.txt") or "").split() or (one.read_text("RECORD") or "").splitlines()
        for name in {re.split(r"[/.,]", file, maxsplit=1)[0] for file in files}:
            found.setdefault(name, []).append(one)
    return found


def _text(path: Path) -> bytes:
    return path.read_bytes().replace(b"\r\n", b"\n")
