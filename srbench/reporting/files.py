"""Files of a report: written whole, listed, and removed once a later report has no use for them.

Images and plots have a key, the digest of all that they show and of the code that draws them: one of the same key is
kept as it is. Files that are not listed, or were changed since, are never removed or overwritten: they are moved aside
if their name is needed. Links are not followed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from srbench.benchmark.error_maps import carried_key
from srbench.images.io import write_whole
from srbench.matrix.folder import FILE as MATRIX
from srbench.reporting import ReportError
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.weights.files import sha256_bytes, sha256_file

FILE = "report.json"
"""List of the files that the last report wrote, with SHA-256 and keys, and whether that report was finished."""


@dataclass(frozen=True)
class _Listed:
    digest: str
    key: str = ""


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
        self._before, self._finished = self._read_list()
        self._written: dict[str, _Listed] = {}
        self.moved: list[tuple[Path, Path]] = []
        """Other people's files that were in the way: old and new path."""
        self._write_list(self._before, finished=False)

    def write(self, name: str, content: bytes, key: str = "") -> Path:
        """Write a file such as ``strips/a.png``, whole, unless it exists; returns its path.

        ``key`` is that of an image or a plot. Raises ReportError for a link in the way.
        """
        path, digest = self.path / name, sha256_bytes(content)
        self._require_no_link(path)
        if not _is_there(path, digest):
            self._move_aside(path, [known[name].digest for known in (self._before, self._written) if name in known])
            write_whole(path, content)
        self._written[name] = _Listed(digest, key)
        return path

    def keep(self, name: str, key: str) -> bool:
        """Keep a file of the last report that has this key, or a map that carries it. False: it has to be made.

        Raises ReportError for a link in the way.
        """
        path, before = self.path / name, self._before.get(name)
        self._require_no_link(path)
        if before is None or before.key != key:
            if carried_key(path) != key:
                return False
            before = _Listed(sha256_file(path), key)  # made when it was measured, perhaps since the last report
        elif not _is_there(path, before.digest):
            return False
        self._written[name] = before
        return True

    def __contains__(self, name: str) -> bool:
        """True if a file of that name is written or kept by now."""
        return name in self._written

    def _move_aside(self, path: Path, ours: list[str]) -> None:
        """Rename a file unless it is the last report's, that of a killed report, or a map of the run."""
        if not self._finished or not path.is_file() or sha256_file(path) in ours or carried_key(path):
            return
        number = 1
        while (aside := path.with_name(f"{path.name}.{number}")).exists():
            number += 1
        path.rename(aside)
        self.moved.append((path, aside))

    def finish(self, *, kept: tuple[str, ...] = ()) -> None:
        """Remove what only the last report wrote, except names that begin with one of ``kept``."""
        others = {name: one for name, one in self._before.items() if name not in self._written}
        left = {name: one for name, one in others.items() if name.startswith(kept)}
        for name in others.keys() - left.keys():
            self._remove(name, others[name].digest)
        self._write_list(left | self._written, finished=True)

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

    def _read_list(self) -> tuple[dict[str, _Listed], bool]:
        """Files of the list, and whether its report was finished; an invalid list is empty."""
        try:
            facts = json.loads((self.path / FILE).read_text(encoding="utf-8"))
            keys = facts.get("keys", {})
            listed = {
                str(name): _Listed(str(digest), str(keys.get(name, "")))
                for name, digest in facts["files"].items()
                if _is_inside(str(name))
            }
            return listed, facts["finished"] is True
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}, True

    def _write_list(self, listed: dict[str, _Listed], *, finished: bool) -> None:
        self._require_no_link(self.path / FILE)
        names = sorted(listed)
        files, keys = ({name: getattr(listed[name], one) for name in names} for one in ("digest", "key"))
        facts = {"finished": finished, "files": files, "keys": {name: key for name, key in keys.items() if key}}
        write_whole(self.path / FILE, (json.dumps(facts, indent=1) + "\n").encode())


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name and len(path.parts) > 0


def _is_there(path: Path, digest: str) -> bool:
    try:
        return sha256_file(path) == digest
    except OSError:
        return False
