"""Convolutions of LPIPS on AlexNet: for large maps on a CPU with a half to a sixth of the products.

Large maps are convolved in tiles by Winograd's algorithm (``srbench.machine.winograd``), at points that are small powers
of two, so that float32 loses no more than in the plain sum.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.machine.winograd import winograd_matrices

_SIZES = 4
"""Image sizes whose packed weights are kept, 10 MB each: every thread works on its own image."""
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
"""Points at which polynomials are taken, beside infinity."""
_TILES = 128
"""Tiles per pass, few enough for a processor's cache."""
_FILTERS = 27
"""Tiles that take as long as to read the filters at all points, measured: small maps are convolved plainly."""


@lru_cache(maxsize=5 * _SIZES)
def rectified(layer: torch.nn.Conv2d, shape: torch.Size) -> Callable[[Tensor], Tensor]:
    """A convolution and its rectification, without gradients, for inputs (1, C, h, w) of one shape, channels last.

    oneDNN reorders the weights for the shape at every call, a fifth to a third of the time at 160x160: so they are
    packed once, by the functions that torch's compiler has for frozen weights.
    """
    weight, bias = layer.weight, layer.bias
    setting: Any = (layer.padding, layer.stride, layer.dilation, 1)
    pack = getattr(torch._C._nn, "mkldnn_reorder_conv2d_weight", None)
    if weight.device.type == "cpu" and (size := _tile_side(layer, shape)) > 1:
        convolved = _in_tiles(layer, size)
        return lambda signal: torch.relu(convolved(signal))
    if pack is None or weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return lambda signal: torch.relu_(layer(signal))
    packed = pack(weight.to_mkldnn(), *setting, tuple(shape))
    convolve = torch.ops.mkldnn._convolution_pointwise
    return lambda signal: convolve(signal, packed, bias, *setting, "relu", [], "")


def _tile_side(layer: torch.nn.Conv2d, shape: torch.Size) -> int:
    """Side of the tiles that take the fewest products, or nearly; 1 for the plain sum."""
    if layer.stride != (1, 1):
        return 1
    (height, width), side = shape[-2:], layer.kernel_size[0]
    products = {1: side**2 * height * width}
    for size in (3, 4):
        products[size] = (size + side - 1) ** 2 * (-(-height // size) * -(-width // size) + _FILTERS)
    return min(products, key=lambda size: products[size])


@cache
def _in_tiles(layer: torch.nn.Conv2d, size: int) -> Callable[[Tensor], Tensor]:
    """A convolution of stride 1 that keeps the size of a map, in tiles of size x size."""
    (outputs, channels, side, _), bias = layer.weight.shape, layer.bias
    assert bias is not None
    margin, reach = side // 2, size + side - 1
    there, of_filters, back = winograd_matrices(_POINTS[: reach - 1], size, side)
    filters = torch.einsum("ai,bj,ocij->abco", of_filters, of_filters, layer.weight.double())
    filters = filters.reshape(-1, channels, outputs).float()
    to_points, to_results = (torch.kron(one, one).float() for one in (there, back))

    def convolve(signal: Tensor) -> Tensor:
        maps = signal[0].movedim(0, -1)
        height, width = maps.shape[:2]
        down, across = -(-height // size), -(-width // size)
        bottom, right = down * size + margin - height, across * size + margin - width
        padded = F.pad(maps, (0, 0, margin, right, margin, bottom))
        tiles = padded.unfold(0, reach, size).unfold(1, reach, size).movedim((3, 4), (0, 1))
        found = maps.new_empty(down, size, across, size, outputs)
        rows = max(_TILES // across, 1)
        for top in range(0, down, rows):
            taken = tiles[:, :, top : top + rows].reshape(reach**2, -1)
            points = torch.mm(to_points, taken).view(reach**2, -1, channels)
            products = torch.bmm(points, filters).view(reach**2, -1)
            results = torch.mm(to_results, products).view(size, size, -1, across, outputs)
            torch.add(results.permute(2, 0, 3, 1, 4), bias, out=found[top : top + rows])
        whole = found.view(down * size, across * size, outputs)
        return whole[None, :height, :width].movedim(-1, 1)

    return convolve
