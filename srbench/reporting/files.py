"""Files of a report: written whole, listed, and removed once a later report has no use for them.

Images and plots have a key, the digest of all that they show and of the code that draws them: one of the same key is
kept as it is. Files that are not listed, or were changed since, are never removed or overwritten: they are moved aside
if their name is needed. Links are not followed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from srbench.benchmark.error_maps import carried_key
from srbench.images.io import write_whole
from srbench.matrix.folder import FILE as MATRIX
from srbench.reporting import ReportError
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.system.config import ConfigError, structure
from srbench.weights.files import sha256_bytes, sha256_file

FILE = "report.json"
"""List of the files that the last report wrote, with SHA-256 and keys, and whether that report was finished."""


@dataclass
class _List:
    finished: bool = True
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 by name."""
    keys: dict[str, str] = field(default_factory=dict)


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
        self._before, self._written = self._read_list(), _List()
        self.moved: list[tuple[Path, Path]] = []
        """Other people's files that were in the way: old and new path."""
        self._write_list(replace(self._before, finished=False))

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

    def __contains__(self, name: str) -> bool:
        """True if a file of that name is written or kept by now."""
        return name in self._written.files

    def _move_aside(self, path: Path, ours: list[str]) -> None:
        """Rename a file unless it is the last report's, that of a killed report, or a map of the run."""
        if not self._before.finished or not path.is_file() or sha256_file(path) in ours or carried_key(path):
            return
        number = 1
        while (aside := path.with_name(f"{path.name}.{number}")).exists():
            number += 1
        path.rename(aside)
        self.moved.append((path, aside))

    def finish(self, *, kept: tuple[str, ...] = ()) -> None:
        """Remove what only the last report wrote, except names that begin with one of ``kept``."""
        for name in sorted(self._before.files.keys() - self._written.files.keys()):
            if name.startswith(kept):
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

    def _read_list(self) -> _List:
        """List of the last report; empty if there is none or it is invalid."""
        try:
            listed = structure(json.loads((self.path / FILE).read_text(encoding="utf-8")), _List, FILE)
        except (OSError, ValueError, RecursionError, ConfigError):
            return _List()
        return replace(listed, files={name: one for name, one in listed.files.items() if _is_inside(name)})

    def _write_list(self, listed: _List) -> None:
        self._require_no_link(self.path / FILE)
        files, keys = (dict(sorted(found.items())) for found in (listed.files, listed.keys))
        facts = {"finished": listed.finished, "files": files, "keys": keys}
        write_whole(self.path / FILE, (json.dumps(facts, indent=1) + "\n").encode())


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name and len(path.parts) > 0


def _is_there(path: Path, digest: str) -> bool:
    try:
        return sha256_file(path) == digest
    except OSError:
        return False
