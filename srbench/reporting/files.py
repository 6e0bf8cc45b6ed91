"""Folders of generated files, such as RUN/report: made whole beside their place, then put there at once.

A folder is replaced only if srbench made it and nothing in it was added or changed since: ``report.json`` lists its
files with their SHA-256.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from srbench.files.config import ConfigError, structure
from srbench.files.hashes import sha256_bytes, sha256_file
from srbench.files.paths import no_file
from srbench.reporting import ReportError
from srbench.run_folder.journal import NO_LOCKS
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.run_folder.records import KINDS, digest
from srbench.voting.records import Vote

FOLDER = "report"
"""Folder of the report within a run or a matrix."""
FILE = "report.json"
"""List of the files in a generated folder."""
WAIT = 10
"""Seconds to wait for another command that writes the same folder."""
_LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")
"""Files that file browsers leave in folders."""


@dataclass(frozen=True)
class Choices:
    """Options of a report that change what it shows."""

    single_file: bool = False
    most: int | None = None
    baseline: str | None = None
    published: bool = False
    intervals: bool = False


@dataclass
class Listing:
    """Content of ``report.json``."""

    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every other file by name."""
    keys: dict[str, str] = field(default_factory=dict)
    """Digest of all that an image shows, by name; an image with the same key is not drawn again."""
    records: str = ""
    """Digest of the records of the run, see ``records_of``; empty for anything but the report of one run."""
    images: str = ""
    """Digest of which images of the run were there."""
    choices: Choices = Choices()
    code: str = ""
    """Digest of the code that made the folder."""

    def content(self) -> bytes:
        """Bytes of ``report.json``."""
        facts = asdict(self) | {"files": dict(sorted(self.files.items())), "keys": dict(sorted(self.keys.items()))}
        return (json.dumps(facts, indent=1) + "\n").encode()


def read_listing(folder: Path) -> Listing | None:
    """The list of a generated folder; None if it is missing or damaged."""
    try:
        return structure(json.loads((folder / FILE).read_text(encoding="utf-8")), Listing, FILE)
    except (OSError, ValueError, RecursionError, ConfigError):
        return None


def records_of(run: Path) -> str:
    """Digest of everything that a report of a run shows besides its images: the manifest, all records and votes."""
    files = [run / name for name in (MANIFEST, *(kind.FILE for kind in KINDS), Vote.FILE)]
    return digest("records", *([file.name, sha256_file(file)] for file in files if file.is_file()))


class Draft:
    """A generated folder while it is made."""

    def __init__(self, place: Path, temporary: Path, before: Listing) -> None:
        self.place = place
        """Where the folder will stand."""
        self.listing = Listing()
        self._temporary = temporary
        self._before = before

    def write(self, name: str, content: bytes, key: str = "") -> None:
        """Write a file such as ``strips/a.png``; ``key`` is the digest of all that an image shows."""
        path = self._temporary / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self._list(name, sha256_bytes(content), key)

    def reuse(self, name: str, key: str) -> bool:
        """Take an image of this key from the folder that stands there now. False: it has to be drawn."""
        if self._before.keys.get(name) != key or not (self.place / name).is_file():
            return False
        (self._temporary / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.place / name, self._temporary / name)
        self._list(name, self._before.files[name], key)
        return True

    def read(self, name: str) -> bytes:
        """Bytes of a file that was written."""
        return (self._temporary / name).read_bytes()

    def __contains__(self, name: str) -> bool:
        """True if a file of that name was written."""
        return name in self.listing.files

    def _list(self, name: str, sha256: str, key: str) -> None:
        self.listing.files[name] = sha256
        if key:
            self.listing.keys[name] = key


@contextmanager
def replacing(folder: Path) -> Iterator[Draft]:
    """Make a folder of generated files that takes the place of ``folder`` at the end of the block.

    If the block fails or the process is killed, ``folder`` stays as it was; a kill between two renames leaves none, and
    the next call brings it back.
    Raises ReportError if ``folder`` holds anything but the unchanged files that srbench wrote there, if another command
    is writing it, or if it cannot be written.
    """
    folder = folder.resolve() if folder.name in ("", "..") else folder
    new, old = (folder.with_name(f".{folder.name}.{state}") for state in ("new", "old"))
    _require_ours(folder)  # before anything is written, the lock included
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
    """Replace a generated folder by one of these files. Raises ReportError as ``replacing`` does."""
    with replacing(folder) as draft:
        for name, content in contents.items():
            draft.write(name, content)


def changed_files(folder: Path, listing: Listing) -> Iterator[Path]:
    """Files of a generated folder that are not those of its list: changed or added ones, links and pipes."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == FILE or path.name in _LITTER or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink() or no_file(path) or listing.files.get(name) != sha256_file(path):
            yield path


def _require_ours(folder: Path) -> Listing:
    """The list of a folder that may be replaced; an empty one if there is no folder. Raises ReportError."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ReportError(f"{folder}: not a folder, but srbench writes one there; move it away")
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
    """Lock a generated folder, and name the file in errors of the disk. The lock ends with its process."""
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=WAIT)
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
        lock.release()
