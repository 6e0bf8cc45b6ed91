"""Reading and writing ``manifest.json``, and the facts of this machine that go into it."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cattrs

from srbench.images.io import write_whole
from srbench.interfaces import MOST_DIGITS
from srbench.run_folder import RunFolderError
from srbench.run_folder.protocol import FORMAT, RESERVED, Manifest
from srbench.system.config import ConfigError, structure
from srbench.system.file_names import is_file_name

FILE = "manifest.json"

_PACKAGES = (
    "sr-bench",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pillow",
    "scikit-image",
    "lpips",
    "pandas",
    "safetensors",
)


def write_manifest(run: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` into the folder ``run``, unless it says the same already."""
    if not is_written(run, manifest):
        write_whole(run / FILE, content_of(manifest))


def is_written(run: Path, manifest: Manifest) -> bool:
    """True if ``manifest.json`` of the folder ``run`` says the same, in whichever format."""
    return is_run(run) and read_manifest(run) == manifest


def is_run(run: Path) -> bool:
    """True if the folder ``run`` has a manifest. Raises OSError if the disk does not answer."""
    try:
        (run / FILE).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def content_of(manifest: Manifest) -> bytes:
    """Bytes of ``manifest.json``."""
    return (json.dumps(cattrs.unstructure(manifest), indent=1, allow_nan=False) + "\n").encode()


def read_manifest(run: Path) -> Manifest:
    """Read the facts of the run in a folder.

    Raises RunFolderError if there is no manifest, or one that is damaged, contradicts itself, or has a format that this
    srbench does not read.
    """
    path = run / FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (FileNotFoundError, NotADirectoryError):
        raise RunFolderError(
            f"{run}: no run in it ({FILE} is missing); name the folder that srbench run made"
        ) from None
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror}); check disk and permissions") from None
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{path}: damaged ({error}); restore it, or run again with another --out") from None
    if not isinstance(facts, dict):
        raise RunFolderError(f"{path}: not the manifest of a run; name the folder that srbench run made")
    try:
        if facts.get("format") == 2:
            _translate(facts)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{path}: damaged ({error!r}); restore it, or run again with another --out") from None
    if facts.get("format") != FORMAT:
        raise _other_format(run, facts)
    try:
        manifest = structure(facts, Manifest, str(path))
    except ConfigError as error:
        raise RunFolderError(f"{error}; restore it, or run again with another --out") from None
    if fault := _contradiction(manifest):
        raise RunFolderError(f"{path}: {fault}; restore it, or run again with another --out")
    return manifest


def _translate(facts: dict[str, Any]) -> None:
    """Rewrite a manifest of format 2: settings had a ``limit``, the first images of the list; invocations a ``shard``.

    Raises AttributeError, KeyError, TypeError or ValueError if it is none.
    """
    for setting in facts["settings"]:
        setting.pop("limit")
    for invocation in facts["invocations"]:
        limits = [setting.pop("limit") for setting in invocation["settings"]]
        known = [limit for limit in limits if limit is not None]
        shard = invocation.pop("shard", None) or {"number": 1, "of": 1}
        if min(known, default=1) < 1 or not 1 <= shard["number"] <= shard["of"]:
            raise ValueError("no number of images, or no shard")
        asked = facts["images"][: max(known, default=0) if len(known) == len(limits) else None]
        invocation["images"] = asked[shard["number"] - 1 :: shard["of"]]
    facts["format"] = FORMAT


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _other_format(run: Path, facts: dict[str, Any]) -> RunFolderError:
    command = facts.get("command")
    if "keys" in facts and isinstance(command, str):
        again = " ".join(command.split())
        return RunFolderError(f"{run}: made by an earlier srbench; make it again with another --out: {again}")
    return RunFolderError(
        f"{run / FILE}: has format {facts.get('format')!r}, and this srbench reads 2 and {FORMAT}; "
        "use the srbench that made it, or run again with another --out"
    )


def _contradiction(manifest: Manifest) -> str:
    """Name something that no run would have written; empty if there is nothing."""
    if not (manifest.metrics and manifest.settings):
        return "no metric or no model"
    if manifest.protocol.scale < 1 or manifest.protocol.samples < 1:
        return "scale and samples have to be 1 or more"
    if any(not 0 <= metric.digits <= MOST_DIGITS for metric in manifest.metrics):
        return f"a metric is printed with 0 to {MOST_DIGITS} decimals"
    return _unusable_names(manifest) or _unusable_settings(manifest)


def _unusable_names(manifest: Manifest) -> str:
    labels = [model.label for model in manifest.models]
    names = [metric.name for metric in manifest.metrics]
    for kind, values in (("a model", labels), ("an image", list(manifest.images)), ("a metric", names)):
        for value in values:
            if not is_file_name(value) or (kind == "a model" and value.casefold() in RESERVED):
                return f"{value!r} is no name of {kind}"
        if len(set(values)) < len(values):
            return f"{kind} is there twice"
    return ""


def _unusable_settings(manifest: Manifest) -> str:
    labels = {model.label for model in manifest.models}
    asked = [setting for invocation in manifest.invocations for setting in invocation.settings]
    for setting in (*manifest.settings, *asked):
        if setting.model not in labels:
            return f"a setting of {setting.model!r}, which is no model of it"
        if setting.temperature is not None and not 0 <= setting.temperature < math.inf:
            return f"{setting.temperature} is no temperature"
    folders = [setting.folder for setting in manifest.settings]
    return "two settings share a folder" if len(set(folders)) < len(folders) else ""


def software() -> dict[str, str]:
    """Versions of the libraries behind the numbers; ``srbench source`` is the commit of a checkout."""
    import torch

    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    versions["torch"] = torch.__version__  # with the kind of its build, which the installed metadata may leave out
    commit = _source_commit()
    return versions if commit is None else versions | {"srbench source": commit}


def hardware(device: str) -> dict[str, str]:
    """Facts of this machine and the device of the models (``cpu``, ``cuda``, ``mps``)."""
    import torch

    facts = {
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cpus": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": device,
    }
    if device == "cuda":
        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def now() -> str:
    """The time in UTC, to the second: ``2026-01-31T12:00:00+00:00``."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _cpu() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _source_commit() -> str | None:
    """Commit that srbench runs from, followed by ``changed`` if files differ; None outside a checkout of srbench."""
    package = Path(__file__).parents[1]

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(package), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    # An installed package may lie inside somebody else's checkout: only a tracked file makes the commit ours.
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = git("rev-parse", "HEAD")
    return f"{commit} changed" if commit and git("status", "--porcelain", "--", ".") else commit
