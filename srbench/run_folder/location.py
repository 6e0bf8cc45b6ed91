"""Where runs are: below a folder, and the run folder of a command without ``--out``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path

from srbench.run_folder import RunFolderError
from srbench.run_folder.manifest import MANIFEST, is_run, read_manifest
from srbench.run_folder.protocol import Manifest
from srbench.run_folder.records import KINDS
from srbench.run_folder.request import RunSpec
from srbench.run_folder.requested import with_request

_FILES = (MANIFEST, *(kind.FILE for kind in KINDS))


def is_begun(path: Path) -> bool:
    """Return whether a folder is a run, even if damaged: it has a manifest or records."""
    return any((path / name).exists() for name in _FILES)


def is_folder_of_runs(path: Path) -> bool:
    """Return whether a path is a folder and no run; there may be runs below it."""
    return path.is_dir() and not is_begun(path)


def runs_below(path: Path) -> list[Path]:
    """Return all runs below a folder, sorted, even if damaged; for a run, the run itself.

    Hidden folders, links and subfolders of runs are not searched. A folder that cannot be entered is among the runs, so
    that reading it names the fault. Raises RunFolderError if there is no run.
    """
    runs: list[Path] = []
    for folder, subfolders, files in os.walk(path, onerror=lambda error: runs.append(Path(error.filename))):
        if not set(_FILES).isdisjoint(files):
            runs.append(Path(folder))
            subfolders.clear()
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
    if not runs:
        raise RunFolderError(f"{path}: no run in it; name a folder that srbench run made, or a folder of such folders")
    return sorted(runs)


def began_with(run: Path, command: str) -> bool:
    """Return whether a run was begun by this command; False if there is no run, or its manifest is damaged."""
    with suppress(RunFolderError):
        return any(first.command == command for first in read_manifest(run).invocations[:1])
    return False


def folder_of(spec: RunSpec, labels: Sequence[str], requested: Manifest | None = None) -> Path:
    """Return ``--out``, else the newest folder that the same command began, else a folder named after today.

    Today's folder is reused if the manifest ``requested`` can be added to it; otherwise its name gets a number.
    """
    if spec.out:
        return Path(spec.out)

    def is_same(path: Path) -> bool:
        return began_with(path, spec.command())

    def is_usable(path: Path) -> bool:
        return not is_run(path) or (requested is not None and _can_be_added(requested, path))

    return dated_folder(f"{'-'.join(labels)}-x{spec.scale}", is_same, is_usable)


def dated_folder(name: str, is_same: Callable[[Path], bool], is_usable: Callable[[Path], bool]) -> Path:
    """Return the newest ``runs/DATE-NAME`` or ``runs/DATE-NAME-NUMBER`` with ``is_same``, else a new or usable folder.

    The latter is the first of ``TODAY-NAME``, ``TODAY-NAME-2``, ``TODAY-NAME-3`` and so on with ``is_usable``.
    """
    pattern = re.compile(rf"\d{{4}}(-\d\d){{2}}-{re.escape(name)}(-\d+)?")
    dated = [path for path in Path("runs").glob("*") if pattern.fullmatch(path.name)]
    for path in sorted(dated, key=lambda path: (path.name[:10], len(path.name), path.name), reverse=True):
        if is_same(path):
            return path
    path = today = Path("runs") / f"{date.today().isoformat()}-{name}"
    number = 2
    while not is_usable(path):
        path = today.with_name(f"{today.name}-{number}")
        number += 1
    return path


def _can_be_added(requested: Manifest, path: Path) -> bool:
    try:
        with_request(path, read_manifest(path), requested)
    except RunFolderError:
        return False
    return True
