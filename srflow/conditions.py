"""What a flow step takes from the LR picture, computed once for all samples and both directions.

The networks that condition a step begin with a 3x3 convolution of features of the LR picture, and in the coupling also
of the flow's own channels. A convolution is linear in its input channels, so the LR picture's share is computed here,
apart. Of the features, the stacked block outputs exist at LR size only: they are convolved before they are enlarged.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor, nn

from srflow.convolution import channels_last, convolve
from srflow.enlarge import add_convolved_enlarged
from srflow.layers import Folded


class Features(NamedTuple):
    """What the LR encoder gives to one level; channels last."""

    own: Tensor
    """(b, features, h, w) at the level's size."""
    stacked: Tensor
    """(b, blocks * features, lr_h, lr_w): outputs of several encoder blocks, at LR size for every level."""


class FirstWeights(NamedTuple):
    """Weights of a step's first convolutions, injector's channels first, with the ActNorms behind them folded in."""

    own: Tensor
    """(2 * width, features, 3, 3)."""
    stacked: Tensor
    """(9 * 2 * width, stacked, 1, 1), tap by tap, where the level is larger than LR, else as a convolution takes it."""
    bias: Tensor


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

    def folded(self, norm: Folded) -> FirstWeights:
        """The weights with the ActNorm of the (2 * width) outputs."""
        scale = norm.scale[..., None]
        stacked = self.stacked * scale
        if self.enlargement > 1:
            stacked = stacked.permute(2, 3, 0, 1).flatten(0, 2)[..., None, None]
        return FirstWeights(channels_last(self.own * scale), channels_last(stacked), norm.bias)


def convolve_features(features: Features, weights: FirstWeights, enlargement: Fraction) -> tuple[Tensor, Tensor]:
    """The LR picture's share of the injector's and the coupling's first convolution, (b, width, h, w) each."""
    out = convolve(features.own, weights.own, weights.bias)
    if enlargement > 1:
        out = add_convolved_enlarged(out, features.stacked, weights.stacked, int(enlargement))
    else:
        # Nearest-neighbour shrinking keeps the first pixel of every patch.
        stride = enlargement.denominator
        out = out.add_(convolve(features.stacked[..., ::stride, ::stride], weights.stacked))
    injector, coupling = out.chunk(2, 1)
    return injector, coupling
