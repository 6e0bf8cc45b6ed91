"""Upscaling of a large image in tiles, so that the model's memory does not grow with the image."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch.nn.functional as F
from torch import Tensor

from srbench.interfaces import SRModel

OVERLAP = 16
"""Overlap of a tile with each neighbour in LR pixels. Models with a larger receptive field give different values at the
seams; for the packaged RRDB networks, whose receptive field extends 93 pixels, the difference is at most 3e-6, and 1e-6
with an overlap of 48 (docs/command-line.md)."""

Span = tuple[int, int, int, int]
"""Start and end of a window along an axis, and start and end of the part whose output is kept."""


def upscale_in_tiles(
    model: SRModel, lr: Tensor, tile: int, progress: Callable[[float], None] = lambda share: None
) -> Tensor:
    """Upscale LR (3, h, w) to (1, 3, s*h, s*w) in overlapping tiles of at most ``tile`` x ``tile`` LR pixels each.

    Exact if the model's receptive field extends at most OVERLAP pixels, as for bicubic interpolation. ``progress`` is
    called after every tile with its fraction of the image.
    """
    rows, columns = (_tiles(size, tile) for size in lr.shape[-2:])
    return _assembled(model, lr[None], model.scale, rows, columns, progress)


def pixels_in_tiles(height: int, width: int, tile: int) -> int:
    """Total number of LR pixels that a model upscales for an image in tiles, overlaps included."""
    rows, columns = (sum(min(end, size) - start for start, end, *_ in _tiles(size, tile)) for size in (height, width))
    return rows * columns


def _tiles(size: int, tile: int) -> list[Span]:
    """Windows whose kept parts cover an axis in steps of ``tile``; the last window may extend beyond the axis."""
    return [
        (max(start - OVERLAP, 0), start + tile + OVERLAP, start, min(start + tile, size))
        for start in range(0, size, tile)
    ]


def upscale_in_windows(run: Callable[[Tensor], Tensor], lr: Tensor, scale: int, window: tuple[int, int]) -> Tensor:
    """Upscale LR (3, h, w) to (1, 3, s*h, s*w) by a network with the fixed input size (1, 3, *window).

    Windows overlap by 2 * OVERLAP pixels, or by half of a small window, and each contributes its central part. A
    smaller image is padded by repeating its last row and column, and the output is cropped.
    """
    height, width = lr.shape[-2:]
    missing = [max(side - available, 0) for side, available in zip(window, (height, width), strict=True)]
    whole = F.pad(lr[None], (0, missing[1], 0, missing[0]), mode="replicate")
    rows, columns = (_windows(size, side) for size, side in zip(whole.shape[-2:], window, strict=True))
    return _assembled(run, whole, scale, rows, columns)[..., : height * scale, : width * scale]


def _windows(size: int, side: int) -> list[Span]:
    """Windows of length ``side`` whose kept parts cover an axis."""
    overlap = min(OVERLAP, side // 4)
    done = 0
    windows: list[Span] = []
    while done < size:
        start = max(min(done - overlap, size - side), 0)
        end = size if start + side >= size else start + side - overlap
        windows.append((start, start + side, done, end))
        done = end
    return windows


def _assembled(
    run: Callable[[Tensor], Tensor],
    lr: Tensor,
    scale: int,
    rows: list[Span],
    columns: list[Span],
    progress: Callable[[float], None] = lambda share: None,
) -> Tensor:
    height, width = lr.shape[-2:]
    out: Tensor | None = None
    for (top, bottom, *kept_rows), (left, right, *kept_columns) in product(rows, columns):
        part = run(lr[..., top:bottom, left:right].clone())  # tiles overlap, and a model may change its input in place
        if out is None:
            out = part.new_empty((1, 3, height * scale, width * scale))
        inside = part[..., _scaled(kept_rows, top, scale), _scaled(kept_columns, left, scale)]
        out[..., _scaled(kept_rows, 0, scale), _scaled(kept_columns, 0, scale)] = inside
        progress((kept_rows[1] - kept_rows[0]) * (kept_columns[1] - kept_columns[0]) / (height * width))
    assert out is not None
    return out


def _scaled(kept: list[int], origin: int, scale: int) -> slice:
    return slice((kept[0] - origin) * scale, (kept[1] - origin) * scale)
