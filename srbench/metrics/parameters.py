"""The fixed numbers some metrics need, packaged in the folder ``parameters``; nothing is ever downloaded."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files

from safetensors.torch import load_file
from torch import Tensor


@cache
def packaged(name: str) -> dict[str, Tensor]:
    """Tensors of ``parameters/<name>.safetensors``, on the CPU, read once and shared: never change them.

    NOTICE states where each file comes from and under which licence.
    """
    with as_file(files("srbench.metrics") / "parameters" / f"{name}.safetensors") as path:
        return load_file(path)
