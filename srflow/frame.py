"""Conversion of images to and from the form in which the flow sees them."""

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
    """HR images whose shape does not match the LR images."""


class Frame:
    """Convert images to and from the form that the flow sees.

    Both sides are even, HR lacks the part that LR determines (for ``consistency = "residual"``), and its values are
    unbounded (with a ``range_margin``).
    """

    def __init__(self, lr: Tensor, config: SRFlowConfig) -> None:
        """``lr`` (b, c, h, w) has all three channels, or a single one to process channels separately."""
        self.scale = config.encoder.scale
        self.height, self.width = (self.scale * side for side in lr.shape[-2:])
        self.lr = pad_to_even(lr, 1)
        self._given = lr
        self._config = config

    @cached_property
    def base(self) -> Tensor | None:
        """The part of HR that LR determines, (b, c, H, W); None if the flow models the whole image."""
        return upscale_consistently(self.lr, self.scale) if self._config.projected else None

    def enter(self, hr: Tensor) -> tuple[Tensor, Tensor]:
        """Convert HR (b, c, H, W) to the flow's input; also log|det d input / d hr|, (b,). Raises ImageSizeError."""
        if hr.shape[-2:] != (self.height, self.width):
            raise ImageSizeError(
                f"HR {hr.shape[-1]}x{hr.shape[-2]} does not match LR "
                f"{self.width // self.scale}x{self.height // self.scale}; "
                f"it has to be {self.scale} times as large: {self.width}x{self.height}"
            )
        batch, channels = self._given.shape[:2]
        if hr.dim() != 4 or hr.shape[1] != channels or (batch > 1 and len(hr) != batch):
            number = batch if batch > 1 else "n"
            raise ImageSizeError(
                f"HR has shape {tuple(hr.shape)}; it has to be ({number}, {channels}, {self.height}, {self.width})"
            )
        padded = pad_to_even(hr, self.scale)
        log_det = hr.new_zeros(len(hr))
        if self._config.range_margin is not None:
            padded, log_det = unbounded(padded, self._config.range_margin)
        return (padded if self.base is None else padded - self.base), log_det

    def leave(self, x: Tensor) -> Tensor:
        """Convert the flow's output to HR (b, c, H, W)."""
        hr = x if self.base is None else x + self.base
        hr = hr[..., : self.height, : self.width]
        return hr if self._config.range_margin is None else bounded(hr, self._config.range_margin)

    def project(self, hr: Tensor) -> Tensor:
        """Project HR (b, c, H, W) onto the images that downscale to LR; a no-op unless the model projects samples."""
        return make_consistent(hr, self._given, self.scale) if self._config.projected else hr

    def channels(self) -> Iterator[Frame]:
        """Yield one frame per channel, each with LR (b, 1, h, w)."""
        for channel in torch.split(self._given, 1, 1):
            yield Frame(channel, self._config)


def pad_to_even(images: Tensor, scale: int) -> Tensor:
    """Pad images (b, c, scale*h, scale*w) by reflection at the bottom and right so that h and w become even.

    If h or w is 1, the last row or column is repeated instead.
    """
    height, width = (side // scale for side in images.shape[-2:])
    if height % 2:
        images = F.pad(images, (0, 0, 0, scale), mode="reflect" if height > 1 else "replicate")
    if width % 2:
        images = F.pad(images, (0, scale, 0, 0), mode="reflect" if width > 1 else "replicate")
    return images
