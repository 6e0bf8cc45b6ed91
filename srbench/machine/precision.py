"""Precision of products: TF32 on a GPU, bfloat16 where there are instructions for it.

TF32 rounds the factors of a product to 10 mantissa bits, on the tensor cores of an NVIDIA GPU. By default, torch allows
it for convolutions.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

ROUNDING = "cuda"
"""Type of the devices that have TF32."""
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Names in /proc/cpuinfo of instruction sets that multiply bfloat16."""


@dataclass
class _Contexts:
    """The open contexts of all threads, which agree on TF32."""

    number: int = 0
    tf32: bool = False
    before: list[tuple[Any, str, Any]] = field(default_factory=list)
    """Settings to restore when the last context is closed: owner, name, value."""


_OPEN = _Contexts()
_LAST_IS_CLOSED = threading.Condition()
_THREAD = threading.local()


def autocast(device: torch.device, *, enabled: bool = True) -> torch.autocast:
    """Return torch's autocast to bfloat16 on a device, also on the meta device, where products have no precision."""
    return torch.autocast("cpu" if device.type == "meta" else device.type, torch.bfloat16, enabled=enabled)


@contextmanager
def products(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """Allow or forbid TF32 in float32 convolutions and matrix products on a GPU, while the context is open.

    torch's settings are global to the process. Contexts that agree may be open in several threads at once, such as that
    of a training step and those that its backward pass opens in autograd's thread; one that differs waits until all are
    closed, which restores the settings. Within a context of the same thread another changes nothing: the outer one
    decides, so a thread in a context never waits. On other devices this does nothing.
    """
    if device.type != ROUNDING or getattr(_THREAD, "is_inside", False):
        yield
        return
    with _LAST_IS_CLOSED:
        _LAST_IS_CLOSED.wait_for(lambda: _OPEN.number == 0 or _OPEN.tf32 == tf32)
        if _OPEN.number == 0:
            _OPEN.tf32 = tf32
            _OPEN.before = [(owner, name, getattr(owner, name)) for owner, name in _settings()]
            for owner, name, _ in _OPEN.before:
                setattr(owner, name, tf32 if name == "allow_tf32" else "tf32" if tf32 else "ieee")
        _OPEN.number += 1
    _THREAD.is_inside = True
    try:
        yield
    finally:
        _THREAD.is_inside = False
        with _LAST_IS_CLOSED:
            _OPEN.number -= 1
            if _OPEN.number == 0:
                for owner, name, value in _OPEN.before:
                    setattr(owner, name, value)
                _LAST_IS_CLOSED.notify_all()


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


def has_bfloat16(device: str) -> bool:
    """Return whether a type of devices (``cpu``, ``cuda``, ``mps``) has instructions for bfloat16 here."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and sys.platform == "linux" and not _INSTRUCTIONS.isdisjoint(_cpu_flags())


def _cpu_flags() -> list[str]:
    return Path("/proc/cpuinfo").read_text().split()
