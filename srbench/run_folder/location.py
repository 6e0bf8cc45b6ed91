"""The run folder of a command without ``--out``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path

from srbench.run_folder import RunFolderError
from srbench.run_folder.manifest import is_run, read_manifest
from srbench.run_folder.merge import joined
from srbench.run_folder.protocol import Manifest
from srbench.run_folder.request import RunSpec


def folder_of(spec: RunSpec, labels: Sequence[str], requested: Manifest | None = None) -> Path:
    """Return ``--out``, else the newest folder that the same command began, else a folder named after today.

    Today's folder is reused if the manifest ``requested`` can be added to it; otherwise its name gets a number.
    """
    if spec.out:
        return Path(spec.out)

    def is_same(path: Path) -> bool:
        with suppress(RunFolderError):
            return any(first.command == spec.command() for first in read_manifest(path).invocations[:1])
        return False

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
        joined(path, read_manifest(path), requested)
    except RunFolderError:
        return False
    return True
