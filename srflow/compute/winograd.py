"""Winograd's 3x3 convolution, for a map that many convolutions see.

A tile of 4x4 outputs takes 36 products for every two channels instead of 144 (``srbench.machine.winograd``). The numbers
of the pixels are computed once for all convolutions of a map; the rest of a convolution are matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.machine.winograd import winograd_matrices
from srflow.compute.convolution import channels_last, convolve

SIDE, SEEN = 4, 6
"""Side of a tile of outputs, and of the window of pixels that it sees."""
TOGETHER = 400
"""Tiles that are computed together, nearly: their products, 36 a tile and channel, fit the caches of a core."""
CHANNELS = 64
"""Fewest that pay. With 32, reading and writing the products takes the time that is saved."""
POINTS = (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))
"""Places where polynomials are evaluated, beside infinity. 0, 1, -1, 2, -2 round with errors twice as large."""


@cache
def _matrices(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices for both axes: of the pixels (36, 36), of the taps (36, 9) and of the sums (16, 36)."""
    with torch.device("cpu"):  # whatever the default device is
        pixels, taps, sums = (torch.kron(one, one).to(dtype) for one in winograd_matrices(POINTS, SIDE, 3))
    return pixels, taps, sums


def pays(x: Tensor) -> bool:
    """True if this is faster than ``convolve`` of x (b, c, h, w): on a CPU, of CHANNELS or more, without gradients."""
    return x.device.type == "cpu" and x.shape[1] >= CHANNELS and not torch.is_grad_enabled()


def taps(weight: Tensor) -> Tensor:
    """A weight (o, c, 3, 3) tap by tap, as ``convolve_tiles`` takes it: (9, o, c)."""
    return weight.permute(2, 3, 0, 1).flatten(0, 1).contiguous()


def tiled(x: Tensor) -> Sequence[Tensor]:
    """The numbers of all windows of a map (b, c, h, w), zeros around it: (tiles, 36, c), a few lines of tiles each."""
    last = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1 + -x.shape[3] % SIDE, 1, 1 + -x.shape[2] % SIDE))
    windows = last.unfold(1, SEEN, SIDE).unfold(2, SEEN, SIDE).permute(0, 1, 2, 4, 5, 3)
    matrix = _matrices(x.dtype)[0]
    return [_each(matrix, part.reshape(-1, SEEN * SEEN, x.shape[1])) for part in _parts(windows)]


def convolve_tiles(tiles: Sequence[Tensor], taps: Tensor, bias: Tensor, size: torch.Size) -> Tensor:
    """``convolve`` of a map from what ``tiled`` makes of it, without gradients.

    Args:
        tiles: The map.
        taps: The weight, (9, o, c).
        bias: (o,).
        size: Of the map, (b, c, h, w).

    Returns:
        (b, o, h, w), channels last.
    """
    batch, _, height, width = size
    _, of_taps, sums = _matrices(bias.dtype)
    weight = torch.tensordot(of_taps, taps, 1).flatten(0, 1)[..., None, None]
    down, across = -(-height // SIDE), -(-width // SIDE)
    out = bias.new_empty(batch, down, SIDE, across, SIDE, len(bias))
    for part, numbers in zip(_parts(out.transpose(2, 3)), tiles, strict=True):
        maps = numbers.view(1, len(numbers), 1, -1).permute(0, 3, 1, 2)
        products = convolve(maps, weight, groups=SEEN * SEEN).permute(0, 2, 3, 1).view(len(numbers), SEEN * SEEN, -1)
        torch.add(_each(sums, products).view(part.shape), bias, out=part)
    out = out.view(batch, down * SIDE, across * SIDE, len(bias))[:, :height, :width]
    return channels_last(out.permute(0, 3, 1, 2))


def _parts(maps: Tensor) -> list[Tensor]:
    """Maps (b, lines of tiles, tiles, ...), a few lines of an image each."""
    lines = max(1, TOGETHER // maps.shape[2])
    return [part for image in maps for part in image.split(lines)]


def _each(matrix: Tensor, tiles: Tensor) -> Tensor:
    """Matrix (n, k) times each of tiles (t, k, c), one by one: the same bits with any number of threads."""
    return torch.bmm(matrix.expand(len(tiles), -1, -1), tiles)
