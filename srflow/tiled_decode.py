"""Decoding of a large image in tiles: the same image in a fraction of the memory.

Nothing is approximated or blended. Every layer is local, so a tile with a wide enough halo yields its own pixels
exactly. The encoder has a large receptive field, so each of its blocks processes the whole image, tile by tile, before
the next block begins. The flow is inverted tile by tile, from the deepest level to the image. Only the latents, the
image and the encoder's features at LR size are held as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srbench.images.tiling import Bounds, crop
from srflow.compute.convolution import channels_last
from srflow.encoder import Encoder
from srflow.features import Features
from srflow.flow import ConditionalFlow, Level

BLOCK_HALO = 16
"""Halo of a tile, in LR pixels, for one encoder block: 15 convolutions of 3x3, rounded up to an even number."""
UPSCALE_HALO = 2
"""Halo of a tile, in LR pixels, for all upscalings by two."""


class TiledDecoder:
    """Decode latents given LR (b, 3, h, w) with even sides, without gradients. The constructor encodes LR.

    All regions are in LR pixels, and their sides are even.

    After every tile of an encoder block or of a level, ``progress`` is called with its share of ``multiplications``.
    """

    @torch.no_grad()
    def __init__(
        self,
        flow: ConditionalFlow,
        encoder: Encoder,
        lr: Tensor,
        tile: int,
        progress: Callable[[float], None] = lambda multiplications: None,
    ) -> None:
        self._flow, self._encoder, self._progress = flow, encoder, progress
        self._whole = Bounds(0, lr.shape[-2], 0, lr.shape[-1])
        self._side = max(2, tile // 2 * 2)  # even, because levels halve it
        self._trunk, outputs = encoder.trunk(lr, encoder.stacked, self._in_tiles)
        self._outputs = [outputs[block] for block in encoder.stacked]

    @torch.no_grad()
    def decode(self, latents: Sequence[Tensor]) -> Tensor:
        """Like ``flow.decode`` of latents (n, ...)."""
        out = torch.empty(0)
        for tile in self._whole.tiles(self._side):
            pixels = self._tile(latents, tile)
            if not out.numel():
                scale = pixels.shape[-1] // (tile.right - tile.left)
                out = pixels.new_empty((*pixels.shape[:2], self._whole.bottom * scale, self._whole.right * scale))
            crop(out, tile, self._whole).copy_(pixels)
        return out

    def _fraction(self, tile: Bounds) -> float:
        """The tile's fraction of the pixels of LR."""
        return tile.area / self._whole.area

    def _in_tiles(self, block: nn.Module, x: Tensor) -> Tensor:
        """Apply a block of the trunk to a map (b, features, h, w) of LR size, tile by tile."""
        out = torch.empty_like(x, memory_format=torch.channels_last)
        for tile in self._whole.tiles(self._side):
            padded = tile.grown(BLOCK_HALO, self._whole)
            output = block(channels_last(crop(x, padded, self._whole)))
            crop(out, tile, self._whole).copy_(crop(output, tile, padded))
            self._progress(_parameters(block) * self._fraction(tile))
        return out

    def _tile(self, latents: Sequence[Tensor], tile: Bounds) -> Tensor:
        regions = _level_regions(self._flow, tile, self._whole)
        levels = zip(self._flow.levels, regions, strict=True)
        latent_regions = [region for level, region in levels if level.latent_channels]
        latent_regions.append(regions[-1])
        latent_crops = [crop(z, region, self._whole) for z, region in zip(latents, latent_regions, strict=True)]

        def inverse(level: Level, z: Tensor, index: int) -> Tensor:
            own = self._own(regions[index], _doublings(self._flow, index))
            stacked = torch.cat([crop(output, regions[index], self._whole) for output in self._outputs], 1)
            features = Features(own, channels_last(stacked))
            z = z.contiguous()
            for layer in reversed(level.layers()):
                z = layer.inverse(z, layer.condition(features))
            self._progress(_level_multiplications(self._flow, index) * self._fraction(tile))
            return crop(z, regions[index - 1] if index else tile, regions[index]).contiguous()

        return self._flow.decode(latent_crops, range(len(regions)), inverse)

    def _own(self, region: Bounds, doublings: int) -> Tensor:
        """A region of the features of the level that is 2**doublings times as large as LR."""
        if doublings < 0:
            return F.avg_pool2d(channels_last(crop(self._trunk, region, self._whole)), 2)
        padded = region.grown(UPSCALE_HALO if doublings else 0, self._whole)
        features = channels_last(crop(self._trunk, padded, self._whole))
        for step in range(doublings):
            features = self._encoder.upscale(features, step)
        return channels_last(crop(features, region, padded))


def multiplications(flow: ConditionalFlow, encoder: Encoder) -> tuple[float, float]:
    """Approximate multiplications per LR pixel: to encode LR, and to decode a sample."""
    return _parameters(encoder.body), sum(_level_multiplications(flow, index) for index in range(len(flow.levels)))


def _level_multiplications(flow: ConditionalFlow, index: int) -> float:
    return float(_parameters(flow.levels[index]) * 4.0 ** _doublings(flow, index))


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _level_regions(flow: ConditionalFlow, tile: Bounds, whole: Bounds) -> list[Bounds]:
    """The region of each level, finest first, that a tile of the image depends on."""
    return list(accumulate(halos(flow), lambda region, halo: region.grown(halo, whole), initial=tile))[1:]


def halos(flow: ConditionalFlow) -> list[int]:
    """Halo of each level in LR pixels, finest first, rounded up to even numbers."""
    rounded_up = (-(-level.halo * 2 // 2 ** (_doublings(flow, index) + 1)) for index, level in enumerate(flow.levels))
    return [halo + halo % 2 for halo in rounded_up]


def _doublings(flow: ConditionalFlow, index: int) -> int:
    """Log2 of the size of a level over the LR size; -1 for the deepest level."""
    return len(flow.levels) - 2 - index
