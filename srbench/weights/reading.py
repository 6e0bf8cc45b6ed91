"""Tensors of weights files: of this distribution, of a training in progress, and of other projects.

A file whose name ends in ``.safetensors`` is a safetensors file; any other is a checkpoint written by ``torch.save``,
which is read without executing code from it.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srbench.machine.memory import out_of_memory
from srbench.weights.files import (
    WeightsError,
    is_safetensors,
    is_training_checkpoint,
    load_weights,
    require_file,
    require_finite,
)
from srbench.weights.metadata import WeightsMetadata, read_metadata, read_training
from srbench.words import listed, one_line

_WRAPPERS = ("params_ema", "params", "state_dict", "model")
"""Keys under which BasicSR (moving average first), Lightning and other toolkits store tensors."""
_MAX_NESTING = 3
"""Largest nesting depth of such keys; a dictionary in a file may contain itself."""


def read_weights(path: Path) -> tuple[dict[str, Tensor], WeightsMetadata]:
    """Read tensors by name, on the CPU, and metadata from a weights file, or from the last checkpoint of a training.

    Raises WeightsError as ``load_weights`` and ``read_metadata`` do, and for a checkpoint of another project.
    """
    if is_training_checkpoint(path):
        return _read_training_checkpoint(path)
    require_file(path)
    if not is_safetensors(path):
        raise WeightsError(f"{path}: an official checkpoint; convert it to a weights file first (srbench convert)")
    tensors, text = load_weights(path)
    return tensors, read_metadata(text, path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file or checkpoint of any project by name, on the CPU.

    Floating-point tensors of a checkpoint become float32, and wrapper keys are removed. Raises WeightsError if the file
    is missing, damaged, would run code when loaded, or holds a non-finite value (the message names the first such
    tensor).
    """
    if is_safetensors(path):
        return load_weights(path)[0]
    content: Any = _unpickled(path)
    for _ in range(_MAX_NESTING):
        wrappers = [key for key in _WRAPPERS if isinstance(content, dict) and isinstance(content.get(key), dict)]
        content = content[wrappers[0]] if wrappers else content
    if not isinstance(content, dict) or not content or not all(isinstance(t, Tensor) for t in content.values()):
        holds = f", but {listed(map(str, content))}" if isinstance(content, dict) and content else ""
        raise WeightsError(
            f"{path}: contains no named tensors{holds}; save only the network's tensors: "
            "torch.save(network.state_dict(), FILE)"
        )
    for name, tensor in content.items():
        if fault := _unusable(tensor):
            raise WeightsError(f"{path}: {name} is {fault}; only plain tensors can be read: save it as a plain tensor")
    tensors = {str(name): tensor.float() if tensor.is_floating_point() else tensor for name, tensor in content.items()}
    require_finite(tensors, path)
    return tensors


def _read_training_checkpoint(path: Path) -> tuple[dict[str, Tensor], WeightsMetadata]:
    """Read the moving average of the weights if there is one, else the weights, in the preset's storage type."""
    metadata, _ = read_training(path.parent)
    settings = metadata.settings or {}
    try:
        # Memory-mapped, so that the state of the optimisers is never read from disk.
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        step = int(saved["step"])
        average = {name: value for name, value in saved.get("average", {}).items() if name.startswith("module.")}
        weights = {name.removeprefix("module."): value for name, value in average.items()} or saved["network"]
        storage = getattr(torch, settings.get("storage", "float32"))
        tensors = {name: value.to(storage) for name, value in weights.items()}
    except Exception as error:  # on a damaged file torch may raise anything
        if out_of_memory(error):
            raise
        reason = one_line(error)[:100]
        raise WeightsError(f"{path}: damaged, or not a checkpoint of this training ({reason}); resume it") from None
    require_finite(tensors, path)
    return tensors, replace(metadata, step=step)


def _unusable(tensor: Tensor) -> str:
    """Reason why a tensor cannot be a weight, or an empty string."""
    if tensor.is_meta:
        return "a meta tensor, without values"
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_nested:
        return f"a tensor of layout {tensor.layout} and type {tensor.dtype}"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"larger ({tuple(tensor.shape)}) than its data in the file"
    return ""


def _unpickled(path: Path) -> object:
    require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unusual pickle either loads or is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on an arbitrary file the parser may raise anything
        if out_of_memory(error):
            raise
        if code := re.search(r"GLOBAL (\S+)", str(error)):
            raise WeightsError(
                f"{path}: would run code ({code[1]}) when loaded, and only tensors are accepted; do not trust this "
                "file or, if you made it, save only tensors: torch.save(network.state_dict(), FILE)"
            ) from None
        reason = re.split(r"[.\n]", str(error).strip())[0] or type(error).__name__
        raise WeightsError(f"{path}: truncated, or not a checkpoint ({reason}); get another copy of the file") from None
