"""Decoding of a large image in horizontal stripes: the same image as at once, in a fraction of the memory.

Nothing is approximated or blended. Every layer is local, so a stripe that carries a few rows of its neighbours gives
its own rows exactly; each layer is finished over the whole image before the next one begins. Only the latents and the
features of the encoder exist at full size; the large maps inside the networks of the layers exist for one stripe at a
time.
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
from srflow.flow import ConditionalFlow, Level, condition
from srflow.layers import FlowLayer

BLOCK_HALO = 16
"""LR rows of its neighbours that a stripe needs for one encoder block: 15 convolutions, rounded up to even."""
UPSCALE_HALO = 2
"""LR rows of its neighbours that a stripe needs for one upscaling by two."""


class Stripe(NamedTuple):
    """Rows of an image, in LR pixels; all numbers are even, but perhaps the end of the image."""

    start: int
    stop: int
    """End of the rows to compute."""
    first: int
    last: int
    """End of the rows to read, those of the neighbours included."""


def stripes(height: int, rows: int, halo: int) -> Iterator[Stripe]:
    """Cut ``height`` rows into stripes of ``rows``, each with up to ``halo`` rows around it."""
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        yield Stripe(start, stop, max(start - halo, 0), min(stop + halo, height))


@torch.no_grad()
def tiled_decode(flow: ConditionalFlow, latents: Sequence[Tensor], encoder: Encoder, lr: Tensor, tile: int) -> Tensor:
    """``flow.decode`` of latents (n, ...) for one LR image (1, 3, h, w) of even sides, without gradients.

    A stripe has the area of a square of ``tile`` LR pixels, but two rows at least.
    """
    rows = max(2, tile * tile // lr.shape[-1] // 2 * 2)
    with products(lr.device, tf32=True):
        trunk, stacked = _encode(encoder, lr, rows)

    def inverse(level: Level, z: Tensor, doublings: int) -> Tensor:
        with products(lr.device, tf32=True):
            features = Features(_own(encoder, trunk, doublings, rows), stacked)
        for layer in reversed(level.layers()):
            z = _inverse(layer, z, features, rows)
        return z

    return flow.decode(latents, range(len(flow.levels) - 2, -2, -1), inverse)


def _encode(encoder: Encoder, lr: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Trunk features and stacked block outputs, both at LR size."""
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


def _own(encoder: Encoder, trunk: Tensor, doublings: int, rows: int) -> Tensor:
    """The features of the level that is so many times twice as large as LR; -1: half as large."""
    if doublings < 0:
        return F.avg_pool2d(trunk, 2)
    features = trunk
    for step in range(doublings):
        features = _by_stripes(partial(encoder.upscale, step=step), features, 2**step, rows, UPSCALE_HALO)
    return features


def _by_stripes(function: Callable[[Tensor], Tensor], x: Tensor, scale: int, rows: int, halo: int) -> Tensor:
    """A local map of x, which is ``scale`` times as high as LR; its result may be larger by an integer factor."""
    out: Tensor | None = None
    for stripe in stripes(x.shape[-2] // scale, rows, halo):
        part = function(x[..., stripe.first * scale : stripe.last * scale, :])
        factor = part.shape[-1] // x.shape[-1]
        if out is None:
            out = _empty(x, part.shape[1], x.shape[-2] * factor, part.shape[-1])
        _place(out, part, stripe, scale * factor)
    assert out is not None
    return out


def _inverse(layer: FlowLayer, z: Tensor, features: Features, rows: int) -> Tensor:
    """The inverse of one layer; the condition of one that sees neighbours exists for one stripe at a time."""
    if not layer.halo:
        return layer.inverse(z, condition(layer, features))
    out, height = torch.empty_like(z), features.stacked.shape[-2]
    halo = -(-layer.halo * height // z.shape[-2] // 2) * 2  # rows of the layer, in LR rows, rounded up to even ones
    for stripe in stripes(height, rows, halo):
        own = slice(stripe.first * z.shape[-2] // height, stripe.last * z.shape[-2] // height)
        part = Features(features.own[..., own, :], features.stacked[..., stripe.first : stripe.last, :])
        _place(out, layer.inverse(z[..., own, :], condition(layer, part)), stripe, z.shape[-2] / height)
    return out


def _empty(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    """An unwritten map, channels last, whose rows lie together in memory."""
    shape = (like.shape[0], channels, height, width)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _place(out: Tensor, part: Tensor, stripe: Stripe, scale: float) -> None:
    """Write the rows of a stripe without those of its neighbours."""
    start, stop, first = (int(row * scale) for row in (stripe.start, stripe.stop, stripe.first))
    out[..., start:stop, :] = part[..., start - first : stop - first, :]
