"""Files of a report: written whole, listed, and removed once a later report has no use for them.

Images and plots have a key, the digest of all that they show and of the code that draws them: one of the same key is
kept as it is. Files that are not listed, or were changed since, are never removed or overwritten: they are moved aside
if their name is needed. Links are not followed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Self

from filelock import FileLock, Timeout

from srbench.benchmark.error_maps import carried_key
from srbench.files.atomic import write_whole
from srbench.files.config import ConfigError, structure
from srbench.files.hashes import sha256_bytes, sha256_file
from srbench.matrix.folder import FILE as MATRIX
from srbench.reporting import ReportError
from srbench.run_folder.folder import NO_LOCKS, REPORT_LOCK
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.run_folder.records import KINDS, digest
from srbench.voting.records import FILE as VOTES

FILE = "report.json"
"""List of the files that the last report wrote, with SHA-256 and keys, and of what it was made."""
WAIT = 10
"""Seconds that a report waits for another one."""


@dataclass(frozen=True)
class Choices:
    """Options of a report that change what it shows."""

    single_file: bool = False
    most: int | None = None
    baseline: str | None = None
    published: bool = False


@dataclass(frozen=True)
class Source:
    """A file of records or a manifest, as a report has read it; lines may have been appended since."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Origin:
    """All that determines a report besides images, which it shows only if they are those of their records."""

    code: str
    """Digest of the code and the templates."""
    sources: dict[str, Source] = field(default_factory=dict)
    """Files of the run, or of the runs of a matrix, by their path in its folder."""
    choices: Choices = Choices()

    @classmethod
    def of(cls, root: Path, folders: Iterable[Path], choices: Choices | None = None) -> Origin:
        """The origin of a report of the run folders ``folders`` below ``root``, as they are now."""
        files = [folder / name for folder in folders for name in (MANIFEST, *(kind.FILE for kind in KINDS), VOTES)]
        # the next writer cuts off a line that a kill tore
        contents = {file: file.read_bytes().rpartition(b"\n")[0] for file in files if file.is_file()}
        sources = {
            file.relative_to(root).as_posix(): Source(len(content), sha256_bytes(content))
            for file, content in contents.items()
        }
        return cls(code(), sources, choices or Choices())


NO_PART = ("__main__.py", "api.py", "cli", "editing", "leaderboard", "training")
"""Rooms that no report imports."""


@cache
def code() -> str:
    """Digest of the rooms that a report imports, and of its templates, ten times as fast as by following imports.

    Other code changes no report, so one that shows other numbers than its records is contradicted after such an edit.
    """
    package = Path(str(resources.files("srbench")))
    found = (one for one in package.rglob("*.py") if one.relative_to(package).parts[0] not in NO_PART)
    sources = sorted([*found, *package.joinpath("reporting", "templates").iterdir()])
    return digest([(one.relative_to(package).as_posix(), sha256_bytes(one.read_bytes())) for one in sources])


def is_current(folder: Path, choices: Choices) -> bool:
    """True if the report in a run folder is of its records, and of these choices, and all its files are there."""
    listed = ReportList.read(folder)
    if not listed.finished or listed.origin != Origin.of(folder, [folder], choices):
        return False
    return all(_is_there(folder / name, known) for name, known in listed.files.items())


