"""LR and HR images as the flow sees them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.images.lr_projection import make_consistent, upscale_consistently
from srbench.interfaces import SRBenchError
from srflow.config import SRFlowConfig
from srflow.value_range import bounded, unbounded


class ImageSizeError(SRBenchError):
    """An HR image that does not belong to the LR image."""


class Frame:
    """LR and HR images as the flow sees them: with even sides, without the part of HR that LR determines, unbounded."""

    def __init__(self, lr: Tensor, config: SRFlowConfig) -> None:
        """LR (b, c, h, w): three channels, or one of them."""
        self.scale = config.encoder.scale
        self.height, self.width = (self.scale * side for side in lr.shape[-2:])
        self.lr = pad_to_even(lr, 1)
        self._given = lr
        self._config = config

    @cached_property
    def base(self) -> Tensor | None:
        """The part of HR that LR determines, (b, c, H, W), if the flow models the rest alone."""
        return upscale_consistently(self.lr, self.scale) if self._config.projected else None

    def enter(self, hr: Tensor) -> tuple[Tensor, Tensor]:
        """HR (b, c, H, W) -> the input of the flow, and log|det d input / d hr|, (b,). Raises ImageSizeError."""
        if hr.shape[-2:] != (self.height, self.width):
            raise ImageSizeError(
                f"HR {hr.shape[-1]}x{hr.shape[-2]} does not belong to LR "
                f"{self.width // self.scale}x{self.height // self.scale}; "
                f"it has to be {self.scale} times as large: {self.width}x{self.height}"
            )
        padded = pad_to_even(hr, self.scale)
        log_det = hr.new_zeros(len(hr))
        if self._config.range_margin is not None:
            padded, log_det = unbounded(padded, self._config.range_margin)
        return (padded if self.base is None else padded - self.base), log_det

    def leave(self, x: Tensor) -> Tensor:
        """The output of the flow -> HR (b, c, H, W)."""
        hr = x if self.base is None else x + self.base
        hr = hr[..., : self.height, : self.width]
        return hr if self._config.range_margin is None else bounded(hr, self._config.range_margin)

    def project(self, hr: Tensor) -> Tensor:
        """HR (b, c, H, W) made to downscale to LR; ``hr`` itself where the model's samples are not projected."""
        return make_consistent(hr, self._given, self.scale) if self._config.projected else hr

    def channels(self) -> Iterator[Frame]:
        """The frames of the channels, (b, 1, h, w), one after another."""
        for channel in torch.split(self._given, 1, 1):
            yield Frame(channel, self._config)


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
