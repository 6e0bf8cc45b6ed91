"""The files that a report consists of: written whole, remembered, and removed when a later report has no use for them.

Nothing else is ever removed or overwritten. What is not in the list or was changed since is not ours: it is moved aside
where its name is needed, and links are not followed.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from srbench.images import write_whole
from srbench.manifest import FILE as MANIFEST
from srbench.types import SRBenchError
from srbench.weights.files import sha256_bytes, sha256_file

FILE = "report.json"
"""The list: names and sha256 of the files that the last report wrote, and whether it came to its end."""


class ReportFolderError(SRBenchError):
    """A folder into which no report can be written."""


class ReportFolder:
    """Where a report is written: the folder of a run, or one of its own; ``part`` is a folder in it with its own list.

    Raises ReportFolderError for a folder with other things in it, and for links that lead out of it.
    """

    def __init__(self, root: Path, part: str = "") -> None:
        self.root, self.path = root, root / part
        if root.exists() and not root.is_dir():
            raise ReportFolderError(f"{root}: a file, not a folder; choose another --out")
        is_ours = (root / MANIFEST).exists() or (root / FILE).exists()
        if not is_ours and root.is_dir() and (others := sorted(entry.name for entry in root.iterdir())):
            raise ReportFolderError(f"{root}: not empty, and no report in it ({others[0]} is); choose another --out")
        self._before, self._finished = self._listed()
        self._written: dict[str, str] = {}
        self.moved: list[tuple[Path, Path]] = []
        """Files of somebody else that were in the way: where they were, where they are now."""
        self._write_list(self._before, finished=False)

    def write(self, name: str, content: bytes) -> Path:
        """Write a file such as ``strips/a.png``, whole; returns its path.

        Raises ReportFolderError for a link in the way.
        """
        path, digest = self.path / name, sha256_bytes(content)
        self._require_no_link(path)
        self._move_aside(path, {digest, self._before.get(name), self._written.get(name)})
        write_whole(path, content)
        self._written[name] = digest
        return path

    def _move_aside(self, path: Path, ours: set[str | None]) -> None:
        """Give a file another name that is neither the last report's nor one that a killed report left."""
        if not self._finished or not path.is_file() or sha256_file(path) in ours:
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
        self._write_list(left | self._written, finished=True)

    def _remove(self, name: str, digest: str) -> None:
        path = self.path / name
        try:
            self._require_no_link(path)
            if sha256_file(path) == digest:
                path.unlink()
        except (OSError, ReportFolderError):
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
                raise ReportFolderError(f"{part}: a link, and a report is only written into real folders; remove it")

    def _listed(self) -> tuple[dict[str, str], bool]:
        """What the list says, and whether its report was finished; a file that is no such list lists nothing."""
        try:
            facts = json.loads((self.path / FILE).read_text(encoding="utf-8"))
            listed = {str(name): str(digest) for name, digest in facts["files"].items()}
            finished = facts["finished"] is True
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}, True
        return {name: digest for name, digest in listed.items() if _is_inside(name)}, finished

    def _write_list(self, files: dict[str, str], *, finished: bool) -> None:
        self._require_no_link(self.path / FILE)
        facts = {"finished": finished, "files": dict(sorted(files.items()))}
        write_whole(self.path / FILE, (json.dumps(facts, indent=1) + "\n").encode())


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name and len(path.parts) > 0
