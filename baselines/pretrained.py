"""From a weights file to a network: the packaged weights by model and scale, or any file by its path."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from srbench.config import structure
from srbench.types import WeightsInfo
from srbench.weights import WeightsError, load_weights, sha256_file

Network = TypeVar("Network", bound=nn.Module)


def load_pretrained(
    model: str,
    network: type[Network],
    config: type[Any],
    scale: int,
    path: Path | None,
    package: str = "baselines",
) -> Network:
    """Build the network that a weights file describes and fill it.

    Without a path, the file ``weights/<model>-mini-x<scale>.safetensors`` of the package is taken. The network gets
    an attribute ``weights``, a WeightsInfo.
    Raises WeightsError for a damaged file, one of another model or scale, or where none is packaged.
    """
    if path is None:
        return _load_packaged(model, network, config, scale, package)
    tensors, metadata = load_weights(path)
    found, found_scale = metadata.get("model", "unknown"), metadata.get("scale", "unknown")
    if found != model:
        raise WeightsError(f"{path}: weights of the model {found}, not of {model}; choose a {model} file")
    if found_scale != str(scale):
        raise WeightsError(f"{path}: weights for scale {found_scale}, not {scale}; use --scale {found_scale}")
    built = network(structure(json.loads(metadata["config"]), config, str(path)))
    fill(built, tensors, path)
    built.weights = WeightsInfo(  # type: ignore[assignment]
        sha256=sha256_file(path),
        licence=metadata["licence"],
        trained_on=metadata["trained_on"],
        parameters=sum(parameter.numel() for parameter in built.parameters()),
    )
    return built.eval()


def fill(network: nn.Module, tensors: dict[str, Any], path: Path) -> None:
    """Copy tensors into a network, strictly.

    Raises WeightsError that lists the first ten missing, unexpected or misshaped names, and how many there are.
    """
    own = network.state_dict()
    faults = [f"missing {name}" for name in own if name not in tensors]
    faults += [f"unexpected {name}" for name in tensors if name not in own]
    faults += [
        f"{name} has shape {tuple(tensors[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if faults:
        listed = "; ".join(faults[:10])
        raise WeightsError(f"{path}: {len(faults)} tensors do not fit the network: {listed}")
    network.load_state_dict(tensors)


def _load_packaged(model: str, network: type[Network], config: type[Any], scale: int, package: str) -> Network:
    folder = files(package) / "weights"
    scales = sorted(
        int(entry.name.removeprefix(f"{model}-mini-x").removesuffix(".safetensors"))
        for entry in folder.iterdir()
        if entry.name.startswith(f"{model}-mini-x")
    )
    if scale not in scales:
        there = ", ".join(map(str, scales)) or "none"
        raise WeightsError(
            f"no {model} weights are packaged for scale {scale} (packaged: {there}); "
            f"train some with srbench train {model}, and name them: {model}:FILE"
        )
    with as_file(folder / f"{model}-mini-x{scale}.safetensors") as path:
        return load_pretrained(model, network, config, scale, path)
