"""Patterns that networks leave on the grids of their layers, as losses: edges on the grid of LR, stripes, grain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_ROUNDING = 1 / 255**2 / 12
"""Variance of the rounding to 8 bits: power below it cannot be seen."""


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


def spectrum_difference(images: Tensor, real: Tensor) -> Tensor:
    """Distance between the power of fine detail in images and in HR (b, 3, h, w), a scalar: 0 for equal spectra.

    Mean absolute difference of log10 of the power at periods of 2 to 4 pixels; that at 2 counts as much as all others.
    The finest squeeze of the flow gives the four pixels of a cell to different channels. At temperature 1 their means
    agree, as the likelihood asks; at lower ones nothing does, and they differ by up to a grey level, which leaves
    stripes of two pixels. A loss on these stripes beside nearby frequencies was met by a grain that raises the latter.
    """
    found = []
    for one, other in zip(_spectra(images), _spectra(real), strict=True):
        apart = (one - other)[:, one.shape[1] // 2 :].abs()
        found.append((apart.mean() + apart[:, -1].mean()) / 2)
    return torch.stack(found).mean()


def stripes(images: Tensor) -> Tensor:
    """Power at the Nyquist frequency over that of frequencies nearby, log10, (b, 2): vertical, horizontal stripes.

    Nearby is the last eighth of the frequencies, without those that the window mixes with the Nyquist frequency: their
    median counts. images (b, 3, h, w) in [0, 1], of 16 pixels to a side at least; an odd last row or column is left
    out.
    """
    found = []
    for power in _spectra(images):
        nyquist = power.shape[1] - 1
        found.append(power[:, nyquist] - power[:, nyquist - max(nyquist // 8, 4) : nyquist - 2].median(1).values)
    return torch.stack(found, 1)


def _spectra(images: Tensor) -> list[Tensor]:
    """log10 of the mean periodogram of all rows, then of all columns, of luma under a Hann window, (b, frequencies)."""
    luma, found = images.mean(1), []
    for along in (2, 1):
        length = luma.shape[along] // 2 * 2
        lines = luma.narrow(along, 0, length).movedim(along, 2)
        window = torch.hann_window(length, periodic=True, dtype=lines.dtype, device=lines.device)
        spectrum = torch.fft.rfft((lines - lines.mean(2, keepdim=True)) * window)
        power = spectrum.abs().square().mean(1) + _ROUNDING * window.square().sum()
        found.append(power.log10())
    return found
