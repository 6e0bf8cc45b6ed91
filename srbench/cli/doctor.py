"""``srbench doctor``: versions, devices and packaged files, for bug reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import click

from srbench.interfaces import SRBenchError
from srbench.terminal.output import show

_EXTRAS = {"spandrel": "zoo", "onnxruntime": "onnx", "ncnn": "ncnn"}
"""Optional packages that read networks of third parties, and the extra that brings each."""


@dataclass(frozen=True)
class Finding:
    """A line of ``srbench doctor``."""

    name: str
    value: str
    """What was found; empty if it is missing."""
    remedy: str = "reinstall srbench"
    """Command that brings what is missing."""
    optional: bool = False


@click.command()
def doctor() -> None:
    """Check the installation. Exit code 1 if something is missing that every command needs."""
    missing = False
    for finding in findings():
        missing |= not (finding.value or finding.optional)
        state = "ok" if finding.value else "absent" if finding.optional else "MISSING"
        show(f"{state:7}  {finding.name}: {finding.value or finding.remedy}")
    if missing:
        raise click.exceptions.Exit(1)


def findings() -> Iterator[Finding]:
    """Yield the result of every check."""
    import torch

    from srbench.cli.catalogue import weights_of
    from srbench.images.folders import images_in
    from srbench.machine.environment import hardware, software, version_of
    from srbench.plugins.registry import registered

    for name, found in software().items():
        yield Finding(name, found.replace("not installed", ""))
    yield (pyiqa := Finding("pyiqa", version_of("pyiqa"), "pip install pyiqa"))
    for name, extra in _EXTRAS.items():
        yield Finding(name, version_of(name), f"pip install 'sr-bench[{extra}]'", optional=True)
    for name, fact in hardware("cpu").items():
        if name != "device":
            yield Finding(name, fact)
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    yield Finding("devices", ", ".join(devices))
    try:
        yield Finding("packaged photographs", str(len(images_in(Path(str(files("srbench.data") / "photos"))))))
    except (SRBenchError, OSError):
        yield Finding("packaged photographs", "")
    if not registered("models"):
        yield Finding("models", "")
    for name in registered("models"):
        try:
            scales = ", ".join(f"x{scale}" for scale in weights_of(name))
            yield Finding(f"model {name}", scales or "no packaged weights")
        except (SRBenchError, OSError):
            yield Finding(f"model {name}", "")
    if pyiqa.value:
        yield from _weights_of_metrics()


def _weights_of_metrics() -> Iterator[Finding]:
    """Yield the metrics whose weights pyiqa has downloaded, and those whose weights it lacks, of all suites."""
    from srbench.metrics.pyiqa_variants import lacks_weights
    from srbench.metrics.suite import read_suite, suite_names

    columns = [column for name in suite_names() for column in read_suite(name).columns]
    metrics = ["fid", *sorted({column for column in columns if column.startswith("pyiqa:")})]
    lacking = [metric for metric in metrics if lacks_weights(metric.removeprefix("pyiqa:"))]
    if present := [metric for metric in metrics if metric not in lacking]:
        yield Finding("weights of metrics", ", ".join(present))
    if lacking:
        remedy = f"srbench weights fetch --metrics {','.join(lacking)}"
        yield Finding("weights of other metrics", "", remedy, optional=True)
