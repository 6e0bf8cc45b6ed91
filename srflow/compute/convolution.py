"""Convolutions by the fastest kernels of a CPU, and of a nearest-neighbour upscaled map at the cost of the small map.

Upscaling by s turns every pixel into an s x s patch of equal values. The 3x3 convolution of the result is a sum of nine
1x1 convolutions of the small map, one per tap. Along each axis, an output pixel at the start of a patch takes one tap
from the previous patch, one at the end takes one tap from the next patch, and those in between take all three taps from
their own patch. The result equals the direct computation up to rounding, including zero padding, and is differentiable.

Maps are channels last, so that sums run over contiguous channel vectors.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight


def channels_last(x: Tensor) -> Tensor:
    """Convert to channels-last memory, which is faster than channels first for wide maps on a CPU."""
    return x.contiguous(memory_format=torch.channels_last)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """conv2d with stride 1 and "same" padding: (b, i, h, w), (o, i, k, k), (o,) -> (b, o, h, w)."""
    padding = weight.shape[-1] // 2
    if _for_onednn(x) and weight.dtype == torch.float32:
        # On one thread, conv2d leaves 1x1 kernels and small maps to a product of matrices, which is slower.
        return torch.mkldnn_convolution(x, weight, bias, (padding, padding), (1, 1), (1, 1), 1)
    return F.conv2d(x, weight, bias, padding=padding)


def _for_onednn(x: Tensor) -> bool:
    """Return whether oneDNN convolves x as it is: float32 on a CPU, without autocast; a compiler chooses itself."""
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    is_plain = x.device.type == "cpu" and x.dtype == torch.float32
    return is_plain and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def add_convolved_upscaled(out: Tensor, x: Tensor, taps: Tensor, scale: int) -> Tensor:
    """Add conv2d(nearest-upscaled x, weight, padding=1) to ``out`` in place.

    x is (b, c, h, w) and out (b, o, scale*h, scale*w), both channels last, with scale >= 2. ``taps`` (9*o, c) is
    weight.permute(2, 3, 0, 1).flatten(0, 2) of a weight (o, c, 3, 3).
    """
    return _AddConvolvedUpscaled.apply(out, x, taps, scale)  # type: ignore[no-any-return, no-untyped-call]


class _AddConvolvedUpscaled(torch.autograd.Function):
    """(out, x, taps, scale) -> out. Saves only x and the taps for the backward pass, no tensor of the output's size."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, x: Tensor, taps: Tensor, scale: int) -> Tensor:  # noqa: ANN401 - untyped
        ctx.mark_dirty(out)
        ctx.save_for_backward(x, taps.to(x.dtype))  # x has another type than the taps under autocast
        ctx.scale, ctx.taps_type = scale, taps.dtype
        products = convolve(x, taps[..., None, None]).permute(0, 2, 3, 1)
        down = _windows(products.view(*products.shape[:3], 3, 3, -1), 1, 3, min(scale, 3))
        windows, patches = _windows(down, 2, 4, scale), _patch_by_patch(out, scale)
        for kind, lines in enumerate(_lines_by_kind(scale)):
            patches[:, :, lines] += windows[:, :, :, kind].unsqueeze(2)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:  # noqa: ANN401
        (x, taps), scale = ctx.saved_tensors, ctx.scale
        patches = _patch_by_patch(channels_last(grad), scale)
        windows = torch.stack([patches[:, :, lines].sum(2) for lines in _lines_by_kind(scale)], 3)
        products = _windows_transposed(_windows_transposed(windows, 2, 4), 1, 3).flatten(3)
        products = products.permute(0, 3, 1, 2)
        grad_x = convolve(products, taps.T[..., None, None]) if ctx.needs_input_grad[1] else None
        grad_taps = None
        if ctx.needs_input_grad[2]:
            grad_taps = conv2d_weight(x, (*taps.shape, 1, 1), products).flatten(1)  # type: ignore[no-untyped-call]
            grad_taps = grad_taps.to(ctx.taps_type)
        return grad, grad_x, grad_taps, None


def _patch_by_patch(x: Tensor, scale: int) -> Tensor:
    """(b, o, s*h, s*w) channels last -> (b, h, s, w, s, o), a view."""
    last = x.permute(0, 2, 3, 1)
    batch, height, width, outputs = last.shape
    return last.view(batch, height // scale, scale, width // scale, scale, outputs)


def _lines_by_kind(scale: int) -> list[slice]:
    """The first row, the inner rows and the last row of a patch."""
    inside = [slice(1, scale - 1)] if scale > 2 else []
    return [slice(0, 1), *inside, slice(scale - 1, scale)]


def _windows(taps: Tensor, space: int, tap: int, number: int) -> Tensor:
    """Sum the three taps along dimension ``tap`` into the ``number`` pixels of a patch: first, inner, last.

    The first and the last pixel take one tap from the neighbouring patch along dimension ``space``, or zero at the
    border.
    """
    before, centre, after = taps.unbind(tap)
    windows = taps.new_empty([*taps.shape[:tap], number, *taps.shape[tap + 1 :]])
    first, *inside, last = windows.unbind(tap)
    torch.add(centre, after, out=first)
    torch.add(before, centre, out=last)
    if inside:
        torch.add(before, first, out=inside[0])
        for window in inside[1:]:
            window.copy_(inside[0])
    neighbours = taps.shape[space] - 1
    first.narrow(space, 1, neighbours).add_(before.narrow(space, 0, neighbours))
    last.narrow(space, 0, neighbours).add_(after.narrow(space, 1, neighbours))
    return windows


def _windows_transposed(windows: Tensor, space: int, tap: int) -> Tensor:
    """The transpose of ``_windows``: gradients of the pixels -> gradients of the three taps."""
    first, *inside, last = windows.unbind(tap)
    taps = windows.new_empty([*windows.shape[:tap], 3, *windows.shape[tap + 1 :]])
    before, centre, after = taps.unbind(tap)
    torch.add(first, last, out=centre)
    before.copy_(last)
    after.copy_(first)
    for window in inside:
        taps += window.unsqueeze(tap)
    neighbours = windows.shape[space] - 1
    before.narrow(space, 0, neighbours).add_(first.narrow(space, 1, neighbours))
    after.narrow(space, 1, neighbours).add_(last.narrow(space, 0, neighbours))
    return taps
