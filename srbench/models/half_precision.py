"""Models in bfloat16 by torch's autocast: the factors of convolutions and matrix products have 8 bits of mantissa.

Sums stay in float32, and so do the operations that a model excludes: in SRFlow the affine maps, the channel mixing, the
log-determinants and the projection onto LR.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from srbench.machine.precision import autocast, has_bfloat16
from srbench.models.wrapped import Wrapped
from srbench.plugins import PluginError


def require_bfloat16(device: str, text: str) -> None:
    """Raise PluginError, naming the model ``text``, if the device has no bfloat16 instructions."""
    if not has_bfloat16(device):
        raise PluginError(f"{text}: this machine has no bfloat16 instructions ({device}); omit +bf16")


class InBfloat16(Wrapped):
    """A model that computes in bfloat16; its outputs or samples are float32."""

    def call_inner(self, upscale: Callable[[Tensor], Tensor], lr: Tensor) -> Tensor:
        """Return what ``upscale`` computes in bfloat16, as float32."""
        with autocast(lr.device):  # a setting of the thread, so not around a yield
            return upscale(lr).float()
