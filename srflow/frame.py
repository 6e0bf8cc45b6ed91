"""LR and HR images as the flow sees them."""

from __future__ import annotations

from functools import cached_property

import torch.nn.functional as F
from torch import Tensor

from srbench.images.lr_projection import add_upscaled, upscale_consistently
from srbench.interfaces import SRBenchError
from srflow.config import SRFlowConfig
from srflow.value_range import bounded, unbounded


class ImageSizeError(SRBenchError):
    """An HR image that does not belong to the LR image."""


class Frame:
    """LR and HR images as the flow sees them: with even sides, without the part of HR that LR determines, unbounded."""

    def __init__(self, lr: Tensor, config: SRFlowConfig) -> None:
        """LR (b, 3, h, w)."""
        self.scale = config.encoder.scale
        self.height, self.width = (self.scale * side for side in lr.shape[-2:])
        self.lr = pad_to_even(lr, 1)
        self._residual, self._margin = config.projected, config.range_margin

    @cached_property
    def base(self) -> Tensor | None:
        """The part of HR that LR determines, (b, 3, H, W), if the flow models the rest alone."""
        return upscale_consistently(self.lr, self.scale) if self._residual else None

    def enter(self, hr: Tensor) -> tuple[Tensor, Tensor]:
        """HR (b, 3, H, W) -> the input of the flow, and log|det d input / d hr|, (b,). Raises ImageSizeError."""
        if hr.shape[-2:] != (self.height, self.width):
            raise ImageSizeError(
                f"HR {hr.shape[-2]}x{hr.shape[-1]} does not belong to LR "
                f"{self.height // self.scale}x{self.width // self.scale}; "
                f"it has to be {self.scale} times as large: {self.height}x{self.width}"
            )
        log_det, padded = hr.new_zeros(len(hr)), pad_to_even(hr, self.scale)
        if self._margin is not None:
            padded, log_det = unbounded(padded, self._margin)
        return (padded if self.base is None else padded - self.base), log_det

    def leave(self, x: Tensor) -> Tensor:
        """The output of the flow -> HR (b, 3, H, W)."""
        hr = x if self.base is None else x + self.base
        hr = hr[..., : self.height, : self.width]
        return hr if self._margin is None else bounded(hr, self._margin)

    def leave_in_place(self, x: Tensor) -> Tensor:
        """``leave``, which overwrites x and makes no other image of its size."""
        hr = add_upscaled(x, self.lr, self.scale) if self._residual else x
        if self._margin is not None:
            for channel in hr.unbind(1):
                channel.copy_(bounded(channel, self._margin))
        return hr[..., : self.height, : self.width]


def pad_to_even(images: Tensor, scale: int) -> Tensor:
    """Images (b, c, scale*h, scale*w), extended by reflection at the bottom and right so that h and w are even.

    Where h or w is 1 there is nothing to reflect, and the last row or column is repeated.
    """
    height, width = (side // scale for side in images.shape[-2:])
    if height % 2:
        images = F.pad(images, (0, 0, 0, scale), mode="reflect" if height > 1 else "replicate")
    if width % 2:
        images = F.pad(images, (0, scale, 0, 0), mode="reflect" if width > 1 else "replicate")
    return images
