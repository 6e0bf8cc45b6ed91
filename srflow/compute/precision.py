"""TF32 on a GPU: for whatever follows from the LR image alone; float32 for the flow itself.

TF32 rounds the factors of a product to 10 bits of mantissa, on the tensor cores of an NVIDIA GPU. torch allows it to
convolutions by default. Conditions may be rounded: the flow is invertible whatever they are, as long as both directions
take the same ones. The couplings' networks may not: the inverse evaluates them at numbers that differ in the last bits
from those of the forward direction, and rounding turns such a difference into one of a thousandth.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

ROUNDING = "cuda"
"""The kind of device that has TF32."""
_ONE_PASS = threading.RLock()


@contextmanager
def products(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """One pass of one thread, whose float32 convolutions and matrix products on a GPU use TF32, or never do.

    torch's settings are the process's: other threads wait for the end of the pass, which restores them. Other devices,
    whose products are exact, need no settings and wait for nobody.
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


def _settings() -> list[tuple[Any, str]]:
    """Owner and name of the settings of convolutions and products: torch 2.9's, if it refuses the older ones."""
    convolutions: Any = torch.backends.cudnn
    matrices = torch.backends.cuda.matmul
    try:
        _ = convolutions.allow_tf32, matrices.allow_tf32
    except RuntimeError:  # somebody has used the newer names
        return [(convolutions.conv, "fp32_precision"), (matrices, "fp32_precision")]
    return [(convolutions, "allow_tf32"), (matrices, "allow_tf32")]
