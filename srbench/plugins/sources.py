"""Digests of third-party code: the whole package or folder, as imports cannot always be followed.

An installed wheel counts by its version, its list of files, and the sources that its imports lead to.
"""

# Paths are text and not resolved: a link may lead elsewhere tomorrow.

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from srbench.plugins.code_digest import OURS, distributions_by_package, reachable, source_roots, version_of
from srbench.plugins.watch import READ_BY, Inputs, is_library

MOST_FILES = 2000
"""Number of Python files above which a folder counts by those alone that imports lead to."""
_MOST_ENTRIES = 50_000
_SKIPPED = ("__pycache__", "node_modules", "site-packages", "dist-packages")
_AS_IMPORTED: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()
"""Digests of the sources of modules, as they were when they were first looked at."""


@dataclass(frozen=True)
class Sources:
    """The code behind a plug-in."""

    digest: str
    inputs: Inputs
    """Modules of other folders that it has imported, what they read meanwhile, and files that its code names."""
    covered: frozenset[str]
    """Real paths of the files in the digest."""

    def with_file(self, path: Path) -> Sources:
        """The same for a plug-in whose digest covers one more file."""
        covered = self.covered | {str(path.resolve())}
        return Sources(self.digest, self.inputs.without(covered), covered)


def sources_of(module: ModuleType, packages: tuple[str, ...] = ()) -> Sources:
    """The code behind a module, of a file or of ``packages``, which are those of its distribution."""
    file = Path(str(module.__file__)).resolve()
    tops = tuple(one for one in packages if one != OURS)
    roots = [root for top in tops for root in source_roots(top)]
    in_package = any(root.is_dir() for root in roots)
    folder = None if in_package or is_library(str(file)) else file.parent
    reached, foreign = reachable(module.__name__, file, tops, folder)
    covered = _all_below([root for root in roots if root.is_dir()] if in_package else [file.parent])
    if is_library(str(file)) or covered is None:
        covered = {_shown(name): path for name, path in reached.items()}
    lines = [f"{name} {_text_digest(path)}" for name, path in covered.items()]
    paths = {path.resolve() for path in covered.values()}
    lines += [f"{name} {_text_digest(path)}" for name, path in reached.items() if path.resolve() not in paths]
    lines += [f"{name} {version_of(name)}" for name in foreign]
    lines += [_record(top) for top in tops if is_library(str(file))]
    inputs = _named(reached, file.parent) | _read_by(_used(module, reached, foreign), paths)
    whole = frozenset(map(str, paths | {path.resolve() for path in reached.values()}))
    return Sources(hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest(), inputs.without(whole), whole)


def _shown(name: str) -> str:
    """The name of a module, without the path that is in that of a file."""
    return re.sub(r"srbench_user_[0-9a-f]{12}", "file", name)


def _all_below(folders: list[Path]) -> dict[str, Path] | None:
    """All Python files below some folders by relative name; None if they are too many."""
    found: dict[str, Path] = {}
    seen = 0
    for root in folders:
        for here, below, names in os.walk(root):
            below[:] = [name for name in below if not _is_skipped(Path(here), name)]
            seen += len(below) + len(names)
            for name in names:
                if name.endswith(".py"):
                    path = Path(here, name)
                    found[path.relative_to(root).as_posix()] = path
            if len(found) > MOST_FILES or seen > _MOST_ENTRIES:
                return None
    return found


def _is_skipped(folder: Path, name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED or (folder / name / "pyvenv.cfg").exists()


def _text_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    except OSError:
        return "unreadable"


def _record(package: str) -> str:
    """The versions of the distributions behind a package, with digests of their lists of files."""
    found = []
    for one in distributions_by_package().get(package, []):
        files = sorted(line for line in (one.read_text("RECORD") or "").splitlines() if ".dist-info/" not in line)
        listed = hashlib.sha256("\n".join(line for line in files if ",sha256=" in line).encode()).hexdigest()
        found.append(f"{one.name} {one.version} {listed}")
    return f"{package} {' '.join(sorted(found))}"


@lru_cache(maxsize=4096)
def _texts(source: bytes) -> frozenset[str]:
    """Short texts in a source, which may name modules or files."""
    try:
        nodes = ast.walk(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    values = (node.value for node in nodes if isinstance(node, ast.Constant))
    return frozenset(one for one in values if isinstance(one, str) and 0 < len(one) < 200 and "\n" not in one)


def _named(reached: dict[str, Path], folder: Path) -> Inputs:
    """Files that the code names by a text: libraries written in other languages read them unseen."""
    own = [path for path in reached.values() if not is_library(str(path))]
    texts = {text for path in own for text in _texts(path.read_bytes()) if "." in text or os.sep in text}
    places = {os.path.abspath(start / text) for text in texts for start in (folder, Path())}
    return Inputs(frozenset(place for place in places if os.path.isfile(place) and not is_library(place)))


def _used(module: ModuleType, reached: dict[str, Path], foreign: set[str]) -> list[ModuleType]:
    """Modules that are no libraries and that a module leads to: imported, named in the code, or holding its names."""
    names = {*reached, *foreign}
    for path in reached.values():
        if not is_library(str(path)):
            names |= _texts(path.read_bytes())
    waiting = [module, *(sys.modules[name] for name in names if name in sys.modules)]
    found: dict[int, ModuleType] = {}
    while waiting:
        one = waiting.pop()
        file = getattr(one, "__file__", None)
        if id(one) not in found and isinstance(file, str) and not is_library(file):
            found[id(one)] = one
            waiting += list(_modules_in(one))
    return list(found.values())


def _modules_in(module: ModuleType) -> Iterator[ModuleType]:
    """Modules that the names in a module lead to."""
    for value in list(vars(module).values()):
        if isinstance(value, ModuleType):
            yield value
        elif isinstance(name := getattr(value, "__module__", None), str) and name in sys.modules:
            yield sys.modules[name]


def _read_by(modules: list[ModuleType], covered: set[Path]) -> Inputs:
    """Sources of modules in other folders, such as ones on ``sys.path``, and what all read when they were imported."""
    inputs = Inputs()
    for module in modules:
        path = Path(str(module.__file__))
        elsewhere = path.resolve() not in covered and path.is_file()
        inputs |= READ_BY.get(module, Inputs())
        inputs |= Inputs(frozenset((os.path.abspath(path),) if elsewhere else ()))
        now = _text_digest(path)
        if _AS_IMPORTED.setdefault(module, now) != now:
            inputs |= Inputs(unknown=f"{path.name} was changed after it was imported")
    return inputs
