"""MATLAB's imresize (bicubic, antialiased) from its definition: one dense matrix a dimension, in float64."""

import math

import torch


def keys(x):
    """Keys' cubic with a = -1/2 (MATLAB's ``cubic``)."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def dense(old, new):
    """(new, old) float64: MATLAB's imresize along one dimension, from its definition, pixel by pixel."""
    scale = new / old
    stretch = min(scale, 1.0)  # antialiasing widens the kernel when downscaling
    matrix = torch.zeros(new, old, dtype=torch.float64)
    for row in range(new):
        centre = (row + 0.5) / scale - 0.5
        reach = range(math.floor(centre - 2 / stretch), math.ceil(centre + 2 / stretch) + 1)
        weights = {column: keys(stretch * (centre - column)) for column in reach}
        total = sum(weights.values())
        for column, weight in weights.items():
            mirrored = column % (2 * old)
            matrix[row, min(mirrored, 2 * old - 1 - mirrored)] += weight / total
    return matrix


def imresize(images, height, width, *, halves):
    """Resize (..., H, W) uint8 to (..., height, width): rows first, rounded, then columns, rounded again.

    MATLAB rounds ``halves`` up, its Python port in SRFlow's test code to even.
    """
    whole = {"up": lambda levels: (levels + 0.5).floor(), "even": torch.round}[halves]
    rows = whole(dense(images.shape[-2], height) @ images.double()).clamp(0, 255)
    return whole(rows @ dense(images.shape[-1], width).t()).clamp(0, 255).to(torch.uint8)
