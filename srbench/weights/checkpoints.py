"""Checkpoints of other projects, written by ``torch.save`` and read without running code in them."""

from __future__ import annotations

import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from srbench.weights.files import WeightsError, require_finite

ENDINGS = (".pth", ".pt")
"""Suffixes of files that are read as checkpoints instead of weights files."""
_BEFORE = ("PROTO", "FRAME", "SHORT_BINUNICODE", "BINUNICODE", "MEMOIZE", "BINPUT", "MARK")
"""Operations that may precede the class in a pickle of one object."""
_WRAPPERS = ("params_ema", "params")
"""Keys under which BasicSR stores tensors, their moving average first."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint by name, float32 on the CPU, without wrapper keys and the prefix ``module.``.

    Raises WeightsError if the file is missing, truncated or not a checkpoint, would run code when loaded (the message
    names the function), or has a non-finite value (the message names the first such tensor).
    """
    content = _unpickled(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if not isinstance(content, dict) or not content or not all(isinstance(t, Tensor) for t in content.values()):
        raise WeightsError(f"{path}: contains no named tensors; name a checkpoint of a network")
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
            warnings.simplefilter("ignore")  # unusual pickles either load or are refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file can make the parser raise anything
        named = re.search(r"GLOBAL (\S+)", str(error))
        asked = named[1] if named else foreign_object(path)
        if asked:
            raise WeightsError(
                f"{path}: wants to run code ({asked}); only tensors are loaded; do not trust this file"
            ) from None
        reason = re.split(r"[.\n]", str(error).strip())[0] or type(error).__name__
        raise WeightsError(f"{path}: truncated, or not a checkpoint ({reason}); get another copy of the file") from None


def pickled_object(path: Path) -> str:
    """Class of the object pickled in a file, as by ``torch.save(model)``; empty for named tensors.

    The pickle is read, not run.
    """
    names = ((name, is_outermost) for name, is_outermost in _names_in(path) if not name.startswith("torch._"))
    name, is_outermost = next(names, ("", False))
    return name if is_outermost and not name.startswith("collections.") else ""


def foreign_object(path: Path) -> str | None:
    """The first function or class outside torch that the file's pickle names; it is read, not run."""
    return next((name for name, _ in _names_in(path) if not name.startswith(("torch", "collections"))), None)


def _names_in(path: Path) -> Iterator[tuple[str, bool]]:
    """Functions and classes that the file's pickles name, each with True if a pickle begins with it."""
    with suppress(Exception):  # not a pickle, or a damaged one
        content = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
        stream = BytesIO(content)
        while stream.tell() < len(content):  # files written before PyTorch 1.6 hold several pickles
            strings: list[str] = []
            is_first = True
            for operation, argument, _ in pickletools.genops(stream):
                if isinstance(argument, str):
                    strings.append(argument.replace(" ", "."))
                if name := {"GLOBAL": strings[-1:], "STACK_GLOBAL": strings[-2:]}.get(operation.name):
                    yield ".".join(name), is_first
                is_first &= operation.name in _BEFORE
