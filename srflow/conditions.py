"""What a flow step takes from the LR picture, computed once for all samples and both directions.

The networks that condition a step begin with a 3x3 convolution of features of the LR picture, and in the coupling also
of the flow's own channels. A convolution is linear in its input channels, so the LR picture's share is computed here,
apart. Of the features, the stacked block outputs exist at LR size only: they are convolved before they are enlarged.

Each step has its own convolution rather than all steps of a level a wide one: the maps stay small enough to be reused
while they are in the processor's cache, which measured twice as fast.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srflow.enlarge import convolve_enlarged
from srflow.layers import Folded


class Features(NamedTuple):
    """What the LR encoder gives to one level."""

    own: Tensor
    """(b, features, h, w) at the level's size."""
    stacked: Tensor
    """(b, blocks * features, lr_h, lr_w): outputs of several encoder blocks, at LR size for every level."""


class FirstConvolution(nn.Module):
    """The first convolutions of a step's injector and coupling, as far as they see the LR picture.

    ``enlargement`` is the level's size over LR size: an integer, or 1/2 for the deepest level.
    """

    def __init__(self, features: int, stacked: int, width: int, enlargement: Fraction) -> None:
        super().__init__()
        self.enlargement = enlargement
        self.own = nn.Parameter(torch.empty(2 * width, features, 3, 3))
        self.stacked = nn.Parameter(torch.empty(2 * width, stacked, 3, 3))
        nn.init.normal_(self.own, std=0.05)
        nn.init.normal_(self.stacked, std=0.05)

    def forward(self, features: Features, norm: Folded) -> tuple[Tensor, Tensor]:
        """The injector's and the coupling's share, (b, width, h, w) each, with their ActNorms folded in."""
        scale = norm.scale[..., None]
        own = F.conv2d(features.own, self.own * scale, norm.bias, padding=1)
        if self.enlargement < 1:
            # Nearest-neighbour shrinking keeps the first pixel of every patch.
            stride = self.enlargement.denominator
            stacked = F.conv2d(features.stacked[..., ::stride, ::stride], self.stacked * scale, padding=1)
        else:
            stacked = convolve_enlarged(features.stacked, self.stacked * scale, None, int(self.enlargement))
        injector, coupling = (own + stacked).chunk(2, 1)
        return injector, coupling
