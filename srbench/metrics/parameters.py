"""Fixed parameters of some metrics, packaged in the folder ``parameters``; nothing is downloaded."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor


def parameter_file(name: str) -> Path:
    """Return the path of ``parameters/NAME.safetensors``. NOTICE states origin and licence of each file."""
    return Path(__file__).with_name("parameters") / f"{name}.safetensors"


@cache
def packaged(name: str) -> dict[str, Tensor]:
    """Read the tensors of ``parameter_file(name)``, on the CPU. They are cached and shared: never modify them."""
    return load_file(parameter_file(name))
