"""Decoding of a large image in tiles: the same image as at once, in a fraction of the memory.

Nothing is approximated or blended. Every layer is local, so a tile that carries enough of its neighbours gives its own
pixels exactly. The encoder, which sees far, finishes one block over the whole image before the next begins; the flow
is undone tile by tile, from the deepest level to the image. Only the latents, the image and the features of the encoder
at LR size exist as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from srflow.compute.convolution import channels_last
from srflow.compute.precision import products
from srflow.encoder import Encoder
from srflow.features import Features
from srflow.flow import ConditionalFlow, Level, condition

BLOCK_HALO = 16
"""LR pixels of its neighbours that a tile needs for one encoder block: 15 convolutions, rounded up to even."""
UPSCALE_HALO = 2
"""LR pixels of its neighbours that a tile needs for all upscalings by two."""


class Window(NamedTuple):
    """A part of an image, in LR pixels; all numbers are even."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """Number of LR pixels."""
        return (self.bottom - self.top) * (self.right - self.left)

    def grown(self, halo: int, whole: Window) -> Window:
        """The part and up to ``halo`` pixels around it that ``whole`` has."""
        return Window(
            max(self.top - halo, whole.top),
            min(self.bottom + halo, whole.bottom),
            max(self.left - halo, whole.left),
            min(self.right + halo, whole.right),
        )

    def tiles(self, side: int) -> Iterator[Window]:
        """Tiles of at most ``side`` x ``side`` pixels that cover it."""
        for top in range(self.top, self.bottom, side):
            for left in range(self.left, self.right, side):
                yield Window(top, min(top + side, self.bottom), left, min(left + side, self.right))


class TiledDecoder:
    """A decoder for LR (b, 3, h, w) of even sides, which is encoded at once; without gradients.

    ``progress`` is called after every tile of an encoder block or of a level, with the part of ``work`` that it was.
    """

    @torch.no_grad()
    def __init__(
        self,
        flow: ConditionalFlow,
        encoder: Encoder,
        lr: Tensor,
        tile: int,
        progress: Callable[[float], None] = lambda work: None,
    ) -> None:
        self._flow, self._encoder, self._device, self._progress = flow, encoder, lr.device, progress
        self._whole = Window(0, lr.shape[-2], 0, lr.shape[-1])
        self._side = max(2, tile // 2 * 2)  # even, because levels halve it
        with products(lr.device, tf32=True):
            self._trunk, self._stacked = self._encode(lr)

    @torch.no_grad()
    def decode(self, latents: Sequence[Tensor]) -> Tensor:
        """``flow.decode`` of latents (n, ...)."""
        out = torch.empty(0)
        for window in self._whole.tiles(self._side):
            part = self._tile(latents, window)
            if not out.numel():
                scale = part.shape[-1] // (window.right - window.left)
                out = part.new_empty((*part.shape[:2], self._whole.bottom * scale, self._whole.right * scale))
            _cut(out, window, self._whole).copy_(part)
        return out

    def _share(self, window: Window) -> float:
        """Pixels of the window over all pixels of LR."""
        return window.area / self._whole.area

    def _encode(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """Trunk features and stacked block outputs, both at LR size."""
        encoder = self._encoder
        first = encoder.conv_first(channels_last(lr))
        width = first.shape[1]
        stacked = _empty(lr, width * len(encoder.stacked))
        x = first
        for index, block in enumerate(encoder.body):
            out = _empty(lr, width)
            for window in self._whole.tiles(self._side):
                seen = window.grown(BLOCK_HALO, self._whole)
                part = block(channels_last(_cut(x, seen, self._whole)))
                _cut(out, window, self._whole).copy_(_cut(part, window, seen))
                self._progress(_parameters(block) * self._share(window))
            x = out
            for place, wanted in enumerate(encoder.stacked):
                if index == wanted:
                    stacked[:, place * width : (place + 1) * width] = x
        skip = first if encoder.config.long_skip == "first" else x
        return encoder.conv_body(x).add_(skip), stacked

    def _tile(self, latents: Sequence[Tensor], window: Window) -> Tensor:
        seen = _seen(self._flow, window, self._whole)
        leaving = (where for where, level in zip(seen, self._flow.levels, strict=True) if level.leaving)
        parts = [_cut(z, where, self._whole) for z, where in zip(latents, [*leaving, seen[-1]], strict=True)]

        def inverse(level: Level, z: Tensor, index: int) -> Tensor:
            with products(self._device, tf32=True):
                own = self._own(seen[index], _doublings(self._flow, index))
                features = Features(own, channels_last(_cut(self._stacked, seen[index], self._whole)))
            z = z.contiguous()
            for layer in reversed(level.layers()):
                z = layer.inverse(z, condition(layer, features))
            self._progress(_level_work(self._flow, index) * self._share(window))
            return _cut(z, seen[index - 1] if index else window, seen[index]).contiguous()

        return self._flow.decode(parts, range(len(seen)), inverse)

    def _own(self, window: Window, doublings: int) -> Tensor:
        """The features of the level that is so many times twice as large as LR; -1: half as large."""
        if doublings < 0:
            return F.avg_pool2d(channels_last(_cut(self._trunk, window, self._whole)), 2)
        seen = window.grown(UPSCALE_HALO if doublings else 0, self._whole)
        features = channels_last(_cut(self._trunk, seen, self._whole))
        for step in range(doublings):
            features = self._encoder.upscale(features, step)
        return channels_last(_cut(features, window, seen))


def work(flow: ConditionalFlow, encoder: Encoder) -> tuple[float, float]:
    """Multiplications for an LR pixel, nearly: to encode LR, and to decode a sample."""
    return _parameters(encoder.body), sum(_level_work(flow, index) for index in range(len(flow.levels)))


def _level_work(flow: ConditionalFlow, index: int) -> float:
    return float(_parameters(flow.levels[index]) * 4.0 ** _doublings(flow, index))


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _seen(flow: ConditionalFlow, window: Window, whole: Window) -> list[Window]:
    """The parts of every level, finest first, on which a tile depends."""
    return list(accumulate(halos(flow), lambda seen, halo: seen.grown(halo, whole), initial=window))[1:]


def halos(flow: ConditionalFlow) -> list[int]:
    """LR pixels that every level sees to every side, finest first, rounded up to even numbers."""
    seen = (-(-level.halo * 2 // 2 ** (_doublings(flow, index) + 1)) for index, level in enumerate(flow.levels))
    return [halo + halo % 2 for halo in seen]


def _doublings(flow: ConditionalFlow, index: int) -> int:
    """The number of times that a level is twice as large as LR; -1: half as large."""
    return len(flow.levels) - 2 - index


def _cut(maps: Tensor, window: Window, shown: Window) -> Tensor:
    """The part of maps, which are those of ``shown``, that is ``window``; a view."""
    (rows, columns), (height, width) = (shown.bottom - shown.top, shown.right - shown.left), maps.shape[-2:]
    top, bottom = ((row - shown.top) * height // rows for row in window[:2])
    left, right = ((column - shown.left) * width // columns for column in window[2:])
    return maps[..., top:bottom, left:right]


def _empty(lr: Tensor, channels: int) -> Tensor:
    """An unwritten map of LR size, channels last."""
    shape = (len(lr), channels, *lr.shape[-2:])
    return torch.empty(shape, dtype=lr.dtype, device=lr.device, memory_format=torch.channels_last)
