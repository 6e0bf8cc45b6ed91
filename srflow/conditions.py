"""What a level of the flow takes from the LR picture, for all of its steps at once.

The network that conditions a step begins with a 3x3 convolution of features that are the same for all steps of the
level, and for every sample of one LR picture. So all steps' first convolutions are one wide convolution, computed
once; and of the features, the stacked block outputs exist at LR size only: they are convolved before they are
enlarged.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srflow.enlarge import convolve_enlarged
from srflow.layers import Affine


class Features(NamedTuple):
    """What the LR encoder gives to one level."""

    own: Tensor
    """(b, features, h, w) at the level's size."""
    stacked: Tensor
    """(b, blocks * features, lr_h, lr_w): outputs of several encoder blocks, at LR size for every level."""


class StepCondition(NamedTuple):
    """What one flow step takes from the LR picture."""

    injector: Affine
    """(b, c, h, w) each."""
    coupling: Tensor
    """(b, width, h, w): the LR picture's share of the coupling's first convolution."""


class FirstConvolutions(nn.Module):
    """The first convolutions of a level's injectors and couplings, as far as they see the LR picture.

    ``enlargement`` is the level's size over LR size: an integer, or 1/2 for the deepest level.
    """

    def __init__(self, features: int, stacked: int, width: int, steps: int, enlargement: Fraction) -> None:
        super().__init__()
        self.width, self.enlargement = width, enlargement
        self.own = nn.Parameter(torch.empty(2 * steps * width, features, 3, 3))
        self.stacked = nn.Parameter(torch.empty(2 * steps * width, stacked, 3, 3))
        nn.init.normal_(self.own, std=0.05)
        nn.init.normal_(self.stacked, std=0.05)

    def forward(self, features: Features) -> list[tuple[Tensor, Tensor]]:
        """For every step, the injector's and the coupling's share, (b, width, h, w) each."""
        own = F.conv2d(features.own, self.own, padding=1)
        if self.enlargement < 1:
            # Nearest-neighbour shrinking keeps the first pixel of every patch.
            stride = self.enlargement.denominator
            stacked = F.conv2d(features.stacked[..., ::stride, ::stride], self.stacked, padding=1)
        else:
            stacked = convolve_enlarged(features.stacked, self.stacked, None, int(self.enlargement))
        parts = torch.split(own + stacked, self.width, 1)
        return list(zip(parts[0::2], parts[1::2], strict=True))
