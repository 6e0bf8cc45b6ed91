"""Decode a large image in horizontal stripes: the same image as at once, in a fraction of the memory.

Nothing is approximated and nothing blended. Every layer is local, so a stripe that carries a few rows of its
neighbours gives exactly the rows it is asked for; layers are finished one after the other over the whole image, so
no error reaches further than one layer. What is held at full size are the latents and the encoder's features; what is
large, the maps inside the networks of the layers, exists for one stripe at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from srflow.compute.convolution import channels_last
from srflow.compute.precision import products
from srflow.encoder import Encoder
from srflow.features import Features
from srflow.flow import ConditionalFlow
from srflow.layers import FlowLayer

BLOCK_HALO = 16
"""LR rows of its neighbours that a stripe needs for one encoder block: 15 convolutions, made even."""
UPSCALE_HALO = 2
"""The same for one upscaling by two."""


class Stripe(NamedTuple):
    """Rows of an image, in LR pixels; all numbers are even but for the last row of an image."""

    start: int
    stop: int
    """The rows to be computed."""
    first: int
    last: int
    """The rows to be read: with the neighbours'."""


def stripes(height: int, rows: int, halo: int) -> Iterator[Stripe]:
    """Cut ``height`` rows into stripes of ``rows``, each with up to ``halo`` rows around it."""
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        yield Stripe(start, stop, max(start - halo, 0), min(stop + halo, height))


@torch.no_grad()
def tiled_decode(flow: ConditionalFlow, latents: Sequence[Tensor], encoder: Encoder, lr: Tensor, tile: int) -> Tensor:
    """``flow.decode`` of latents (n, ...) for one LR image (1, 3, h, w) of even sides, without gradients.

    A stripe has the area of a square of ``tile`` LR pixels (but two rows at least).
    """
    rows = max(2, tile * tile // lr.shape[-1] // 2 * 2)
    with products(lr.device, tf32=True):
        trunk, stacked = _encode(encoder, lr, rows)
    *leaving, x = latents
    for depth, level in reversed(list(enumerate(flow.levels, 1))):
        with products(lr.device, tf32=True):
            features = Features(_own(encoder, trunk, len(flow.levels) - depth, rows), stacked)
        if level.exit is not None:
            x = torch.cat([x, leaving.pop()], 1)
        for layer in reversed(level.leaves()):
            x = _invert(layer, x, features, rows) if layer.halo else layer.inverse(x, layer.condition(features))
    return x


def _encode(encoder: Encoder, lr: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Trunk features and the stacked block outputs, both at LR size."""
    first = encoder.conv_first(channels_last(lr))
    places = [slice(place * first.shape[1], (place + 1) * first.shape[1]) for place in range(len(encoder.stacked))]
    stacked = _empty(lr, first.shape[1] * len(places), *lr.shape[-2:])
    x = first
    for index, block in enumerate(encoder.body):
        x = _by_stripes(block, x, 1, rows, BLOCK_HALO)
        for place, wanted in zip(places, encoder.stacked, strict=True):
            if index == wanted:
                stacked[:, place] = x
    skip = first if encoder.config.long_skip == "first" else x
    return encoder.conv_body(x).add_(skip), stacked


def _own(encoder: Encoder, trunk: Tensor, index: int, rows: int) -> Tensor:
    """The level's own features; index 0 is the deepest level."""
    if index == 0:
        return F.avg_pool2d(trunk, 2)
    features = trunk
    for step in range(index - 1):
        features = _by_stripes(partial(encoder.upscale, step=step), features, 2**step, rows, UPSCALE_HALO)
    return features


def _by_stripes(function: Callable[[Tensor], Tensor], x: Tensor, scale: int, rows: int, halo: int) -> Tensor:
    """A local map of x, which is ``scale`` times as high as LR; the result may be larger by a whole factor."""
    out: Tensor | None = None
    for stripe in stripes(x.shape[-2] // scale, rows, halo):
        part = function(x[..., stripe.first * scale : stripe.last * scale, :])
        factor = part.shape[-1] // x.shape[-1]
        if out is None:
            out = _empty(x, part.shape[1], x.shape[-2] * factor, part.shape[-1])
        _place(out, part, stripe, scale * factor)
    assert out is not None
    return out


def _invert(layer: FlowLayer, z: Tensor, features: Features, rows: int) -> Tensor:
    out, height = torch.empty_like(z), features.stacked.shape[-2]
    halo = -(-layer.halo * height // z.shape[-2] // 2) * 2  # rows of the layer, in LR rows, rounded up to even ones
    for stripe in stripes(height, rows, halo):
        own = slice(stripe.first * z.shape[-2] // height, stripe.last * z.shape[-2] // height)
        part = Features(features.own[..., own, :], features.stacked[..., stripe.first : stripe.last, :])
        _place(out, layer.inverse(z[..., own, :], layer.condition(part)), stripe, z.shape[-2] / height)
    return out


def _empty(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    """A map yet to be written, channels last: what is cut out of its rows lies together in memory."""
    shape = (like.shape[0], channels, height, width)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _place(out: Tensor, part: Tensor, stripe: Stripe, scale: float) -> None:
    """Write the computed rows of a stripe, leaving out what it read of its neighbours."""
    start, stop, first = (int(row * scale) for row in (stripe.start, stripe.stop, stripe.first))
    out[..., start:stop, :] = part[..., start - first : stop - first, :]
