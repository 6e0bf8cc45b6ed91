"""Bicubic interpolation: the baseline of every table."""

from __future__ import annotations

from torch import Tensor

from srbench.images.io import quantize_round
from srbench.images.resize import upscale_uint8


class Bicubic:
    """MATLAB's ``imresize`` of the 8-bit LR image, rounded to 8 bits after each of its two passes."""

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def __call__(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w), multiples of 1/255."""
        return upscale_uint8(quantize_round(lr), self.scale).to(lr.dtype).div(255)
