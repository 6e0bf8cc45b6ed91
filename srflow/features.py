"""Features of the LR image, and the convolution with which every network of the flow takes them.

The stacked block outputs exist at LR size only and are convolved before they are upscaled, which costs less.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from srflow.compute.convolution import add_convolved_upscaled, channels_last, convolve
from srflow.compute.winograd import convolve_tiles, taps, tiled


class Maps(NamedTuple):
    """Features of one level; channels last."""

    own: Tensor
    """(b, features, h, w) at the level's size."""
    stacked: Tensor
    """(b, blocks * features, lr_h, lr_w): outputs of several encoder blocks, the same at LR size for every level."""


class Features(Maps):
    """Features of one level, and what all networks of the level make of them."""

    @property
    def resized(self) -> Tensor:
        """The stack at the level's size, where that is not above LR; nearest-neighbour: the first pixel of a patch."""
        stride = self.stacked.shape[-1] // self.own.shape[-1]
        return self.stacked[..., ::stride, ::stride]

    @cached_property
    def tiles(self) -> Sequence[Tensor]:
        """Everything at the level's size, for Winograd's convolutions: the own features, and the stack if resized."""
        upscaled = self.own.shape[-1] > self.stacked.shape[-1]
        return tiled(self.own if upscaled else torch.cat([self.own, self.resized], 1))


class FeatureSize(NamedTuple):
    """The size of a level's features."""

    own: int
    """Channels of the level's own features."""
    stacked: int
    """Channels of the stacked block outputs."""
    upscaling: Fraction
    """Size of the level over the LR size: an integer, or 1/2 for the deepest level."""


class FeatureConvolution(nn.Module):
    """A 3x3 convolution of the features of a level, joined to the nearest-neighbour resized stack."""

    def __init__(self, size: FeatureSize, width: int) -> None:
        super().__init__()
        self.upscaling = size.upscaling
        self.own = nn.Parameter(torch.empty(width, size.own, 3, 3))
        self.stacked = nn.Parameter(torch.empty(width, size.stacked, 3, 3))
        nn.init.normal_(self.own, std=0.05)
        nn.init.normal_(self.stacked, std=0.05)

    def folded(self, scale: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The weights that ``convolve`` takes: outputs times scale (width, 1, 1, 1), plus bias (width,).

        Where the level is larger than LR, those of the stack are tap by tap: (9 * width, stacked).
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

    def folded_taps(self, scale: Tensor, bias: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """The weights that ``convolve_tiles`` takes, as from ``folded``, own and stacked tap by tap.

        (9, width, channels) each; where the level is not larger than LR, both in one.
        """
        if self.upscaling > 1:
            return taps(self.own * scale), taps(self.stacked * scale).flatten(0, 1), bias
        return taps(torch.cat([self.own, self.stacked], 1) * scale), None, bias

    def convolve_tiles(self, features: Features, own: Tensor, stacked: Tensor | None, bias: Tensor) -> Tensor:
        """``convolve`` without gradients, by Winograd's algorithm at the level's size."""
        out = convolve_tiles(features.tiles, own, bias, features.own.shape)
        return out if stacked is None else add_convolved_upscaled(out, features.stacked, stacked, int(self.upscaling))
