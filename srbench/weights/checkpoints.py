"""Checkpoints of other projects, written by ``torch.save`` and read without running code in them."""

from __future__ import annotations

import pickletools
import re
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from srbench.weights.files import WeightsError, require_finite

ENDINGS = (".pth", ".pt")
"""Suffixes of files that are read as checkpoints instead of weights files."""
_WRAPPERS = ("params_ema", "params")
"""Keys under which BasicSR stores the tensors, the averaged ones first."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint by name, float32 on the CPU, without wrapper keys and the prefix ``module.``.

    Raises WeightsError if the file is missing, truncated or not a checkpoint, wants to run code (the message names the
    function), or holds a non-finite value (the message names the first such tensor).
    """
    content = _unpickled(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if not isinstance(content, dict) or not content or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError(f"{path}: holds no tensors by name; name a checkpoint of a network")
    for name, tensor in content.items():
        if fault := _unusable(tensor):
            raise WeightsError(f"{path}: {name} is {fault}; only plain tensors can be read, save it as one")
    tensors = {str(name).removeprefix("module."): tensor.float() for name, tensor in content.items()}
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
            warnings.simplefilter("ignore")  # about unusual pickles, which load or are refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file can make the parser raise anything
        named = re.search(r"GLOBAL (\S+)", str(error))
        asked = named[1] if named else _foreign_global(path)
        if asked:
            raise WeightsError(
                f"{path}: wants to run code ({asked}); only tensors are loaded; do not trust this file"
            ) from None
        reason = re.split(r"[.\n]", str(error).strip())[0] or type(error).__name__
        raise WeightsError(f"{path}: truncated, or no checkpoint ({reason}); get another copy of the file") from None


def _foreign_global(path: Path) -> str | None:
    """The first function or class outside torch that the file's pickle names; the pickle is read, not run."""
    try:
        content = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
        strings: list[str] = []
        for operation, argument, _ in pickletools.genops(content):
            if isinstance(argument, str):
                strings.append(argument.replace(" ", "."))
            name = {"GLOBAL": strings[-1:], "STACK_GLOBAL": strings[-2:]}.get(operation.name)
            if name and not name[0].startswith(("torch", "collections")):
                return ".".join(name)
    except Exception:  # not a pickle, or a damaged one
        return None
    return None
