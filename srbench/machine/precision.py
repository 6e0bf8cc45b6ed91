"""Precision of products: TF32 on a GPU, bfloat16 where there are instructions for it.

TF32 rounds the factors of a product to 10 mantissa bits, on the tensor cores of an NVIDIA GPU. By default, torch allows
it for convolutions.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

TF32_DEVICE = "cuda"
"""Type of the devices that have TF32."""
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Names in /proc/cpuinfo of instruction sets that multiply bfloat16."""
_LOCK = threading.Lock()
_OPEN: list[list[tuple[Any, str, Any]]] = []
"""The open contexts of all threads, each with the settings (owner, name, value) before the first."""


def autocast(device: torch.device, *, enabled: bool = True) -> torch.autocast:
    """Return torch's autocast to bfloat16 on a device, also on the meta device, where products have no precision."""
    return torch.autocast("cpu" if device.type == "meta" else device.type, torch.bfloat16, enabled=enabled)


@contextmanager
def products(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """Allow or forbid TF32 in float32 convolutions and matrix products on a GPU, while the context is open.

    Opened where a computation begins (``upscale``, a metric, a training step, ``Given``), never by a layer. torch's
    settings are global to the process: they are those of the first context until the last of all threads is closed,
    which restores them. So no thread waits for another, such as autograd's for the training step that it serves. On
    other devices this does nothing.
    """
    if device.type != TF32_DEVICE:
        yield
        return
    with _LOCK:
        before = _OPEN[0] if _OPEN else [(owner, name, getattr(owner, name)) for owner, name in _settings()]
        if not _OPEN:
            for owner, name, _ in before:
                setattr(owner, name, tf32 if name == "allow_tf32" else "tf32" if tf32 else "ieee")
        _OPEN.append(before)
    try:
        yield
    finally:
        with _LOCK:
            _OPEN.pop()
            if not _OPEN:
                for owner, name, value in before:
                    setattr(owner, name, value)


def _settings() -> list[tuple[Any, str]]:
    """Owner and name of the settings for convolutions and products: torch 2.9's if the older ones are refused."""
    convolutions: Any = torch.backends.cudnn
    matrices = torch.backends.cuda.matmul
    try:
        _ = convolutions.allow_tf32, matrices.allow_tf32
    except RuntimeError:  # torch refuses the older names once the newer ones have been used
        return [(convolutions.conv, "fp32_precision"), (matrices, "fp32_precision")]
    return [(convolutions, "allow_tf32"), (matrices, "allow_tf32")]


def has_bfloat16(device: str) -> bool:
    """Return whether a device (``cpu``, ``cuda``, ``cuda:1``, ``mps``) has instructions for bfloat16."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and sys.platform == "linux" and not _INSTRUCTIONS.isdisjoint(_cpu_flags())


def _cpu_flags() -> list[str]:
    return Path("/proc/cpuinfo").read_text().split()
