"""``srbench doctor``: versions, devices and packaged files, for bug reports."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import click

from srbench.interfaces import SRBenchError
from srbench.terminal.output import show


@click.command()
def doctor() -> None:
    """Check the installation. Exit code 1 if something is missing."""
    missing = False
    for name, value in findings():
        missing |= not value
        show(f"{'ok     ' if value else 'MISSING'}  {name}: {value or 'reinstall srbench'}")
    if missing:
        raise click.exceptions.Exit(1)


def findings() -> Iterator[tuple[str, str]]:
    """Yield name and value of every check; an empty value means that something is missing."""
    import torch

    from srbench.cli.catalogue import weights_of
    from srbench.images.folders import images_in
    from srbench.machine.environment import hardware, software
    from srbench.plugins.registry import registered

    for name, version in software().items():
        yield name, version.replace("not installed", "")
    for name, fact in hardware("cpu").items():
        if name != "device":
            yield name, fact
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    yield "devices", ", ".join(devices)
    try:
        yield "packaged photographs", str(len(images_in(Path(str(files("srbench.data") / "photos")))))
    except (SRBenchError, OSError):
        yield "packaged photographs", ""
    if not registered("models"):
        yield "models", ""
    for name in registered("models"):
        try:
            yield f"model {name}", ", ".join(f"x{scale}" for scale in weights_of(name)) or "no packaged weights"
        except (SRBenchError, OSError):
            yield f"model {name}", ""
