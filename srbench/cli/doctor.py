"""Is this installation complete? Versions, devices, packaged files, entry points."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from srbench.images import ImageError
from srbench.images.folders import images_in
from srbench.images.resize import downscale
from srbench.interfaces import ImagePair, SRBenchError
from srbench.models.loading import SCALES, ready_models
from srbench.plugins.registry import load_dataset, load_metric, load_trainer, registered
from srbench.run_folder.manifest import hardware, software

PHOTOS_SHA256 = "45fc0726757cf76771a3c97df9edcce2734fa510b9ce345f89a49aa7c526305d"
"""Of the sorted names and bytes of the packaged photographs."""


def findings() -> list[tuple[bool, str, str]]:
    """Everything that is looked at: is it all right, what is it, what was found.

    Models are made at every scale at which they need no file, metrics measure an image: that finds missing
    parameters too.
    """
    facts = [*software().items(), *((name, str(found)) for name, found in hardware("cpu").items() if name != "device")]
    found = [(value != "not installed", name, value) for name, value in facts]
    found += [(True, "devices", ", ".join(_devices())), _photos()]
    checks = {"models": _model, "metrics": _metric, "datasets": _dataset, "trainers": _trainer}
    for kind, check in checks.items():
        names = list(registered(kind))
        if not names:
            found.append((False, kind, "none are registered; install srbench with pip"))
        for name in names:
            try:
                found.append((True, f"{kind.removesuffix('s')} {name}", check(name)))
            except SRBenchError as error:
                found.append((False, f"{kind.removesuffix('s')} {name}", str(error)))
    return found


def photos_sha256(folder: Path) -> str:
    """sha256 of the names and bytes of the images in a folder. Raises ImageError where there are none."""
    digest = hashlib.sha256()
    for name, path in images_in(folder).items():
        digest.update(name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _devices() -> list[str]:
    there = ["cpu"]
    if torch.cuda.is_available():
        there += [f"cuda ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    return [*there, "mps"] if torch.backends.mps.is_available() else there


def _photos() -> tuple[bool, str, str]:
    try:
        digest = photos_sha256(Path(__file__).parents[1] / "data" / "photos")
    except (ImageError, OSError) as error:
        return False, "packaged photographs", f"{error}; install srbench again"
    if digest != PHOTOS_SHA256:
        return False, "packaged photographs", f"changed (sha256 {digest[:12]}); install srbench again"
    return True, "packaged photographs", f"complete (sha256 {digest[:12]})"


def _model(name: str) -> str:
    ready = ready_models(name)
    return ", ".join(
        f"x{scale} (sha256 {m.weights.sha256[:12]})" if m.weights else f"x{scale}" for scale, m in ready.items()
    )


def _metric(name: str) -> str:
    hr = torch.rand((3, 256, 256), generator=torch.Generator().manual_seed(0)).mul(255).floor().div(255)
    pair = ImagePair("noise", downscale(hr, 4), hr)
    value = load_metric(name)(hr.flip(-1)[None], pair)
    return f"{float(value.double().mean()):.4g} on noise"


def _dataset(name: str) -> str:
    return f"{len(load_dataset(name, SCALES[0]))} images"


def _trainer(name: str) -> str:
    load_trainer(name)
    return registered("trainers")[name].value