@dataclass
class ReportList:
    """Content of ``report.json``."""

    finished: bool = True
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 by name."""
    keys: dict[str, str] = field(default_factory=dict)
    origin: Origin | None = None
    """Origin of the files that are no images; None in a folder of its own."""

    @classmethod
    def read(cls, folder: Path) -> ReportList:
        """Read the list of a report; an empty one if there is none or it is invalid."""
        try:
            listed = structure(json.loads((folder / FILE).read_text(encoding="utf-8")), cls, FILE)
        except (OSError, ValueError, RecursionError, ConfigError):
            return cls()
        return replace(listed, files={name: one for name, one in listed.files.items() if _is_inside(name)})

    def content(self) -> bytes:
        """Bytes of ``report.json``."""
        facts = asdict(self) | {name: dict(sorted(getattr(self, name).items())) for name in ("files", "keys")}
        return (json.dumps(facts, indent=1) + "\n").encode()


@contextmanager
def reporting(run: Path) -> Iterator[None]:
    """Lock the reports in the folder of a run. The lock ends with its process, however that ends.

    Raises ReportError if another report takes too long, or the folder cannot be written.
    """
    lock = FileLock(run / REPORT_LOCK)
    try:
        lock.acquire(timeout=WAIT)
    except Timeout:
        raise ReportError(
            f"{run}: another report is being written there; wait for it, or choose another --out"
        ) from None
    except NotImplementedError:
        raise ReportError(f"{run}: {NO_LOCKS}; choose another --out") from None
    except OSError as error:
        raise ReportError(f"{run}: cannot be written ({error.strerror}); choose another --out") from None
    try:
        yield
    except OSError as error:
        raise ReportError(f"{error.filename or run}: {error.strerror or error}; write the report again") from None
    finally:
        lock.release()


class ReportFolder:
    """Folder of a report: that of a run, or one of its own; ``part`` is a folder within it that has its own list.

    Raises ReportError if the folder holds other things, or for links that lead out of it.
    """

    def __init__(self, root: Path, part: str = "") -> None:
        self.root, self.path = root, root / part
        if root.exists() and not root.is_dir():
            raise ReportError(f"{root}: a file, not a folder; choose another --out")
        is_ours = any((root / name).exists() for name in (MANIFEST, MATRIX, FILE))
        if not is_ours and root.is_dir() and (others := sorted(entry.name for entry in root.iterdir())):
            raise ReportError(f"{root}: not empty, and no report in it ({others[0]} is); choose another --out")
        self._before, self._written = ReportList.read(self.path), ReportList()
        self.moved: list[tuple[Path, Path]] = []
        """Other people's files that were in the way: old and new path."""
        self.kept: tuple[str, ...] = ()
        """Beginnings of the names of files that the last report wrote and that stay, though this one writes none."""
        self._write_list(replace(self._before, finished=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """After an error, list what is ours: the next report moves other people's files aside as before."""
        if kind is not None:
            files, keys = self._before.files | self._written.files, self._before.keys | self._written.keys
            origin = None if self._written.files else self._before.origin
            with suppress(OSError):
                self._write_list(ReportList(self._before.finished, files, keys, origin))

    def write(self, name: str, content: bytes, key: str = "") -> Path:
        """Write a file such as ``strips/a.png``, whole, unless it exists; returns its path.

        ``key`` is that of an image or a plot. Raises ReportError for a link in the way.
        """
        path, digest = self.path / name, sha256_bytes(content)
        self._require_no_link(path)
        if not _is_there(path, digest):
            self._move_aside(path, [known.files.get(name, "") for known in (self._before, self._written)])
            write_whole(path, content)
        self._note(name, digest, key)
        return path

    def keep(self, name: str, key: str) -> bool:
        """Keep a file of the last report that has this key, or a map that carries it. False: it has to be made.

        Raises ReportError for a link in the way.
        """
        path, digest = self.path / name, self._before.files.get(name, "")
        self._require_no_link(path)
        if not digest or self._before.keys.get(name, "") != key:
            if carried_key(path) != key:
                return False
            digest = sha256_file(path)  # made when it was measured, perhaps since the last report
        elif not _is_there(path, digest):
            return False
        self._note(name, digest, key)
        return True

    def _note(self, name: str, digest: str, key: str) -> None:
        self._written.files[name] = digest
        if key:
            self._written.keys[name] = key

    def read(self, name: str) -> bytes:
        """Bytes of a file of the report."""
        return (self.path / name).read_bytes()

    def has(self, name: str) -> bool:
        """True if the folder has a file of that name and will keep it."""
        ends = name in self._before.files and name not in self._written.files and not name.startswith(self.kept)
        return not ends and (self.path / name).exists()

    def __contains__(self, name: str) -> bool:
        """True if a file of that name is written or kept by now."""
        return name in self._written.files

    def _move_aside(self, path: Path, ours: list[str]) -> None:
        """Rename a file unless it is the last report's, that of a killed report, or a map of the run."""
        if not self._before.finished or not path.is_file() or sha256_file(path) in ours or carried_key(path):
            return
        self.moved.append((path, moved_aside(path)))

    def finish(self, origin: Origin | None = None) -> None:
        """Remove what only the last report wrote and is not to be kept.

        Texts that are kept are of the records of that report, and so is then the list, which states one origin for all.
        """
        others = sorted(self._before.files.keys() - self._written.files.keys())
        before = self._before.origin
        if origin is not None and any(name.startswith(self.kept) and name not in self._before.keys for name in others):
            origin = None if before is None else replace(origin, sources=before.sources)
        self._written.origin = origin
        for name in others:
            if name.startswith(self.kept):
                self._note(name, self._before.files[name], self._before.keys.get(name, ""))
            else:
                self._remove(name, self._before.files[name])
        self._write_list(self._written)

    def _remove(self, name: str, digest: str) -> None:
        path = self.path / name
        try:
            self._require_no_link(path)
            if sha256_file(path) == digest:
                path.unlink()
        except (OSError, ReportError):
            return  # gone, or no longer ours
        for folder in path.parents:
            if folder == self.path or any(folder.iterdir()):
                return
            folder.rmdir()

    def _require_no_link(self, path: Path) -> None:
        for part in (path, *path.parents):
            if part == self.root:
                return
            if part.is_symlink():
                raise ReportError(f"{part}: a link, and a report is only written into real folders; remove it")

    def _write_list(self, listed: ReportList) -> None:
        self._require_no_link(self.path / FILE)
        write_whole(self.path / FILE, listed.content())


class Rehearsal(ReportFolder):
    """A report in memory, with every file and image made anew, as it would be written into a folder."""

    def __init__(self, root: Path, listed: ReportList) -> None:
        self.root = self.path = root
        self.contents: dict[str, bytes] = {}
        self.keys: dict[str, str] = {}
        self._listed = listed

    def write(self, name: str, content: bytes, key: str = "") -> Path:
        """Keep the content of a file, and its key if it has one."""
        self.contents[name] = content
        if key:
            self.keys[name] = key
        return self.path / name

    def keep(self, name: str, key: str) -> bool:
        """Return False: every file has to be made."""
        return False

    def read(self, name: str) -> bytes:
        """Content of a file that was made."""
        return self.contents[name]

    def has(self, name: str) -> bool:
        """True if the folder has or had a file of that name."""
        return name in self._listed.files or (self.path / name).exists()

    def __contains__(self, name: str) -> bool:
        """True if a file of that name was made."""
        return name in self.contents

    def finish(self, origin: Origin | None = None) -> None:
        """Leave the folder as it is."""


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name and len(path.parts) > 0


def _is_there(path: Path, digest: str) -> bool:
    try:
        return sha256_file(path) == digest
    except OSError:
        return False


def moved_aside(path: Path) -> Path:
    """Rename a file to the first free name, such as ``report.md.1``; returns its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists() or aside.is_symlink():
        number += 1
    return path.rename(aside)
