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
    rows = _windows(products.unbind(1), -2)
    windows = [_windows(row.unbind(1), -1) for row in rows]
    kind = [0] + [1] * (scale - 2) + [2]
    lines = [torch.stack([windows[i][j] for j in kind], -1).flatten(-2) for i in range(3)]
    return torch.stack([lines[i] for i in kind], -2).flatten(-3, -2)


def _windows(taps: tuple[Tensor, ...], dim: int) -> list[Tensor]:
    """The three kinds of window along one axis (first, middle, last pixel of a patch), from its three taps."""
    before, centre, after = taps
    return [
        centre + after + _shift(before, dim, 1),
        before + centre + after,
        before + centre + _shift(after, dim, -1),
    ]


def _shift(x: Tensor, dim: int, by: int) -> Tensor:
    """Move by one pixel along an axis; zeros come in."""
    edge = torch.zeros_like(x.narrow(dim, 0, 1))
    kept = x.narrow(dim, 0 if by > 0 else 1, x.shape[dim] - 1)
    return torch.cat([edge, kept] if by > 0 else [kept, edge], dim)
