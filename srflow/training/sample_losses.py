"""Losses that compare features of samples and HR: place by place, and by the statistics of textures."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.weights.checkpoints import read_checkpoint

WINDOW = 32
"""Side of the windows in which textures are compared, in HR pixels."""
TEXTURED = 4
"""Number of stages in which they are compared: in the next one, a window has two pixels to a side."""


def channel_weights() -> list[Tensor]:
    """LPIPS' learned weights of VGG16's channels, (1, c, 1, 1) for each of five stages, from the ``lpips`` package."""
    heads = read_checkpoint(Path(str(distribution("lpips").locate_file("lpips/weights/v0.1/vgg.pth"))))
    return [head for _, head in sorted(heads.items())]


def learned_distance(seen: Sequence[Tensor], known: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """LPIPS on VGG16, a scalar: mean over images (Zhang et al., 2018, eq. 1).

    Features (b, c, h, w) of every stage, before their ReLU, and ``channel_weights``, of which those of stages that are
    not there are left out. Behind the ReLU every place has unit length.
    """
    total = seen[0].new_zeros((), dtype=torch.float32)
    for a, b, weight in zip(seen, known, weights, strict=False):
        a, b = (F.normalize(F.relu(maps).float(), dim=1, eps=1e-8) for maps in (a, b))
        total = total + F.conv2d((a - b).square(), weight).mean()
    return total


def texture_difference(seen: Sequence[Tensor], known: Sequence[Tensor]) -> Tensor:
    """Distance between the statistics of two lists of features, a scalar: 0 for equal textures at any place.

    Feature maps (b, c, h / 2^i, w / 2^i) of stage i, before their ReLU. Behind it, every channel has a mean and a
    standard deviation in windows of WINDOW HR pixels that overlap by half. The mean absolute difference is divided by
    the mean known statistic and averaged over stages (the statistics of DISTS, Ding et al., 2020, taken locally).
    A loss between features at the same place favours samples that are alike; this one does not. Stages beyond TEXTURED
    do not count.
    """
    statistics = (_statistics(maps[:TEXTURED]) for maps in (seen, known))
    differences = [F.l1_loss(a, b) / b.abs().mean().clamp(min=1e-6) for a, b in zip(*statistics, strict=True)]
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
