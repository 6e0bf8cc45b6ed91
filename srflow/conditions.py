"""What a flow step takes from the LR picture, computed once for all samples and both directions.

The networks that condition a step begin with a 3x3 convolution of features of the LR picture, and in the coupling also
of the flow's own channels. A convolution is linear in its input channels, so the LR picture's share is computed here,
apart. Of the features, the stacked block outputs exist at LR size only: they are convolved before they are enlarged.

Several steps of a level are computed side by side, as few wide convolutions, but no more than fill ``GROUP_BYTES``:
one map for all steps of the finest level would be too large for the processor's caches and fresh from the system each
time, which measured twice as slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srflow.enlarge import convolve_enlarged
from srflow.layers import Folded

GROUP_BYTES = 8 * 2**20
"""Size up to which the first maps of several steps are computed as one."""


class Features(NamedTuple):
    """What the LR encoder gives to one level."""

    own: Tensor
    """(b, features, h, w) at the level's size."""
    stacked: Tensor
    """(b, blocks * features, lr_h, lr_w): outputs of several encoder blocks, at LR size for every level."""


class FirstWeights(NamedTuple):
    """Weights of one or several FirstConvolutions side by side: all injectors' channels, then all couplings'."""

    own: Tensor
    """(2 * steps * width, features, 3, 3)."""
    stacked: Tensor
    """(3, 3, 2 * steps * width, stacked) where the level is larger than LR, else as a convolution takes it."""
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


def join_first(convolutions: Sequence[FirstConvolution], norms: Sequence[Folded]) -> FirstWeights:
    """Several steps' first convolutions as one, each with the ActNorm of its (2 * width) outputs folded in."""

    def joined(tensors: list[Tensor]) -> Tensor:
        halves = [tensor.chunk(2) for tensor in tensors]
        return torch.cat([half[i] for i in (0, 1) for half in halves])

    scales = [norm.scale[..., None] for norm in norms]
    stacked = joined([step.stacked * scale for step, scale in zip(convolutions, scales, strict=True)])
    return FirstWeights(
        joined([step.own * scale for step, scale in zip(convolutions, scales, strict=True)]),
        stacked.permute(2, 3, 0, 1).contiguous() if convolutions[0].enlargement > 1 else stacked,
        joined([norm.bias for norm in norms]),
    )


def convolve_features(features: Features, weights: FirstWeights, enlargement: Fraction) -> tuple[Tensor, Tensor]:
    """The LR picture's share of all injectors' and all couplings' first convolutions, (b, steps * width, h, w) each."""
    own = F.conv2d(features.own, weights.own, weights.bias, padding=1)
    if enlargement > 1:
        stacked = convolve_enlarged(features.stacked, weights.stacked, int(enlargement))
    else:
        # Nearest-neighbour shrinking keeps the first pixel of every patch.
        stride = enlargement.denominator
        stacked = F.conv2d(features.stacked[..., ::stride, ::stride], weights.stacked, padding=1)
    injectors, couplings = own.add_(stacked).chunk(2, 1)
    return injectors, couplings
