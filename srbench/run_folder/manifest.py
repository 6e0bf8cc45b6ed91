"""Reading and writing ``manifest.json``."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import to_builtins

from srbench.files.atomic import write_synced
from srbench.files.config import ConfigError, structure
from srbench.files.paths import no_file
from srbench.metrics.loading import MOST_DIGITS
from srbench.run_folder import RunFolderError
from srbench.run_folder.protocol import FORMAT, RESERVED, Manifest
from srbench.run_folder.records import strict_json
from srbench.run_folder.request import GROUPS
from srbench.words import is_file_name

MANIFEST = "manifest.json"


def write_manifest(run: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` into the folder ``run``, unless the same bytes are there already."""
    content = content_of(manifest)
    if not (is_run(run) and (run / MANIFEST).read_bytes() == content):
        write_synced(run / MANIFEST, content)


def is_written(run: Path, manifest: Manifest) -> bool:
    """Return whether the folder ``run`` has an equal manifest. Raises RunFolderError if it is damaged."""
    return is_run(run) and read_manifest(run) == manifest


def is_run(run: Path) -> bool:
    """Return whether the folder ``run`` has a manifest. Raises OSError if the disk fails."""
    try:
        (run / MANIFEST).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def content_of(manifest: Manifest) -> bytes:
    """Return the bytes of ``manifest.json``."""
    facts = to_builtins(manifest) | {"metrics": [metric.stored() for metric in manifest.metrics]}
    return (json.dumps(facts, indent=1, allow_nan=False) + "\n").encode()


def _no_run(path: Path) -> str:
    """Reason why a path without a manifest is not a run folder, and what to name instead."""
    runs = sorted(manifest.parent for manifest in path.glob(f"*/{MANIFEST}"))
    if runs:
        return f"not a run, but a folder of runs; name one of them, such as {runs[0]}"
    fault = "a file, not a run folder" if path.is_file() else f"no run in it ({MANIFEST} is missing)"
    if not path.exists():
        fault = "missing, not a run folder"
    return f"{fault}; name the folder that srbench run made"


def read_manifest(run: Path) -> Manifest:
    """Read the manifest of a run folder.

    Raises RunFolderError if it is missing, damaged, inconsistent, or of a format that this version does not read.
    """
    path = run / MANIFEST
    if kind := no_file(path):  # reading a pipe would block forever
        raise RunFolderError(f"{path}: {kind}, not a file of srbench; remove it")
    try:
        facts = strict_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise RunFolderError(f"{run}: {_no_run(run)}") from None
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror}); check disk and permissions") from None
    except (ValueError, RecursionError) as error:
        raise RunFolderError(_damaged(path, str(error))) from None
    if not isinstance(facts, dict):
        raise RunFolderError(_damaged(path, "not an object"))
    if facts.get("format") != FORMAT:
        raise RunFolderError(
            f"{path}: has format {facts.get('format')!r}, and this srbench reads {FORMAT}; "
            "use the srbench that made it, or run again with another --out"
        )
    try:
        manifest = structure(facts, Manifest, "")
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError, ConfigError) as error:
        reason = repr(error) if isinstance(error, LookupError) else str(error).removeprefix(": ")
        raise RunFolderError(_damaged(path, reason)) from None
    for fault in _faults(manifest):
        raise RunFolderError(_damaged(path, fault))
    return manifest


def _damaged(path: Path, reason: str) -> str:
    return f"{path}: damaged ({reason}); restore it, or run again with another --out"


def _faults(manifest: Manifest) -> Iterator[str]:
    """Yield inconsistencies that no run would have written."""
    if not (manifest.metrics and manifest.settings):
        yield "no metric or no model"
    if any(not 0 <= metric.digits <= MOST_DIGITS for metric in manifest.metrics):
        yield f"a metric is printed with 0 to {MOST_DIGITS} decimals"
    if not all(metric.title.strip() for metric in manifest.metrics):
        yield "a metric has no title"
    if manifest.protocol.average == GROUPS and not set(manifest.images) <= manifest.groups.keys():
        yield "means are over groups, and an image is in none"
    steps = [model.checkpoint.step for model in manifest.models if model.checkpoint is not None]
    if not all(0 <= step <= sys.float_info.max for step in steps):  # plots take them as floats
        yield "a step of a training is below 0 or above 1e308"
    labels = [model.label for model in manifest.models]
    names = {"a model": labels, "an image": manifest.images, "a metric": [metric.name for metric in manifest.metrics]}
    for kind, values in names.items():
        for value in values:
            if not is_file_name(value) or (kind == "a model" and value.casefold() in RESERVED):
                yield f"{value!r} cannot be the name of {kind}"
        if len(set(values)) < len(values):
            yield f"{kind} is listed twice"
    yield from _setting_faults(manifest)


def _setting_faults(manifest: Manifest) -> Iterator[str]:
    labels = {model.label for model in manifest.models}
    requested = [setting for invocation in manifest.invocations for setting in invocation.settings]
    for setting in (*manifest.settings, *requested):
        if setting.model not in labels:
            yield f"a setting of {setting.model!r}, which is not one of its models"
        if setting not in manifest.settings:
            yield f"a command measured {setting.folder}, which is not one of its settings"
        if setting.temperature is not None and not 0 <= setting.temperature < math.inf:
            yield f"{setting.temperature} is not a temperature"
    if len({setting.folder for setting in manifest.settings}) < len(manifest.settings):
        yield "two settings share a folder"


def now() -> str:
    """Return the time in UTC, to the second: ``2026-01-31T12:00:00+00:00``."""
    return datetime.now(UTC).isoformat(timespec="seconds")
