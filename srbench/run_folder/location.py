"""Where a run without ``--out`` is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
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
    runs = Path("runs")
    suffix = f"-{'-'.join(labels)}-x{spec.scale}"
    pattern = re.compile(rf"\d{{4}}(-\d\d){{2}}{re.escape(suffix)}(-\d+)?")
    for folder in newest_first(path for path in runs.glob("*-x*") if pattern.fullmatch(path.name)):
        with suppress(RunFolderError):
            if any(first.command == spec.command() for first in read_manifest(folder).invocations[:1]):
                return folder
    name = f"{date.today().isoformat()}{suffix}"
    path = runs / name
    number = 2
    while is_run(path) and not (asked and _can_be_added(asked, path)):
        path = runs / f"{name}-{number}"
        number += 1
    return path


def newest_first(folders: Iterable[Path]) -> list[Path]:
    """Folders of equal names but for date and number, such as ``2026-01-31-srflow-x8-2``, from the newest on."""
    return sorted(folders, key=lambda path: (path.name[:10], len(path.name), path.name), reverse=True)


def _can_be_added(asked: Manifest, path: Path) -> bool:
    try:
        joined(path, read_manifest(path), asked)
    except RunFolderError:
        return False
    return True
