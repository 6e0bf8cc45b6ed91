"""manifest.json: what a run measured, with which models, weights, versions and hardware."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from srbench.images import write_whole
from srbench.types import Metric, SRBenchError, WeightsInfo

FILE = "manifest.json"
Facts = dict[str, Any]
"""A part of a manifest: of a run, a model, a metric."""

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


class ManifestError(SRBenchError):
    """A folder that is not the folder of a run."""


def write_manifest(run: Path, facts: Mapping[str, Any]) -> None:
    """Write ``manifest.json`` of the folder ``run``, whole."""
    write_whole(run / FILE, (json.dumps(facts, indent=1, allow_nan=False) + "\n").encode())


def read_manifest(run: Path) -> dict[str, Any]:
    """The facts of the run in a folder. Raises ManifestError where it holds none."""
    path = run / FILE
    try:
        facts = json.loads(path.read_text())
    except OSError:
        raise ManifestError(f"{run}: no run in it ({FILE} is missing); name the folder that srbench run made") from None
    except ValueError as error:
        raise ManifestError(f"{path}: damaged ({error}); the command of the run writes it again") from None
    if not isinstance(facts, dict) or "keys" not in facts:
        raise ManifestError(f"{path}: not the manifest of a run; name the folder that srbench run made")
    return facts


def metric_facts(metric: Metric) -> dict[str, Any]:
    """All that is known of a metric without measuring."""
    return {
        "name": metric.name,
        "title": metric.title,
        "higher_is_better": metric.higher_is_better,
        "unit": metric.unit,
        "digits": metric.digits,
        "protocol": metric.protocol,
    }


def model_facts(label: str, spec: str, digest: str, weights: WeightsInfo | None) -> dict[str, Any]:
    """A model by its label, how the command named it, and where its numbers come from."""
    return {"label": label, "spec": spec, "digest": digest, "weights": asdict(weights) if weights else None}


def software() -> dict[str, str]:
    """Versions of what the numbers depend on; ``srbench source`` where it runs from a git checkout."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    versions["torch"] = torch.__version__  # with the kind of its build, which the installed metadata may leave out
    commit = _source_commit()
    return versions if commit is None else versions | {"srbench source": commit}


def hardware(device: str) -> dict[str, Any]:
    """The machine, and the device that the models ran on (``cpu``, ``cuda``, ``mps``)."""
    facts: dict[str, Any] = {
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
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
    """The commit srbench runs from, ``changed`` added where files differ; None outside a checkout of it."""
    package = Path(__file__).parent

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
