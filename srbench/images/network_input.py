"""What a network takes: a batch of LR images in [0, 1]."""

from __future__ import annotations

import math

from torch import Tensor

from srbench.images import ImageError

LARGEST_MEAN = 2
"""Far beyond [0, 1], even for LR images that overshoot."""


def require_lr(lr: Tensor, *, values: bool = True, or_single: bool = False) -> None:
    """Raise ImageError unless LR is a floating-point batch (n, 3, h, w) in [0, 1].

    ``or_single`` also accepts an image (3, h, w). Only shape and type count without ``values``, which would slow a
    training, and off the CPU, as a GPU would wait for a look at the values.
    """
    if lr.ndim not in ((3, 4) if or_single else (4,)) or lr.shape[-3] != 3:
        shapes = "(3, h, w) or (n, 3, h, w)" if or_single else "(n, 3, h, w)"
        remark = ", and lr[None] is a batch of one" if lr.ndim == 3 and lr.shape[0] == 3 else ""
        raise ImageError(f"LR has shape {tuple(lr.shape)}; it must be {shapes}{remark}")
    if not lr.is_floating_point():
        raise ImageError(f"LR is {lr.dtype}; it must be floating point, with images in [0, 1]")
    has_numbers = type(lr) is Tensor and lr.device.type == "cpu"  # which stand-ins, as in tracing, lack
    if values and has_numbers and LARGEST_MEAN < lr.mean() < math.inf:
        raise ImageError("LR has levels of 0 to 255; images are in [0, 1]: divide it by 255")
