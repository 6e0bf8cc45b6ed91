"""Convolve before upscaling: a 3x3 convolution of a nearest-neighbour upscaled map, at the cost of the small map.

Upscaled s times, every pixel stands for an s x s patch of equal values. A 3x3 convolution of that is nine 1x1
convolutions of the small map, one per tap, of which every output pixel adds up those that its window meets.
Along one axis just three kinds of window exist: at the patch's first pixel one tap falls on the neighbour before, at
its last pixel one tap falls on the neighbour after, in between all three fall on the patch itself. Equal to the
direct computation up to rounding, zero padding included, and differentiable.

Maps are laid out channels last, so that every sum is one over whole vectors of channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.grad import conv2d_weight

from srflow.compute.convolution import channels_last, convolve

BAND_BYTES = 2 * 2**20
"""Products of the taps are computed for so many rows at a time that they stay in the processor's caches."""


def add_convolved_upscaled(out: Tensor, x: Tensor, taps: Tensor, scale: int) -> Tensor:
    """Out + conv2d(nearest-upscaled x, weight, padding=1), for a weight given tap by tap; overwrites ``out``.

    x (b, c, h, w), out (b, o, scale*h, scale*w), both channels last, scale >= 2, and
    taps (9*o, c) = weight.permute(2, 3, 0, 1).flatten(0, 2) of a weight (o, c, 3, 3).
    """
    return _AddConvolvedUpscaled.apply(out, x, taps, scale)  # type: ignore[no-any-return, no-untyped-call]


class _AddConvolvedUpscaled(torch.autograd.Function):
    """out, x, taps, scale -> out. Nothing as large as the taps' products is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, x: Tensor, taps: Tensor, scale: int) -> Tensor:  # noqa: ANN401 - torch's own
        ctx.mark_dirty(out)
        ctx.save_for_backward(x, taps)
        ctx.scale = scale
        patches, height = _patch_by_patch(out, scale), x.shape[-2]
        rows = max(1, BAND_BYTES // (x.shape[0] * x.shape[-1] * taps.shape[0] * x.element_size()))
        for start in range(0, height, rows):
            stop, first = min(start + rows, height), max(start - 1, 0)
            products = convolve(x[..., first : stop + 1, :], taps[..., None, None]).permute(0, 2, 3, 1)
            down = _windows(products.view(*products.shape[:3], 3, 3, -1), 1, 3, min(scale, 3))[
                :, start - first : stop - first
            ]
            windows = _windows(down, 2, 4, scale)
            for kind, lines in enumerate(_lines_by_kind(scale)):
                patches[:, start:stop, lines] += windows[:, :, :, kind].unsqueeze(2)
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
        return grad, grad_x, grad_taps, None


def _patch_by_patch(x: Tensor, scale: int) -> Tensor:
    """(b, o, s*h, s*w) channels last -> (b, h, s, w, s, o), a view."""
    last = x.permute(0, 2, 3, 1)
    batch, height, width, outputs = last.shape
    return last.view(batch, height // scale, scale, width // scale, scale, outputs)


def _lines_by_kind(scale: int) -> list[slice]:
    """Which of a patch's rows have the first kind of window, which the one inside, which the last."""
    inside = [slice(1, scale - 1)] if scale > 2 else []
    return [slice(0, 1), *inside, slice(scale - 1, scale)]


def _windows(taps: Tensor, space: int, tap: int, number: int) -> Tensor:
    """From the three taps along dimension ``tap`` the windows of ``number`` pixels: the first, those inside, the last.

    A window at a patch's edge meets the neighbour along dimension ``space``; beyond the border are zeros.
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
    """The transposed linear map of ``_windows``: gradients of the windows -> gradients of the three taps."""
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
