"""Memory that a sample takes, from the size of the network."""

from __future__ import annotations

from srflow.config import SRFlowConfig
from srflow.tiled_decode import BLOCK_HALO

FLOAT = 4
"""Bytes of a number."""


def memory(config: SRFlowConfig, halos: list[int], height: int, width: int, tile: int | None) -> int:
    """Bytes of the maps that exist at once, at most, for one sample of LR of height x width.

    ``halos``: LR pixels that every level sees to every side, finest first.
    """
    features, growth = config.encoder.features, config.encoder.growth
    stacked, image = features * len(config.stacked), 3 * config.encoder.scale**2
    dense = 2 * (features + 4 * growth) + 3 * features
    conditions, maps, seen, channels = 0.0, [], 0, 3
    for depth in range(1, config.levels + 1):
        channels *= 4
        pixels = (config.encoder.scale / 2**depth) ** 2  # of the level, for an LR pixel
        seen += halos[depth - 1]
        side = height * width if tile is None else min(tile + 2 * seen, height) * min(tile + 2 * seen, width)
        maps.append(side * pixels * (features + 3 * config.width + 7 * channels + 12))
        conditions += pixels * (config.steps * (config.width + 2 * channels) + features)
        channels //= 2 if depth < config.levels - 1 else 1
    area = height * width
    if tile is None:
        return int(FLOAT * (area * (conditions + stacked + 3 * image) + max(maps)))
    block = min(tile + 2 * BLOCK_HALO, height) * min(tile + 2 * BLOCK_HALO, width) * dense
    encoding = area * (3 * features + stacked + 9) + block
    decoding = area * (features + stacked + 2 * image + 18) + max(maps)
    return int(FLOAT * max(encoding, decoding))
