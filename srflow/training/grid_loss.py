"""A loss against patterns that networks leave on the grid of LR pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def grid_difference(images: Tensor, real: Tensor, period: int) -> Tensor:
    """Mean squared difference between ``edges_on_grid`` of images and of HR (b, 3, h, w), a scalar.

    Networks upscale features from the LR grid, and a flow works on grids of 2, 4 and 8 pixels. Feature losses cannot
    tell whether a pattern is aligned with these grids, and without this loss a weave of lines appears on them.
    """
    return F.mse_loss(edges_on_grid(images, period), edges_on_grid(real, period))


def edges_on_grid(images: Tensor, period: int) -> Tensor:
    """Relative edge strength at each phase of the grid's columns and rows, (2, period); all 1 without a pattern.

    An edge is the absolute difference of adjacent pixels, divided by the mean edge within ``period`` pixels, so that
    smooth regions count as much as strong contours. ``images`` is (b, 3, h, w), with h and w above two periods.
    """
    luma = images.mean(1, keepdim=True)
    strengths = []
    for along, across in ((3, 2), (2, 3)):
        edges = luma.diff(dim=along).abs()
        around = F.avg_pool2d(edges, 2 * period + 1, 1, period, count_include_pad=False)
        phases = (edges / (around + 1 / 255)).mean((0, 1, across))
        phases = phases[: len(phases) // period * period].view(-1, period).mean(0)
        strengths.append(phases / phases.mean().clamp(min=1e-3))
    return torch.stack(strengths)
