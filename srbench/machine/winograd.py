"""Matrices of Winograd's convolutions: Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.

Along an axis, m outputs of a filter of r taps are sums of n = m + r - 1 products, of numbers of the n pixels that they
see and numbers of the taps, both linear: in two dimensions n x n products in place of m x m x r x r.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def winograd_matrices(points: Sequence[float], outputs: int, taps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices along one axis, float64: of the pixels (n, n), of the taps (n, r) and of the sums (m, n).

    Toom and Cook's product of polynomials by their values at ``points`` (n - 1 different ones) and infinity,
    transposed: the outputs are sums @ ((pixels @ x) * (taps @ filter)).
    """
    places = torch.tensor(points, dtype=torch.float64)[:, None]

    def values(terms: int) -> Tensor:
        infinity = torch.eye(terms, dtype=torch.float64)[-1:]
        return torch.cat([places ** torch.arange(terms), infinity])

    pixels = torch.linalg.inv(values(outputs + taps - 1)).T
    size = pixels.abs().sum(1, keepdim=True)  # moved to the taps, so that the numbers have the size of the pixels
    return pixels / size, values(taps) * size, values(outputs).T
