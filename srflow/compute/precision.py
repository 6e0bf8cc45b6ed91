"""How exactly a GPU multiplies: in TF32 what follows from the LR image alone, in float32 the flow itself.

TF32 rounds the factors of a product to 10 bits of mantissa, on the tensor cores of an NVIDIA GPU. torch allows it to
convolutions unless told otherwise. Conditions may be rounded: the flow is invertible whatever they are, as long as both
directions take the same ones. The couplings' networks may not: the inverse evaluates them at numbers that differ in the
last bits from those of the forward direction, and rounding turns such a difference into one of a thousandth.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def products(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """Inside, convolutions and matrix products of float32 on a GPU are computed in TF32, or never are.

    Changes nothing for other devices, whose products are exact. What torch was set to holds again afterwards.
    """
    if device.type != "cuda":
        yield
        return
    convolutions, matrices = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, matrices.allow_tf32
    convolutions.allow_tf32 = matrices.allow_tf32 = tf32
    try:
        yield
    finally:
        convolutions.allow_tf32, matrices.allow_tf32 = before
