"""The files that a report consists of: written whole, remembered, and removed when a later report has no use for them.

An image or a plot has a key, the digest of all that it shows and of the code that draws it: where the last report made
one of the same key, it is kept as it is.

Nothing else is ever removed or overwritten. What is not in the list or was changed since is not ours: it is moved aside
where its name is needed, and links are not followed.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from srbench.benchmark.error_maps import carried_key
from srbench.images.io import write_whole
from srbench.matrix.folder import FILE as MATRIX
from srbench.reporting import ReportError
from srbench.run_folder.manifest import FILE as MANIFEST
from srbench.weights.files import sha256_bytes, sha256_file

FILE = "report.json"
"""The list: names, sha256 and keys of the files that the last report wrote, and whether it came to its end."""


class ReportFolder:
    """Where a report is written: the folder of a run, or one of its own; ``part`` is a folder in it with its own list.

    Raises ReportError for a folder with other things in it, and for links that lead out of it.
    """

    def __init__(self, root: Path, part: str = "") -> None:
        self.root, self.path = root, root / part
        if root.exists() and not root.is_dir():
            raise ReportError(f"{root}: a file, not a folder; choose another --out")
        is_ours = any((root / name).exists() for name in (MANIFEST, MATRIX, FILE))
        if not is_ours and root.is_dir() and (others := sorted(entry.name for entry in root.iterdir())):
            raise ReportError(f"{root}: not empty, and no report in it ({others[0]} is); choose another --out")
        self._before, self._keys_before, self._finished = self._listed()
        self._written: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self.moved: list[tuple[Path, Path]] = []
        """Files of somebody else that were in the way: where they were, where they are now."""
        self._write_list(self._before, self._keys_before, finished=False)

    def write(self, name: str, content: bytes, key: str = "") -> Path:
        """Write a file such as ``strips/a.png``, whole, unless it is there; returns its path.

        ``key`` is that of an image or a plot. Raises ReportError for a link in the way.
        """
        path, digest = self.path / name, sha256_bytes(content)
        self._require_no_link(path)
        if _is_there(path, digest):
            self._know(name, digest, key)
            return path
        self._move_aside(path, {self._before.get(name), self._written.get(name)})
        write_whole(path, content)
        self._know(name, digest, key)
        return path

    def keep(self, name: str, key: str) -> bool:
        """Keep a file of the last report that has this key, or a map that carries it. False: it has to be made.

        Raises ReportError for a link in the way.
        """
        path, digest = self.path / name, self._before.get(name)
        self._require_no_link(path)
        if digest is not None and self._keys_before.get(name) == key:
            if not _is_there(path, digest):
                return False
        elif carried_key(path) == key:  # made when it was measured, perhaps since the last report
            digest = sha256_file(path)
        else:
            return False
        self._know(name, digest, key)
        return True

    def __contains__(self, name: str) -> bool:
        """Is a file of that name written or kept by now?"""
        return name in self._written

    def _know(self, name: str, digest: str, key: str) -> None:
        self._written[name] = digest
        if key:
            self._keys[name] = key

    def _move_aside(self, path: Path, ours: set[str | None]) -> None:
        """Give a file another name that is neither the last report's, nor a killed one's, nor a map of the run."""
        if not self._finished or not path.is_file() or sha256_file(path) in ours or carried_key(path):
            return
        number = 1
        while (aside := path.with_name(f"{path.name}.{number}")).exists():
            number += 1
        path.rename(aside)
        self.moved.append((path, aside))

    def finish(self, *, kept: tuple[str, ...] = ()) -> None:
        """Remove what the report before wrote and this one did not, but for names that begin with one of ``kept``."""
        left = {}
        for name, digest in self._before.items():
            if name not in self._written:
                if name.startswith(kept) and kept:
                    left[name] = digest
                else:
                    self._remove(name, digest)
        keys = {name: key for name, key in self._keys_before.items() if name in left}
        self._write_list(left | self._written, keys | self._keys, finished=True)

    def _remove(self, name: str, digest: str) -> None:
        path = self.path / name
        try:
            self._require_no_link(path)
            if sha256_file(path) == digest:
                path.unlink()
        except (OSError, ReportError):
            return  # gone already, or no longer ours
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

    def _listed(self) -> tuple[dict[str, str], dict[str, str], bool]:
        """Files and keys of the list, and whether its report was finished; what is no such list lists nothing."""
        try:
            facts = json.loads((self.path / FILE).read_text(encoding="utf-8"))
            listed = {str(name): str(digest) for name, digest in facts["files"].items() if _is_inside(str(name))}
            keys = {str(name): str(key) for name, key in facts.get("keys", {}).items() if name in listed}
            finished = facts["finished"] is True
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}, {}, True
        return listed, keys, finished

    def _write_list(self, files: dict[str, str], keys: dict[str, str], *, finished: bool) -> None:
        self._require_no_link(self.path / FILE)
        facts = {"finished": finished, "files": dict(sorted(files.items())), "keys": dict(sorted(keys.items()))}
        write_whole(self.path / FILE, (json.dumps(facts, indent=1) + "\n").encode())


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name and len(path.parts) > 0


def _is_there(path: Path, digest: str) -> bool:
    try:
        return sha256_file(path) == digest
    except OSError:
        return False
