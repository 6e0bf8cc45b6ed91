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
    """Weights of one first convolution, with the ActNorm behind it folded in."""

    own: Tensor
    """(width, features, 3, 3)."""
    stacked: Tensor
    """(9 * width, stacked), tap by tap, where the level is larger than LR, else (width, stacked, 3, 3)."""
    bias: Tensor


class FirstConvolution(nn.Module):
    """The first convolutions of a step's injector and coupling, in this order, as far as they see the LR picture.

    ``enlargement`` is the level's size over LR size: an integer, or 1/2 for the deepest level.
    """

    def __init__(self, features: int, stacked: int, width: int, enlargement: Fraction) -> None:
        super().__init__()
        self.enlargement = enlargement
        self.own = nn.Parameter(torch.empty(2 * width, features, 3, 3))
        self.stacked = nn.Parameter(torch.empty(2 * width, stacked, 3, 3))
        nn.init.normal_(self.own, std=0.05)
        nn.init.normal_(self.stacked, std=0.05)

    def folded(self, norms: list[Folded]) -> list[FirstWeights]:
        """The injector's weights and the coupling's, each with the ActNorm of its (width) outputs."""
        return [self._folded(*parts) for parts in zip(self.own.chunk(2), self.stacked.chunk(2), norms, strict=True)]

    def _folded(self, own: Tensor, stacked: Tensor, norm: Folded) -> FirstWeights:
        scale = norm.scale[..., None]
        stacked = stacked * scale
        stacked = stacked.permute(2, 3, 0, 1).flatten(0, 2) if self.enlargement > 1 else channels_last(stacked)
        return FirstWeights(channels_last(own * scale), stacked, norm.bias)


def convolve_features(features: Features, weights: FirstWeights, enlargement: Fraction) -> Tensor:
    """The LR picture's share of a first convolution, (b, width, h, w)."""
    out = convolve(features.own, weights.own, weights.bias)
    if enlargement > 1:
        return add_convolved_enlarged(out, features.stacked, weights.stacked, int(enlargement))
    # Nearest-neighbour shrinking keeps the first pixel of every patch.
    stride = enlargement.denominator
    return out.add_(convolve(features.stacked[..., ::stride, ::stride], weights.stacked))
