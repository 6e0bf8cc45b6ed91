"""Watching third-party plug-ins while they are loaded and called: files read, folders listed, variables, programs.

What libraries read for themselves does not count, as they count by their versions.
"""

# Paths are text: a Path would cost more than the call that is watched.

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import sysconfig
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from srbench.machine.processes import SET_FOR_WORKERS

_DISTRIBUTION = "sr-bench"
_PROGRAMS = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "socket.connect")
"""Audit events after which a number may depend on anything."""
_SYSTEM = ("/proc", "/sys", "/dev")


@cache
def our_packages() -> tuple[str, ...]:
    """Top-level packages of this distribution."""
    try:
        points = distribution(_DISTRIBUTION).entry_points
    except PackageNotFoundError:
        return ("srbench",)
    return tuple(sorted({"srbench", *(point.module.partition(".")[0] for point in points)}))


@dataclass(frozen=True)
class Inputs:
    """Files and variables that a plug-in depends on, beside its code and state."""

    files: frozenset[str] = frozenset()
    """Absolute paths of files that it read or looked for, and of folders that it listed."""
    variables: frozenset[str] = frozenset()
    unknown: str = ""
    """Something else that it depends on, and that has no digest."""

    def __or__(self, other: Inputs) -> Inputs:
        files, variables = self.files | other.files, self.variables | other.variables
        return Inputs(files, variables, self.unknown or other.unknown)

    def without(self, covered: frozenset[str]) -> Inputs:
        """The same without files whose real path is one of these."""
        files = frozenset(file for file in self.files if os.path.realpath(file) not in covered)
        return Inputs(files, self.variables, self.unknown)

    def digest(self) -> str:
        """SHA-256 of the contents as they are now; paths count by their last part only."""
        names: Counter[str] = Counter()
        lines = []
        for file in sorted(self.files):
            name = Path(file).name
            place = f" {names[name]}" if names[name] else ""  # of several files of one name
            names[name] += 1
            lines.append(f"{content_digest(file)} {name}{place}")
        lines.sort()
        for name in sorted(self.variables):
            value = os.environ.get(name)
            known = "unset" if value is None else hashlib.sha256(os.fsencode(value)).hexdigest()
            lines.append(f"{known} ${name}")
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def content_digest(path: str) -> str:
    """SHA-256 of a file, or of the names in a folder; what is missing has a digest too."""
    try:
        if os.path.isdir(path):
            names = sorted(name for name in os.listdir(path) if not name.startswith((".", "__pycache__")))
            return hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()
        if not os.path.isfile(path):
            return "missing"
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "unreadable"


@lru_cache(maxsize=4096)
def is_library(path: str) -> bool:
    """True for a file of the standard library, an installed package, or this distribution."""
    if path.startswith("<frozen "):
        return True
    real = os.path.realpath(path)
    parts = Path(real).parts
    return bool({"site-packages", "dist-packages"} & set(parts)) or real.startswith(_library_folders())


@cache
def _library_folders() -> tuple[str, ...]:
    folders = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), os.path.dirname(os.__file__)]
    for package in our_packages():
        with suppress(ImportError, ValueError):
            found = importlib.util.find_spec(package)
            folders += [] if found is None else list(found.submodule_search_locations or ())
    return tuple(os.path.realpath(folder) + os.sep for folder in folders)


