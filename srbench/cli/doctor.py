"""Check of the installation: versions, devices, packaged files, entry points."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from srbench.images import ImageError
from srbench.images.folders import images_in
from srbench.images.resize import downscale
from srbench.interfaces import ImagePair, SRBenchError
from srbench.machine.facts import hardware, software
from srbench.metrics.cost import Making
from srbench.models.loading import SCALES, load_model, ready_models
from srbench.plugins.registry import load_dataset, load_metric, load_trainer, registered

PHOTOS_SHA256 = "45fc0726757cf76771a3c97df9edcce2734fa510b9ce345f89a49aa7c526305d"
"""SHA-256 of the sorted names and bytes of the packaged photographs."""


def findings() -> Iterator[tuple[bool, str, str]]:
    """Everything that is checked: whether it is fine, its name, what was found.

    To find missing parameters too, models are loaded at every scale at which they need no file, and metrics measure an
    image or, where they are of a model, bicubic interpolation.
    """
    facts = software() | {name: str(found) for name, found in hardware("cpu").items() if name != "device"}
    for name, value in facts.items():
        yield value != "not installed", name, value
    yield True, "devices", ", ".join(_devices())
    yield _photos()
    checks: dict[str, Callable[[str], str]] = {
        "models": _model,
        "metrics": _metric,
        "datasets": lambda name: f"{len(load_dataset(name, SCALES[0]))} images",
        "trainers": _trainer,
    }
    for kind, check in checks.items():
        names = list(registered(kind))
        if not names:
            yield False, kind, "none are registered; install srbench with pip"
        for name in names:
            try:
                yield True, f"{kind.removesuffix('s')} {name}", check(name)
            except SRBenchError as error:
                yield False, f"{kind.removesuffix('s')} {name}", str(error)


def _devices() -> list[str]:
    found = ["cpu"]
    if torch.cuda.is_available():
        found += [f"cuda ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def _photos() -> tuple[bool, str, str]:
    digest = hashlib.sha256()
    try:
        for name, path in images_in(Path(__file__).parents[1] / "data" / "photos").items():
            digest.update(name.encode())
            digest.update(path.read_bytes())
    except (ImageError, OSError) as error:
        return False, "packaged photographs", f"{error}; install srbench again"
    found = f"(sha256 {digest.hexdigest()[:12]})"
    if digest.hexdigest() != PHOTOS_SHA256:
        return False, "packaged photographs", f"changed {found}; install srbench again"
    return True, "packaged photographs", f"complete {found}"


def _model(name: str) -> str:
    digests = {scale: model.weights and model.weights.sha256[:12] for scale, model in ready_models(name).items()}
    return ", ".join(f"x{scale} (sha256 {digest})" if digest else f"x{scale}" for scale, digest in digests.items())


def _metric(name: str) -> str:
    hr = torch.rand((3, 256, 256), generator=torch.Generator().manual_seed(0)).mul(255).floor().div(255)
    pair = ImagePair("noise", downscale(hr, 4), hr)
    metric: Any = load_metric(name)
    if metric.facts.sees == "model":
        start = time.perf_counter()
        model = load_model("bicubic", 4, "cpu").model
        model(pair.lr[None])  # type: ignore[operator]
        making = Making(model, None, "cpu", time.perf_counter() - start)
        return f"{float(metric.of(making)):.4g} of bicubic interpolation"
    return f"{float(metric(hr.flip(-1)[None], pair).double().mean()):.4g} on noise"


def _trainer(name: str) -> str:
    load_trainer(name)
    return registered("trainers")[name].value
