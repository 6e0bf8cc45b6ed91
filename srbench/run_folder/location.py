"""Where a run without ``--out`` is kept."""

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


def folder_of(spec: RunSpec, labels: Sequence[str], asked: Manifest | None = None) -> Path:
    """``--out``, else the newest folder of the same command, else one named after today.

    Today's folder of the same models is taken if the request ``asked`` can be added to it, otherwise the next number.
    """
    if spec.out:
        return Path(spec.out)

    def is_same(path: Path) -> bool:
        with suppress(RunFolderError):
            return any(first.command == spec.command() for first in read_manifest(path).invocations[:1])
        return False

    def is_usable(path: Path) -> bool:
        return not is_run(path) or (asked is not None and _can_be_added(asked, path))

    return dated_folder(f"{'-'.join(labels)}-x{spec.scale}", is_same, is_usable)


def dated_folder(name: str, is_same: Callable[[Path], bool], is_usable: Callable[[Path], bool]) -> Path:
    """The newest ``runs/DATE-NAME`` for which ``is_same``, else today's, or the first usable of today's with a number.

    Folders of one name differ by date and number, such as ``2026-01-31-srflow-x8-2``.
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


def _can_be_added(asked: Manifest, path: Path) -> bool:
    try:
        joined(path, read_manifest(path), asked)
    except RunFolderError:
        return False
    return True
