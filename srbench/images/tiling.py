"""Upscale a large image in tiles, so that the model's memory does not grow with the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.interfaces import SRModel

OVERLAP = 16
"""LR pixels that a tile sees of each neighbour. A network that looks further gives slightly other numbers at seams."""


def upscale_in_tiles(model: SRModel, lr: Tensor, tile: int) -> Tensor:
    """LR (3, h, w) -> (1, 3, s*h, s*w), in tiles of at most ``tile`` x ``tile`` LR pixels and their surroundings.

    Exact for a model that looks no further than OVERLAP pixels, such as bicubic interpolation.
    """
    scale, (height, width) = model.scale, lr.shape[-2:]
    out: Tensor | None = None
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            first_row, first_column = max(top - OVERLAP, 0), max(left - OVERLAP, 0)
            bottom, right = min(top + tile, height), min(left + tile, width)
            part = model(lr[None, :, first_row : bottom + OVERLAP, first_column : right + OVERLAP])
            kept = part[
                ...,
                (top - first_row) * scale : (bottom - first_row) * scale,
                (left - first_column) * scale : (right - first_column) * scale,
            ]
            if out is None:
                out = torch.empty((1, 3, height * scale, width * scale), dtype=part.dtype, device=part.device)
            out[..., top * scale : bottom * scale, left * scale : right * scale] = kept
    assert out is not None
    return out


def upscale_in_windows(run: Callable[[Tensor], Tensor], lr: Tensor, scale: int, window: tuple[int, int]) -> Tensor:
    """LR (3, h, w) -> (1, 3, s*h, s*w), by a network that takes images (1, 3, *window) and no others.

    Windows overlap by 2 * OVERLAP pixels, or by half of a small one, and each gives its middle. A smaller image is
    extended by its last row and column, and what that makes is cut off.
    """
    height, width = lr.shape[-2:]
    missing = [max(side - there, 0) for side, there in zip(window, (height, width), strict=True)]
    whole = F.pad(lr[None], (0, missing[1], 0, missing[0]), mode="replicate")
    rows, columns = (list(_windows(whole.shape[axis], side)) for axis, side in zip((-2, -1), window, strict=True))
    out: Tensor | None = None
    for top, *kept_rows in rows:
        for left, *kept_columns in columns:
            part = run(whole[..., top : top + window[0], left : left + window[1]])
            if out is None:
                out = part.new_empty((1, 3, whole.shape[-2] * scale, whole.shape[-1] * scale))
            place = [slice(start * scale, end * scale) for start, end in (kept_rows, kept_columns)]
            inside = [
                slice((start - first) * scale, (end - first) * scale)
                for first, (start, end) in ((top, kept_rows), (left, kept_columns))
            ]
            out[..., place[0], place[1]] = part[..., inside[0], inside[1]]
    assert out is not None
    return out[..., : height * scale, : width * scale]


def _windows(size: int, side: int) -> Iterator[tuple[int, int, int]]:
    """Start of every window along an axis, and from where to where it is kept: these parts are all of the axis."""
    overlap = min(OVERLAP, side // 4)
    done = 0
    while done < size:
        start = max(min(done - overlap, size - side), 0)
        end = size if start + side >= size else start + side - overlap
        yield start, done, end
        done = end