@dataclass
class Watch:
    """Notes what this thread, and those started meanwhile, read."""

    files: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)
    unknown: str = ""
    others: frozenset[int] = field(
        default_factory=lambda: frozenset(one.ident or 0 for one in threading.enumerate()) - {threading.get_ident()}
    )
    """Threads that are not watched."""
    busy: set[int] = field(default_factory=set)
    """Threads of which an event is being noted."""

    def inputs(self) -> Inputs:
        """Everything noted."""
        return Inputs(frozenset(self.files), frozenset(self.variables), self.unknown)

    def note(self, event: str, given: tuple[Any, ...]) -> None:
        """Take an audit event."""
        if event == "open":
            self._opened(*given)
        elif event in ("os.listdir", "os.scandir"):
            self._listed(given[0])
        elif event == "import" and given[1] is not None:
            self._opened(given[1], "rb", 0)
        elif event in ("ctypes.dlopen", "sqlite3.connect") and isinstance(given[0], str | os.PathLike):
            if os.path.isfile(given[0]):
                self._opened(given[0], "rb", 0)
        elif event in _PROGRAMS and _is_own(sys._getframe(2)):
            self.unknown = self.unknown or ("connects to a server" if "socket" in event else "starts a program")

    def _opened(self, path: Any, mode: str | None, flags: int) -> None:  # noqa: ANN401 - whatever open takes
        if isinstance(path, int) or not path:
            return
        text = os.path.abspath(os.fsdecode(path))
        if text.endswith(".pyc"):
            with suppress(ValueError):
                text = importlib.util.source_from_cache(text)
        if text.startswith(_SYSTEM) or is_library(text):
            return
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR)) if mode is None else set(mode) & set("wax+")
        if writes and text in self.files:
            self.unknown = self.unknown or f"writes {os.path.basename(text)}, which it reads"
        if writes:
            self.written.add(text)
        elif text in self.written:
            return  # made by itself
        elif os.path.isfile(text) or (not os.path.exists(text) and _is_own(sys._getframe(3))):
            self.files.add(text)
            _while_imported(sys._getframe(3), Inputs(files=frozenset((text,))))

    def _listed(self, path: Any) -> None:  # noqa: ANN401 - whatever os.listdir takes
        if isinstance(path, int):
            return
        text = os.path.abspath(os.fsdecode(path or "."))
        if not text.startswith(_SYSTEM) and not is_library(text) and _is_own(sys._getframe(3)):
            self.files.add(text)
            _while_imported(sys._getframe(3), Inputs(files=frozenset((text,))))


READ_BY: WeakKeyDictionary[ModuleType, Inputs] = WeakKeyDictionary()
"""Files and variables that modules read while they were imported."""
_WATCHES: list[Watch] = []
_LOCK = threading.Lock()
_GET_VARIABLE: Any = os._Environ.__getitem__


def _hook(event: str, given: tuple[Any, ...]) -> None:
    """Give an audit event to the watches of this thread. It stays for ever, so it is quick where there are none."""
    thread = threading.get_ident()
    for watch in _WATCHES:
        if thread not in watch.busy and thread not in watch.others:
            watch.busy.add(thread)
            try:
                watch.note(event, given)
            finally:
                watch.busy.discard(thread)


@cache
def _install() -> None:
    sys.addaudithook(_hook)


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch this thread and those that are started meanwhile."""
    _install()
    is_library(__file__)  # looked up here, not within the hook
    watch = Watch()
    with _LOCK:
        _WATCHES.append(watch)
        os._Environ.__getitem__ = _watched_variable  # type: ignore[method-assign]
    try:
        yield watch
    finally:
        with _LOCK:
            _WATCHES.remove(watch)
            if not _WATCHES:
                os._Environ.__getitem__ = _GET_VARIABLE  # type: ignore[method-assign]


def _watched_variable(self: Any, name: Any) -> Any:  # noqa: ANN401 - os.environ, and text or bytes
    """A variable of os.environ, noted if a plug-in reads it."""
    for watch in _WATCHES:
        text = os.fsdecode(name)
        is_watched = threading.get_ident() not in watch.others and text not in SET_FOR_WORKERS
        if is_watched and _is_own(sys._getframe(1)):
            watch.variables.add(text)
            _while_imported(sys._getframe(1), Inputs(variables=frozenset((text,))))
    return _GET_VARIABLE(self, name)


def _while_imported(frame: FrameType | None, seen: Inputs) -> None:
    """Note what was read for all modules that are being imported: a module is imported once, and used by others too."""
    while frame is not None:
        module = sys.modules.get(frame.f_globals.get("__name__", "")) if frame.f_code.co_name == "<module>" else None
        if module is not None and not is_library(frame.f_code.co_filename):
            READ_BY[module] = READ_BY.get(module, Inputs()) | seen
        frame = frame.f_back


def _is_own(frame: FrameType | None) -> bool:
    """True if the nearest code that is not of the standard library is a plug-in's, and no import is under way."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib"):
            return False
        if not _is_standard(name):
            return not is_library(name)
        frame = frame.f_back
    return False


@lru_cache(maxsize=4096)
def _is_standard(name: str) -> bool:
    if name.startswith("<frozen "):
        return True
    real = os.path.realpath(name)
    return real.startswith(os.path.realpath(os.path.dirname(os.__file__)) + os.sep) and "-packages" not in real
