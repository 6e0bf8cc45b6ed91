"""Generated folders, such as RUN/report: written to a temporary folder beside their place, then renamed.

A folder is replaced only if srbench made it and no file in it was added or changed since: ``report.json`` lists its
files with their SHA-256.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from srbench.files.config import ConfigError, structure
from srbench.files.hashes import sha256_bytes, sha256_file
from srbench.files.locks import NO_LOCKS
from srbench.files.paths import no_file
from srbench.reporting import ReportError
from srbench.run_folder.manifest import MANIFEST
from srbench.run_folder.records import KINDS, digest, strict_json
from srbench.voting.records import Vote

FOLDER = "report"
"""Name of the report folder in a run or a folder of runs."""
FILE = "report.json"
"""Listing of the files in a generated folder."""
WAIT = 10
"""Seconds to wait for another command that is writing the same folder."""
_LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")
"""Files that file browsers leave in folders."""


@dataclass(frozen=True)
class Choices:
    """Options of a report that change its content."""

    single_file: bool = False
    most: int | None = None
    baseline: str | None = None
    intervals: bool = False
    pairs: bool = False
    caption: str | None = None
    """Caption of table.tex in LaTeX; None: a caption that states protocol, means and marks."""
    label: str | None = None
    """Label of table.tex; None: one made of dataset and scale."""


@dataclass
class Listing:
    """Content of ``report.json``."""

    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every other file in the folder, by name."""
    keys: dict[str, str] = field(default_factory=dict)
    """Keys of images by name. A key is a digest of everything drawn; an image whose key is unchanged is reused."""
    records: str = ""
    """Digest of the records of the run, from ``records_of``; empty unless this is the report of a single run."""
    images: str = ""
    """Digest of which saved images of the run existed, from ``report.images_of``."""
    choices: Choices = Choices()
    code: str = ""
    """Digest of the code that made the folder."""
    without_maps: list[str] = field(default_factory=list)
    """Titles of metrics of the user's code whose maps are missing."""

    def content(self) -> bytes:
        """Return the bytes of ``report.json``."""
        facts = asdict(self) | {"files": dict(sorted(self.files.items())), "keys": dict(sorted(self.keys.items()))}
        return (json.dumps(facts, indent=1) + "\n").encode()


def read_listing(folder: Path) -> Listing | None:
    """Read the listing of a generated folder; None if it is missing or damaged."""
    try:
        listing = structure(strict_json((folder / FILE).read_text(encoding="utf-8")), Listing, FILE)
    except (OSError, ValueError, RecursionError, ConfigError):
        return None
    return listing if listing.keys.keys() <= listing.files.keys() else None


def records_of(run: Path) -> str:
    """Return a digest of everything that the report of a run shows besides images: manifest, records and votes."""
    files = [run / name for name in (MANIFEST, *(kind.FILE for kind in KINDS), Vote.FILE)]
    return digest("records", *([file.name, sha256_file(file)] for file in files if file.is_file()))


class Draft:
    """A generated folder while it is being written."""

    def __init__(self, place: Path, temporary: Path, before: Listing) -> None:
        self.place = place
        """Final path of the folder."""
        self.listing = Listing()
        self._temporary = temporary
        self._before = before

    def write(self, name: str, content: bytes, key: str = "") -> None:
        """Write a file such as ``strips/a.png``; ``key`` is a digest of everything drawn in an image."""
        path = self._temporary / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self._list(name, sha256_bytes(content), key)

    def reuse(self, name: str, key: str) -> bool:
        """Copy an image from the existing folder if its key is the same; return whether it was copied."""
        if self._before.keys.get(name) != key or not (self.place / name).is_file():
            return False
        (self._temporary / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.place / name, self._temporary / name)
        self._list(name, self._before.files[name], key)
        return True

    def read(self, name: str) -> bytes:
        """Return the content of a file written before."""
        return (self._temporary / name).read_bytes()

    def __contains__(self, name: str) -> bool:
        """Return whether a file of that name was written."""
        return name in self.listing.files

    def _list(self, name: str, sha256: str, key: str) -> None:
        self.listing.files[name] = sha256
        if key:
            self.listing.keys[name] = key


@contextmanager
def replacing(folder: Path) -> Iterator[Draft]:
    """Write a folder of generated files that replaces ``folder`` at the end of the block.

    If the block fails or the process is killed, ``folder`` stays as it was. If a kill between the two renames leaves no
    folder, the next call restores it. Raises ReportError if ``folder`` has files that srbench did not write or that
    were changed, if another command is writing it, or if it cannot be written.
    """
    folder = folder.resolve() if folder.name in ("", "..") else folder
    if not folder.name:
        raise ReportError(f"{folder}: the root of the disk, which no folder can replace; choose another --out")
    new, old = (folder.with_name(f".{folder.name}.{state}") for state in ("new", "old"))
    _require_ours(folder)  # before anything is written, even the lock
    with _locked(folder):
        if old.is_dir() and not folder.exists():
            old.rename(folder)
        draft = Draft(folder, new, _require_ours(folder))
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        new.mkdir()
        try:
            yield draft
            (new / FILE).write_bytes(draft.listing.content())
            _require_ours(folder)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        finally:
            if old.is_dir() and not folder.exists():
                old.rename(folder)
            for leftover in (new, old):
                shutil.rmtree(leftover, ignore_errors=True)


def put_in_place(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write these files as a generated folder. Raises ReportError as ``replacing`` does."""
    with replacing(folder) as draft:
        for name, content in contents.items():
            draft.write(name, content)


def changed_files(folder: Path, listing: Listing) -> Iterator[Path]:
    """Yield the files of a generated folder that were changed or added, including links and pipes."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == FILE or path.name in _LITTER or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink() or no_file(path) or listing.files.get(name) != sha256_file(path):
            yield path


def _require_ours(folder: Path) -> Listing:
    """Return the listing of a folder that may be replaced, empty if there is no folder; else raise ReportError."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ReportError(f"{folder}: not a folder, but srbench writes a folder there; move it away")
    if not any(not path.is_dir() for path in folder.rglob("*")):  # missing or empty
        return Listing()
    listing = read_listing(folder)
    if listing is None:
        raise ReportError(f"{folder}: not made by srbench, as it has no valid {FILE}; move it away")
    for path in changed_files(folder, listing):
        raise ReportError(f"{path}: added or changed since srbench wrote {folder}; move it elsewhere to keep it")
    return listing


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a generated folder, and turn errors of the disk into ReportError. The lock ends with the process."""
    file = folder.with_name(f".{folder.name}.lock")
    lock = FileLock(file)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        while not lock.is_locked:
            lock.acquire(timeout=WAIT)
            if not file.exists():  # removed after it was opened: another command may lock a new one
                lock.release()
    except Timeout:
        raise ReportError(f"{folder}: another command is writing it; wait until it has finished") from None
    except NotImplementedError:
        raise ReportError(f"{folder}: {NO_LOCKS}; choose another --out") from None
    except OSError as error:
        raise ReportError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from None
    try:
        yield
    except OSError as error:
        raise ReportError(f"{error.filename or folder}: {error.strerror or error}; run the command again") from None
    finally:
        with suppress(OSError):  # Windows removes no open file
            if file.stat().st_size == 0:  # else it is not of this lock
                file.unlink()
        lock.release()
