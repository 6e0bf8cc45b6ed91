"""Models in bfloat16 by torch's autocast: the factors of convolutions and matrix products have 8 bits of mantissa.

Sums stay in float32, and so do the operations that a model excludes: in SRFlow the affine maps, the channel mixing, the
log-determinants and the projection onto LR.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from srbench.models.wrapped import Wrapped
from srbench.plugins import PluginError

_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Names in /proc/cpuinfo of instruction sets that multiply bfloat16."""


def require_bfloat16(device: str, text: str) -> None:
    """Raise PluginError, naming the model ``text``, if the device has no bfloat16 instructions."""
    if device == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = device == "cpu" and sys.platform == "linux" and not _INSTRUCTIONS.isdisjoint(_cpu_flags())
    if not supported:
        raise PluginError(f"{text}: this machine has no bfloat16 instructions ({device}); omit +bf16")


def _cpu_flags() -> list[str]:
    return Path("/proc/cpuinfo").read_text().split()


class Half(Wrapped):
    """A model that computes in bfloat16; its outputs or samples are float32."""

    def around(self, upscale: Callable[[Tensor], Tensor], lr: Tensor) -> Tensor:
        """Return what ``upscale`` computes in bfloat16, as float32."""
        with torch.autocast(lr.device.type, torch.bfloat16):  # a setting of the thread, so not around a yield
            return upscale(lr).float()
