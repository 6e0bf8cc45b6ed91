"""``--check-tiles``: outputs in tiles compared with those of a whole image, before a run relies on tiles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import torch
from torch import Tensor

from srbench.benchmark import BenchmarkError
from srbench.benchmark.request import Bench
from srbench.benchmark.sampling import read_pair
from srbench.interfaces import ImagePair, PrecomputedResults, Progress, SRBenchError, Step, StochasticSRModel
from srbench.machine.memory import out_of_memory
from srbench.models.inference import Draw, upscale
from srbench.models.loading import LoadedModel
from srbench.run_folder.protocol import TileCheck


def tile_checks(bench: Bench, progress: Progress) -> Iterator[TileCheck]:
    """Compare tiles with the whole image for every model that computes, on the first image larger than one tile.

    A sampling model draws one sample at the highest temperature, from the run's seed in both cases. Raises
    BenchmarkError if the run has no tiles.
    """
    tile = bench.spec.tile
    if tile is None:
        raise BenchmarkError("there are no tiles to check; give their side in LR pixels with --tile")
    models = [loaded for loaded in bench.models.values() if not isinstance(loaded.model, PrecomputedResults)]
    pair = _first_larger(bench, tile)
    for done, loaded in enumerate(models):
        progress(Step(done, len(models), f"checking tiles of {loaded.label}"))
        yield _checked(loaded, pair, tile, bench)


def _first_larger(bench: Bench, tile: int) -> ImagePair | None:
    """The first image with a side longer than that of a tile; images that cannot be read are passed over."""
    for name in bench.images:
        with suppress(SRBenchError):
            pair = read_pair(bench.dataset, name)
            if max(pair.lr.shape[-2:]) > tile:
                return pair
    return None


def _checked(loaded: LoadedModel, pair: ImagePair | None, tile: int, bench: Bench) -> TileCheck:
    def failed(fault: str) -> TileCheck:
        return TileCheck(loaded.label, loaded.digest, tile, pair.name if pair else "", None, None, fault)

    if pair is None:
        return failed(f"no image is larger than a tile of {tile}x{tile}")

    def made(side: int | None) -> Tensor:
        draw = Draw(max(bench.spec.temperature), 1, bench.spec.seed, side)
        return upscale(loaded.model, pair.name, pair.lr, draw, bench.device).images[0].clamp(0, 1)

    what = "its tiles do"
    try:
        tiled = made(tile)
        what = "the whole image does"
        difference = (tiled - made(None)).abs().amax(0) * 255
    except SRBenchError as error:
        too_large = error.__cause__ is not None and out_of_memory(error.__cause__)
        return failed(f"{pair.name}: {what} not fit in memory" if too_large else str(error))
    seams = None
    if not isinstance(loaded.model, StochasticSRModel):  # those cut an image as suits them
        at_seams = difference[near_seams((pair.lr.shape[-2], pair.lr.shape[-1]), tile, bench.spec.scale)]
        seams = round(float(at_seams.max()), 4)
    return TileCheck(loaded.label, loaded.digest, tile, pair.name, round(float(difference.max()), 4), seams)


def near_seams(size: tuple[int, int], tile: int, scale: int) -> Tensor:
    """(h * scale, w * scale), true within one LR pixel of a seam between tiles; ``size`` is (h, w) of LR."""
    height, width = (_near(length, tile, scale) for length in size)
    return height[:, None] | width[None]


def _near(length: int, tile: int, scale: int) -> Tensor:
    near = torch.zeros(length * scale, dtype=torch.bool)
    for seam in range(tile, length, tile):
        near[(seam - 1) * scale : (seam + 1) * scale] = True
    return near
