"""Stamps of finished commands: what a command has shown, for as long as no file that it depends on changes.

A file counts by its size, inode and the times of its last change; one that changed within MARGIN seconds before it was
looked at counts by its content as well, as a later change might leave it the same times.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

import msgspec

from srbench.files.cache import cache_folder

BEGUN = time.time()
"""Time at which this process began: the code it runs is older."""
MARGIN = 2.0
"""Seconds: the coarsest times of files, those of FAT."""
MOST = 200
"""Number of stamps that are kept, the newest ones."""
_CACHE = "__pycache__"
_SKIPPED = (_CACHE, ".lock", ".report.lock")
"""Names of files that change without a meaning."""


class Stamp(msgspec.Struct, frozen=True):
    """A finished command."""

    made: float
    paths: tuple[str, ...]
    """Absolute paths of the files and folders that it depends on."""
    files: str
    """Their ``fingerprint``."""
    remark: str
    """Line that is shown on stderr."""
    shown: str
    """Text that is shown on stdout, as this terminal shows it."""


class UnknownStateError(Exception):
    """A file or folder whose changes cannot be detected."""


def stamp_file(*facts: object) -> Path:
    """The file of the stamp of a command, known by ``facts`` and by the folder and software that it runs in."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("SRBENCH_")}
    known = [*facts, Path.cwd(), platform.python_version(), variables, _libraries()]
    text = json.dumps(known, sort_keys=True, default=str)
    return cache_folder("finished") / f"{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()}.json"


def _libraries() -> list[str]:
    """Names, versions and times of installation of everything that is installed."""
    found: set[str] = set()
    for folder in sys.path:
        with suppress(OSError):
            found |= {
                f"{one.name} {one.stat().st_mtime_ns}"
                for one in os.scandir(folder or ".")
                if one.name.endswith((".dist-info", ".egg-info"))
            }
    return sorted(found)


def fitting(file: Path, others: Iterable[Path] = ()) -> Stamp | None:
    """The stamp in a file, if all that it depends on, and ``others``, is as it was; else None."""
    try:
        stamp = msgspec.json.decode(file.read_bytes(), type=Stamp)
        now = fingerprint([*map(Path, stamp.paths), *others], stamp.made)
    except (OSError, msgspec.MsgspecError, UnknownStateError):
        return None
    return stamp if now == stamp.files else None


def write_stamp(file: Path, stamp: Stamp) -> None:
    """Write a stamp and remove the oldest ones beyond MOST, unless the cache cannot be written."""
    with suppress(OSError, UnicodeEncodeError):  # the latter of a path that is not UTF-8
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(f".{os.getpid()}")
        new.write_bytes(msgspec.json.encode(stamp))
        new.replace(file)
        for old in sorted(file.parent.iterdir(), key=lambda one: one.stat().st_mtime)[:-MOST]:
            old.unlink()


def fingerprint(paths: Iterable[Path], made: float) -> str:
    """SHA-256 of what tells whether files, and all files in folders, have changed since the time ``made``.

    Raises UnknownStateError for a linked folder or a file that cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(set(paths)):
        lines = [
            f"{name} {one.st_size} {one.st_ino} {one.st_mtime_ns} {one.st_ctime_ns}{_content(name, one, made)}\n"
            for name, one in _below(path)
            if S_ISREG(one.st_mode)
        ]
        digest.update(f"{path} {len(lines)}\n".encode(errors="surrogateescape"))
        digest.update("".join(sorted(lines)).encode(errors="surrogateescape"))
    return digest.hexdigest()


def newest(paths: Iterable[Path]) -> float:
    """Time of the last change of files, of folders and of all in them; 0 if there are none. Raises UnknownStateError.

    A folder of code does not count, as Python writes into it; the files in it do.
    """
    found = (one for path in paths for one in _below(path))
    return max((_changed(state) for name, state in found if not Path(name, _CACHE).exists()), default=0.0)


def _changed(one: os.stat_result) -> float:
    return max(one.st_mtime, one.st_ctime)


def _content(name: str, one: os.stat_result, made: float) -> str:
    if _changed(one) < made - MARGIN:
        return ""
    try:
        return f" {hashlib.sha256(Path(name).read_bytes()).hexdigest()}"
    except OSError as error:
        raise UnknownStateError(str(error)) from None


def _below(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Paths and states of a file, or of a folder and all in it; none if it is missing. A link counts by its target."""
    try:
        if path.is_dir():
            yield str(path), path.stat()
            yield from _in(str(path))
        elif path.is_file():
            yield str(path), path.stat()
        elif path.exists():
            raise UnknownStateError(path)
    except OSError as error:
        raise UnknownStateError(str(error)) from None


def _in(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in _SKIPPED:
                continue
            is_folder = entry.is_dir()
            if not (is_folder or entry.is_file()) or (is_folder and entry.is_symlink()):
                raise UnknownStateError(entry.path)
            yield entry.path, entry.stat()
            if is_folder:
                yield from _in(entry.path)
