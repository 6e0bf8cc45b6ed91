"""Tiles, memory and time of upscaling an image, known before it begins."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from srbench.editing import EditError
from srbench.images.io import header_size, require_readable_size
from srbench.interfaces import LargeSRModel, Model, SRBenchError, StochasticSRModel
from srbench.machine.memory import free_bytes
from srbench.models.inference import COPIES, Draw, require_memory, upscale
from srbench.terminal.output import duration

AT_ONCE = 2**30
"""Bytes from which an image is upscaled in tiles on a CPU, where that gives the same image."""
TILE = 128
"""Side of these tiles in LR pixels: as fast as the whole image at once."""
PROBE = 128
"""Side of the LR image whose time tells that of others."""
PROBE_SAMPLES = 5
"""Most samples of it."""
BITS_8 = 1 / 4
"""Memory of 8-bit samples, in float32 copies."""


def size_of(path: Path) -> tuple[int, int]:
    """Height and width of an image by its header; zeros where it cannot be read."""
    width, height = header_size(path)
    return height, width


def chosen_tile(model: Model, draw: Draw, device: str, path: Path) -> int | None:
    """The tile asked for, or one where the whole image would take more than AT_ONCE on a CPU.

    Looks at the header of the image alone. Raises EditError or ModelError if even that takes more memory than there is,
    and ImageError for an image of too many pixels.
    """
    height, width = size_of(path)
    in_parts = isinstance(model, LargeSRModel) and device == "cpu"  # which keeps 8 bits alone of other samples
    samples = draw.samples if isinstance(model, StochasticSRModel) else 1
    if samples > 1 or not in_parts:
        require_memory(str(path), samples, [model.scale * height, model.scale * width], BITS_8 if in_parts else COPIES)
    if not isinstance(model, LargeSRModel) or not in_parts:
        require_readable_size(path)
        return draw.tile
    whole = draw.samples * model.memory(height, width, None)
    tile = TILE if draw.tile is None and whole > AT_ONCE else draw.tile
    needed, there = model.memory(height, width, tile), free_bytes()
    if there is not None and needed > there:
        raise EditError(
            f"{path}: LR of {height}x{width} takes {needed / 2**30:.1f} GB{' in tiles' if tile else ''}, and "
            f"{there / 2**30:.1f} GB are free; cut it into parts"
        )
    require_readable_size(path)
    return tile


def estimated(model: Model, draw: Draw, device: str, paths: Iterable[Path]) -> Iterator[str]:
    """Lines for a reader: tile and memory of each image, where the model knows them, and the time of all.

    A path counts as often as it is given, once per temperature. One small image is upscaled. Raises ModelError if the
    model fails.
    """
    probed = Draw(draw.temperature, min(draw.samples, PROBE_SAMPLES), draw.seed)
    total, probe = 0.0, _work(model, probed, PROBE, PROBE, None)
    for path, times in Counter(paths).items():
        height, width = size_of(path)
        try:
            tile = chosen_tile(model, draw, device, path)
        except SRBenchError as error:
            yield f"cannot be upscaled: {error}"
            continue
        total += times * _work(model, draw, height, width, tile)
        cut = "at once" if tile is None else f"in tiles of {tile}"
        memory = ""
        if isinstance(model, LargeSRModel):
            together = draw.samples if tile is None else 1
            memory = f", {together * model.memory(height, width, tile) / 2**30:.1f} GB besides the program"
        yield f"{path}: {width}x{height} {cut}{memory}"
    if total:
        yield f"estimated: {duration(total / probe * _seconds(model, probed, device))} on this machine"


def worth_an_estimate(model: Model, draw: Draw, paths: Iterable[Path]) -> bool:
    """True if there is so much to do that the time of a probe, a thirtieth of it, hardly matters."""
    todo = sum(_work(model, draw, *size_of(path), None) for path in paths)
    return todo > 30 * _work(model, draw, PROBE, PROBE, None)


def _work(model: Model, draw: Draw, height: int, width: int, tile: int | None) -> float:
    """Work in any unit, to which the time is proportional."""
    if isinstance(model, LargeSRModel):
        return model.work(height + height % 2, width + width % 2, draw.samples, tile)
    samples = draw.samples if isinstance(model, StochasticSRModel) else 1
    return float(samples * height * width)


def _seconds(model: Model, draw: Draw, device: str) -> float:
    lr = torch.rand((3, PROBE, PROBE), generator=torch.Generator().manual_seed(0))
    upscale(model, "a probe", lr[:, :16, :16], draw, device)  # loads what it needs
    start = time.perf_counter()
    upscale(model, "a probe", lr, draw, device)
    return time.perf_counter() - start
