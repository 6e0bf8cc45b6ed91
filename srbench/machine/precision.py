"""Precision on a GPU: TF32 rounds the factors of a product to 10 mantissa bits, on the tensor cores of an NVIDIA GPU.

By default, torch allows it for convolutions.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

ROUNDING = "cuda"
"""Type of the devices that have TF32."""
_ONE_PASS = threading.RLock()


@contextmanager
def products(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """Allow or forbid TF32 in float32 convolutions and matrix products on a GPU, while the context is open.

    torch's settings are global to the process, so other threads wait until the context is closed, which restores the
    settings. On other devices this does nothing.
    """
    if device.type != ROUNDING:
        yield
        return
    with _ONE_PASS:
        before = [(owner, name, getattr(owner, name)) for owner, name in _settings()]
        for owner, name, _ in before:
            setattr(owner, name, tf32 if name == "allow_tf32" else "tf32" if tf32 else "ieee")
        try:
            yield
        finally:
            for owner, name, value in before:
                setattr(owner, name, value)


def allows_tf32() -> tuple[bool, bool]:
    """Return whether TF32 is allowed in convolutions, and in matrix products."""
    convolutions, matrices = (getattr(owner, name) in (True, "tf32") for owner, name in _settings())
    return convolutions, matrices


def _settings() -> list[tuple[Any, str]]:
    """Owner and name of the settings for convolutions and products: torch 2.9's if the older ones are refused."""
    convolutions: Any = torch.backends.cudnn
    matrices = torch.backends.cuda.matmul
    try:
        _ = convolutions.allow_tf32, matrices.allow_tf32
    except RuntimeError:  # torch refuses the older names once the newer ones have been used
        return [(convolutions.conv, "fp32_precision"), (matrices, "fp32_precision")]
    return [(convolutions, "allow_tf32"), (matrices, "allow_tf32")]
