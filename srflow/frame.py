"""LR and HR images as the flow sees them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from srbench.images.lr_projection import upscale_consistently
from srbench.interfaces import SRBenchError


class ImageSizeError(SRBenchError):
    """An HR image that does not belong to the LR image."""


class Frame:
    """LR images as the flow sees them: with even sides, and with the part of HR that is not left to it."""

    def __init__(self, lr: Tensor, scale: int, *, residual: bool) -> None:
        """LR (b, 3, h, w). ``residual``: the flow models HR less the consistent upscaling of LR."""
        self.scale = scale
        self.height, self.width = (scale * side for side in lr.shape[-2:])
        self.lr = _pad_to_even(lr, 1, *lr.shape[-2:])
        self.base = upscale_consistently(self.lr, scale) if residual else None

    def enter(self, hr: Tensor) -> Tensor:
        """HR (b, 3, H, W) -> what the flow encodes. Raises ImageSizeError."""
        if hr.shape[-2:] != (self.height, self.width):
            lr = self.height // self.scale, self.width // self.scale
            raise ImageSizeError(
                f"HR {hr.shape[-2]}x{hr.shape[-1]} does not belong to LR {lr[0]}x{lr[1]}; "
                f"it has to be {self.scale} times as large: {self.height}x{self.width}"
            )
        padded = self.pad(hr)
        return padded if self.base is None else padded - self.base

    def pad(self, hr: Tensor) -> Tensor:
        """HR (b, c, H, W) with the sides that belong to an LR image of even sides."""
        return _pad_to_even(hr, self.scale, self.height // self.scale, self.width // self.scale)

    def leave(self, x: Tensor) -> Tensor:
        """What the flow decodes -> HR (b, 3, H, W)."""
        hr = x if self.base is None else x + self.base
        return hr[..., : self.height, : self.width]


def _pad_to_even(images: Tensor, scale: int, height: int, width: int) -> Tensor:
    """Extend by reflection at the bottom and right as if the LR sides height and width were made even.

    A side of one LR pixel has nothing to reflect; there the last row or column is repeated.
    """
    if height % 2:
        images = F.pad(images, (0, 0, 0, scale), mode="reflect" if height > 1 else "replicate")
    if width % 2:
        images = F.pad(images, (0, scale, 0, 0), mode="reflect" if width > 1 else "replicate")
    return images
