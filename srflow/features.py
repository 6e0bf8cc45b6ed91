"""Features of the LR image, and the convolution through which they enter every network of the flow.

The stacked block outputs are kept at LR size and convolved before they are upscaled, which costs less.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor, nn

from srflow.compute.convolution import add_convolved_upscaled, channels_last, convolve


class Features(NamedTuple):
    """Features of one level; channels last."""

    own: Tensor
    """(b, features, h, w) at the level's size."""
    stacked: Tensor
    """(b, blocks * features, lr_h, lr_w): concatenated outputs of encoder blocks, at LR size, shared by all levels."""

    @property
    def resized(self) -> Tensor:
        """The stack downscaled to this level by nearest neighbour. The level must not be larger than LR."""
        stride = self.stacked.shape[-1] // self.own.shape[-1]
        return self.stacked[..., ::stride, ::stride]


class FeatureSize(NamedTuple):
    """Size of a level's features."""

    own: int
    """Channels of the level's own features."""
    stacked: int
    """Channels of the stacked block outputs."""
    upscaling: Fraction
    """Size of the level over the LR size: an integer, or 1/2 for the deepest level."""


class FeatureConvolution(nn.Module):
    """A 3x3 convolution of a level's own features, concatenated with the nearest-neighbour resized stack."""

    def __init__(self, size: FeatureSize, width: int) -> None:
        super().__init__()
        self.upscaling = size.upscaling
        self.own = nn.Parameter(torch.empty(width, size.own, 3, 3))
        self.stacked = nn.Parameter(torch.empty(width, size.stacked, 3, 3))
        nn.init.normal_(self.own, std=0.05)
        nn.init.normal_(self.stacked, std=0.05)

    def folded(self, scale: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights for ``convolve``, with outputs multiplied by scale (width, 1, 1, 1) and bias (width,) added.

        If the level is larger than LR, the weights of the stack are laid out tap by tap: (9 * width, stacked).
        """
        stacked = self.stacked * scale
        stacked = stacked.permute(2, 3, 0, 1).flatten(0, 2) if self.upscaling > 1 else channels_last(stacked)
        return channels_last(self.own * scale), stacked, bias

    def convolve(self, features: Features, own: Tensor, stacked: Tensor, bias: Tensor) -> Tensor:
        """Features -> (b, width, h, w) at the level's size, channels last."""
        out = convolve(features.own, own, bias)
        if self.upscaling > 1:
            return add_convolved_upscaled(out, features.stacked, stacked, int(self.upscaling))
        return out.add_(convolve(features.resized, stacked))
