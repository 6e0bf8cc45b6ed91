"""Convolve before you enlarge: a 3x3 convolution of a nearest-neighbour enlargement, at the small picture's cost.

Enlarged s times, every pixel stands for an s x s patch of equal values. A 3x3 convolution of that is nine 1x1
convolutions of the small picture, one per tap, of which every output pixel adds up those that its window meets.
Along one axis just three kinds of window exist: at the patch's first pixel one tap falls on the neighbour before, at
its last pixel one tap falls on the neighbour after, in between all three fall on the patch itself. Equal to the
direct computation up to rounding, zero padding included, and differentiable.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def convolve_enlarged(x: Tensor, taps: Tensor, scale: int) -> Tensor:
    """conv2d(nearest-enlarged x, weight, padding=1), for a weight given tap by tap.

    x (b, c, h, w), taps = weight.permute(2, 3, 0, 1) of shape (3, 3, o, c), contiguous where speed matters, scale >= 2
    -> (b, o, scale*h, scale*w).
    """
    batch, _, height, width = x.shape
    out = taps.shape[2]
    products = F.conv2d(x, taps.reshape(9 * out, -1, 1, 1)).view(batch, 3, 3, out, height, width)
    rows = _windows(products.unbind(1), -2, scale)
    lines = [torch.stack(_per_pixel(_windows(row.unbind(1), -1, scale), scale), -1).flatten(-2) for row in rows]
    return torch.stack(_per_pixel(lines, scale), -2).flatten(-3, -2)


def _windows(taps: tuple[Tensor, ...], dim: int, scale: int) -> list[Tensor]:
    """The kinds of window along one axis from its three taps: at a patch's first pixel, in between, at its last."""
    before, centre, after = taps
    size = centre.shape[dim]
    first, last = centre + after, before + centre
    inner = [before + first] if scale > 2 else []
    # A window at a patch's edge meets the neighbour, except at the picture's border, where zeros are.
    first.narrow(dim, 1, size - 1).add_(before.narrow(dim, 0, size - 1))
    last.narrow(dim, 0, size - 1).add_(after.narrow(dim, 1, size - 1))
    return [first, *inner, last]


def _per_pixel(windows: list[Tensor], scale: int) -> list[Tensor]:
    """One window for each of a patch's ``scale`` pixels."""
    return [windows[0], *windows[1:-1] * (scale - 2), windows[-1]]
