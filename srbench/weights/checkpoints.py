"""Checkpoints of other projects, written by ``torch.save`` and read without executing code from the file."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srbench.weights.files import WeightsError, require_finite
from srbench.words import listed

ENDINGS = (".pth", ".pt")
"""Extensions of files that are read as checkpoints instead of weights files."""
_WRAPPERS = ("params_ema", "params", "state_dict", "model")
"""Keys under which BasicSR (moving average first), Lightning and other toolkits store tensors."""
_MAX_NESTING = 3
"""Largest nesting depth of such keys; a dictionary in a file may contain itself."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Like ``read_state_dict``, without the prefix ``module.`` in names."""
    return {name.removeprefix("module."): tensor for name, tensor in read_state_dict(path).items()}


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a checkpoint by name, on the CPU, with floating-point tensors as float32.

    Wrapper keys are removed. Raises WeightsError if the file is missing, truncated, not a checkpoint, would run code
    when loaded, or holds a non-finite value (the message names the first such tensor).
    """
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
    if not path.is_file():
        kind = "a folder, not a checkpoint" if path.exists() else "no such checkpoint"
        raise WeightsError(f"{path}: {kind}; check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unusual pickle either loads or is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on an arbitrary file the parser may raise anything
        if code := re.search(r"GLOBAL (\S+)", str(error)):
            raise WeightsError(
                f"{path}: would run code ({code[1]}) when loaded, and only tensors are accepted; do not trust this "
                "file or, if you made it, save only tensors: torch.save(network.state_dict(), FILE)"
            ) from None
        reason = re.split(r"[.\n]", str(error).strip())[0] or type(error).__name__
        raise WeightsError(f"{path}: truncated, or not a checkpoint ({reason}); get another copy of the file") from None
