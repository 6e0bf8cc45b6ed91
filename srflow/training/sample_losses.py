"""Losses that compare samples and HR by their textures and by the places of their edges, not pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_ROUNDING = 1 / 255**2 / 12
"""Variance of the rounding to 8 bits: power below it cannot be seen."""
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


def grid_difference(images: Tensor, real: Tensor, period: int) -> Tensor:
    """Distance between the edges of images and of HR (b, 3, h, w) on a grid of ``period`` pixels, a scalar.

    The flow works on grids of 2, 4 and 8 pixels, and its conditions are upscaled LR features. Losses on features do not
    see whether a pattern lies on that grid, so they let a weave of lines grow there.
    """
    return F.mse_loss(edges_on_grid(images, period), edges_on_grid(real, period))


def edges_on_grid(images: Tensor, period: int) -> Tensor:
    """Strength of edges at each column and each row of a grid, (2, period), over their mean; all 1 without a grid.

    An edge is the absolute difference of two adjacent pixels, over the mean of edges within ``period`` pixels, so that
    smooth regions count as much as strong contours. images (b, 3, h, w); h and w exceed two periods.
    """
    luma, found = images.mean(1, keepdim=True), []
    for along, across in ((3, 2), (2, 3)):
        edges = luma.diff(dim=along).abs()
        around = F.avg_pool2d(edges, 2 * period + 1, 1, period, count_include_pad=False)
        places = (edges / (around + 1 / 255)).mean((0, 1, across))
        places = places[: len(places) // period * period].view(-1, period).mean(0)
        found.append(places / places.mean().clamp(min=1e-3))
    return torch.stack(found)


def stripe_difference(images: Tensor, real: Tensor) -> Tensor:
    """Excess of stripes of two pixels in images over those in HR (b, 3, h, w), a scalar: 0 if there are no more.

    The last 2x2 squeeze of the flow gives the four pixels of a cell to different channels, and the likelihood, for
    which HR carries noise, hardly sees that their means differ by less than a grey level.
    """
    return F.relu(stripes(images) - stripes(real)).mean()


def stripes(images: Tensor) -> Tensor:
    """Power at the Nyquist frequency over that of frequencies nearby, log10, (b, 2): vertical, horizontal stripes.

    Periodograms of all rows (columns) of luma under a Hann window are averaged. Nearby is the last eighth of the
    frequencies, without those that the window mixes with the Nyquist frequency: their median counts. images
    (b, 3, h, w) in [0, 1], of 16 pixels to a side at least; an odd last row or column is left out.
    """
    luma, found = images.mean(1), []
    for along in (2, 1):
        length = luma.shape[along] // 2 * 2
        lines = luma.narrow(along, 0, length).movedim(along, 2)
        window = torch.hann_window(length, periodic=True, dtype=lines.dtype, device=lines.device)
        spectrum = torch.fft.rfft((lines - lines.mean(2, keepdim=True)) * window)
        power = spectrum.abs().square().mean(1) + _ROUNDING * window.square().sum()
        nyquist = length // 2
        nearby = power[:, nyquist - max(nyquist // 8, 4) : nyquist - 2].median(1).values
        found.append((power[:, nyquist] / nearby).log10())
    return torch.stack(found, 1)
