"""Fixed numbers of some metrics, packaged in the folder ``parameters``; nothing is ever downloaded."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor


def parameter_file(name: str) -> Path:
    """The file ``parameters/<name>.safetensors``. NOTICE states where each comes from and under which licence."""
    return Path(__file__).with_name("parameters") / f"{name}.safetensors"


@cache
def packaged(name: str) -> dict[str, Tensor]:
    """Tensors of ``parameter_file(name)``, on the CPU, read once and shared: never change them."""
    return load_file(parameter_file(name))
