"""Loss that compares samples and HR by their textures, not pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 32
"""Side of the windows in which textures are compared, in HR pixels."""


def texture_difference(seen: Sequence[Tensor], known: Sequence[Tensor]) -> Tensor:
    """Distance between the statistics of two lists of features, a scalar: 0 for equal textures at any place.

    Feature maps (b, c, h / 2^i, w / 2^i) of stage i, before their ReLU. Behind it, every channel has a mean and a
    standard deviation in windows of WINDOW HR pixels that overlap by half. The mean absolute difference is divided by
    the mean known statistic and averaged over stages (the statistics of DISTS, Ding et al., 2020, taken locally).
    A loss between features at the same place favours samples that are alike; this one does not.
    """
    differences = [
        F.l1_loss(a, b) / b.abs().mean().clamp(min=1e-6)
        for a, b in zip(_statistics(seen), _statistics(known), strict=True)
    ]
    return torch.stack(differences).mean()


def _statistics(features: Sequence[Tensor]) -> list[Tensor]:
    found = []
    for stage, maps in enumerate(features):
        active = F.relu(maps).float()
        side = max(WINDOW >> stage, 2)
        mean = F.avg_pool2d(active, side, side // 2)
        variance = F.avg_pool2d(active.square(), side, side // 2) - mean.square()
        least = 1e-4 * active.detach().square().mean()  # where a channel is dead, the root has no slope
        found += [mean, (variance.clamp(min=0) + least).sqrt()]
    return found
