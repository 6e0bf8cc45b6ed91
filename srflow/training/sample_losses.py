"""Losses on samples that do not ask a sample to be HR, only to look like it: textures, and where edges lie."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 32
"""Side of the windows in which textures are compared, in HR pixels."""


def texture_difference(seen: Sequence[Tensor], known: Sequence[Tensor]) -> Tensor:
    """How far the statistics of two lists of features are apart, a scalar: 0 for equal textures wherever they lie.

    Feature maps (b, c, h / 2^i, w / 2^i) of stage i, before their ReLU. Compared are mean and standard deviation of
    every channel behind it, in windows of WINDOW HR pixels that overlap by half: the mean absolute difference over the
    mean of the known statistic, averaged over stages (the statistics of DISTS, Ding et al., 2020, taken locally).
    A loss between features at one place is least for samples that are alike; this one is not.
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


def grid_difference(images: Tensor, real: Tensor, period: int) -> Tensor:
    """How differently edges of images and of HR (b, 3, h, w) lie on a grid of ``period`` pixels, a scalar; 0 for alike.

    The flow works on grids of 2, 4 and 8 pixels, and its conditions are upscaled LR features. A network that sees
    features cannot tell whether what it sees lies on that grid, so losses on features let a weave of lines grow there.
    """
    return F.mse_loss(edges_on_grid(images, period), edges_on_grid(real, period))


def edges_on_grid(images: Tensor, period: int) -> Tensor:
    """How strong edges are at each column and each row of a grid, (2, period), over their mean; all 1 for no grid.

    An edge is the absolute difference of two pixels side by side, over the mean of edges within ``period`` pixels, so
    that smooth places count as much as strong contours. images (b, 3, h, w), h and w more than two periods.
    """
    luma, found = images.mean(1, keepdim=True), []
    for along, across in ((3, 2), (2, 3)):
        edges = luma.diff(dim=along).abs()
        around = F.avg_pool2d(edges, 2 * period + 1, 1, period, count_include_pad=False)
        places = (edges / (around + 1 / 255)).mean((0, 1, across))
        places = places[: len(places) // period * period].view(-1, period).mean(0)
        found.append(places / places.mean().clamp(min=1e-3))
    return torch.stack(found)
