"""Decode a large picture in horizontal stripes: the same picture as at once, in a fraction of the memory.

Nothing is approximated and nothing blended. Every layer is local, so a stripe that carries a few rows of its
neighbours gives exactly the rows it is asked for; layers are finished one after the other over the whole picture, so
no error reaches further than one layer. What is held at full size are the latents and the encoder's features; what is
large, the maps inside the conditions' and couplings' networks, exists for one stripe at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from srflow.conditions import Features
from srflow.convolution import channels_last
from srflow.encoder import Encoder
from srflow.flow import ConditionalFlow, FlowStep
from srflow.precision import products

BLOCK_HALO = 16
"""LR rows of its neighbours that a stripe needs for one encoder block: 15 convolutions, made even."""
STEP_HALO = 4
"""The same for one flow step: two 3x3 convolutions, at the deepest level of half the LR size."""


class Stripe(NamedTuple):
    """Rows of a picture, in LR pixels; all numbers are even but for the last row of a picture."""

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


def decode_in_stripes(flow: ConditionalFlow, latents: list[Tensor], encoder: Encoder, lr: Tensor, tile: int) -> Tensor:
    """``flow.decode`` of latents (n, ...) for one LR picture (1, 3, h, w) of even sides, without gradients.

    A stripe has the area of a square of ``tile`` LR pixels (but two rows at least).
    """
    rows = max(2, tile * tile // lr.shape[-1] // 2 * 2)
    with torch.no_grad():
        with products(lr.device, tf32=True):
            trunk, stacked = _encode(encoder, lr, rows)
        *leaving, x = latents
        for depth, level in reversed(list(enumerate(flow.each(), 1))):
            with products(lr.device, tf32=True):
                features = Features(_own(encoder, trunk, len(flow.levels) - depth, rows), stacked)
            if level.split is not None:
                x = level.split.inverse(torch.cat([x, leaving.pop()], 1))
            for step in reversed(level.flow_steps()):
                x = _invert_step(step, x, features, rows)
            for layer in reversed(level.unconditional()):
                x = layer.inverse(x, None)
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
        return torch.nn.functional.avg_pool2d(trunk, 2)
    features = trunk
    for step in range(index - 1):
        features = _by_stripes(partial(encoder.enlarge, step=step), features, 2**step, rows, STEP_HALO)
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


def _invert_step(step: FlowStep, x: Tensor, features: Features, rows: int) -> Tensor:
    out = torch.empty_like(x)
    height = features.stacked.shape[-2]
    for stripe in stripes(height, rows, STEP_HALO):
        at_level = slice(stripe.first * x.shape[-2] // height, stripe.last * x.shape[-2] // height)
        part = Features(features.own[..., at_level, :], features.stacked[..., stripe.first : stripe.last, :])
        inverse = step.inverse(x[..., at_level, :], step.condition(part))
        _place(out, inverse, stripe, x.shape[-2] / height)
    return out


def _empty(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    """A map yet to be written, channels last: what is cut out of its rows lies together in memory."""
    shape = (like.shape[0], channels, height, width)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _place(out: Tensor, part: Tensor, stripe: Stripe, scale: float) -> None:
    """Write the computed rows of a stripe, leaving out what it read of its neighbours."""
    start, stop, first = (int(row * scale) for row in (stripe.start, stripe.stop, stripe.first))
    out[..., start:stop, :] = part[..., start - first : stop - first, :]
